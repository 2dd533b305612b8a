"""
Every error that csm raises on purpose.

    CsmError                      said to people as it is: what happened, to whom, what to do
    |- UsageError                 the line that was typed is at fault
    |- ConfigurationError         the configuration is at fault; carries every fault at once
    |- Refused                    the policy does not allow it; says who could
    |- TargetError                a target could not be used at all
    |  |- TargetUnreachable       no connection, no name, no certificate
    |  |- TargetDenied            it answered 401 or 403
    |  `- NoAgents                it answered, and has no Agent
    `- ExecError                  one command on one Agent did not end by itself; carries its output so far
       |- Unreachable             the connection could not be made (refused, TLS, DNS, 5xx)
       |- Denied                  401 or 403 for this exec, host key refused, sudo needs a password
       |- Vanished                the pod, container or host is no longer there (404, 410)
       |- NotReady                it is there, and cannot run commands (waiting, terminated, paused)
       |- Throttled               429, also after waiting
       |- BinaryMissing           the executable is not in the container
       |- DeadlineExceeded        it was still running when its time was up, and was ended
       |- OutputLimitExceeded     it printed more than its limit, and was ended
       |- ConnectionLost          the connection was cut while it ran
       `- NoExitStatus            its streams ended without an exit status

A command that ends by itself, with whatever exit status, is not an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


class CsmError(Exception):
    """The base of them all. `str(error)` may be shown to people, after redaction."""


class UsageError(CsmError):
    """The line that was typed is at fault; `example` is a line that would have worked."""

    def __init__(self, message: str, *, example: str = "") -> None:
        super().__init__(message)
        self.example = example


class ConfigurationError(CsmError):
    """The configuration is at fault. `faults` are complete sentences, each with its place."""

    def __init__(self, faults: Sequence[str], *, source: str = "") -> None:
        where = f"{source}: " if source else ""
        super().__init__("\n".join(where + fault for fault in faults))
        self.faults = tuple(faults)


class Refused(CsmError):
    """The policy does not allow it. The message says why, and who could."""


class TargetError(CsmError):
    """A target could not be used at all."""


class TargetUnreachable(TargetError):
    """No connection to the target: no route, no name, no certificate, server errors."""


class TargetDenied(TargetError):
    """The target answered, and refuses us. The message names the right that is missing, where known."""


class NoAgents(TargetError):
    """The target answered, and no Agent was found there."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a command has printed, up to its byte limit."""

    stdout: bytes = b""
    stderr: bytes = b""


@dataclass
class ExecError(CsmError):
    """One command on one Agent did not end by itself. `output` is what it had printed."""

    message: str
    output: Output = field(default_factory=Output)
    ended: bool = True
    """False when the remote process may still be running."""

    def __post_init__(self) -> None:
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message

    __hash__ = CsmError.__hash__


class Unreachable(ExecError):
    """The connection could not be made: refused, TLS, DNS, an answer of 500 and above."""


class Denied(ExecError):
    """401 or 403 for this command, a host key that is not known, sudo that wants a password."""


class Vanished(ExecError):
    """The pod, container or host is no longer there."""


class NotReady(ExecError):
    """It is there, and cannot run commands: waiting, terminated, paused."""


class Throttled(ExecError):
    """Too many requests, also after waiting as long as was asked."""


class BinaryMissing(ExecError):
    """The executable does not exist there, or may not be executed."""


class DeadlineExceeded(ExecError):
    """It was still running when its time was up, and was ended."""


class OutputLimitExceeded(ExecError):
    """It printed more than its limit, and was ended."""


class ConnectionLost(ExecError):
    """The connection was cut while it ran; whether it finished is not known."""


class NoExitStatus(ExecError):
    """Its streams ended in good order, but no exit status came."""
