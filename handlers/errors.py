"""
Every error that csm raises on purpose.

    CsmError                      shown to people as it is: what happened, to whom, what to do
    |- UsageError                 the command line that was typed is wrong
    |- ConfigurationError         the configuration is wrong; carries every fault at once
    |- Refused                    the policy does not allow it; says who could
    |- TargetError                a target could not be used at all
    |  |- TargetUnreachable       no connection, no name, no certificate
    |  |- TargetDenied            it answered 401 or 403
    |  `- NoAgents                it answered, and has no Agent
    `- ExecError                  one command on one Agent did not end by itself; carries its output so far
       |- Unreachable             the connection could not be made (refused, TLS, DNS, 5xx)
       |- Denied                  401 or 403 for this exec, host key refused, sudo needs a password
       |- Vanished                the pod, container or host is no longer there (404, 410)
       |- NotReady                it is there, but cannot run commands (waiting, terminated, paused)
       |- Throttled               429, also after waiting
       |- BinaryMissing           the executable is not in the container
       |- DeadlineExceeded        it was still running at its deadline, and was ended
       |- OutputLimitExceeded     it printed more than its limit, and was ended
       |- ConnectionLost          the connection was cut while it ran
       `- NoExitStatus            its streams ended without an exit status

A command that ends by itself, with any exit status, is not an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


class CsmError(Exception):
    """Base class of all errors of csm. `str(error)` may be shown to people, after redaction."""


class UsageError(CsmError):
    """The command line that was typed is wrong; `example` is one that would have worked."""

    def __init__(self, message: str, *, example: str = "") -> None:
        super().__init__(message)
        self.example = example


class ConfigurationError(CsmError):
    """The configuration is wrong. `faults` are complete sentences; each says where its fault is."""

    def __init__(self, faults: Sequence[str], *, source: str = "") -> None:
        where = f"{source}: " if source else ""
        super().__init__("\n".join(where + fault for fault in faults))
        self.faults = tuple(faults)


class Refused(CsmError):
    """The policy does not allow the command. The message says why, and who could run it."""


class TargetError(CsmError):
    """A target could not be used at all."""


class TargetUnreachable(TargetError):
    """No connection to the target: no route, no name, no certificate, server errors."""


class TargetDenied(TargetError):
    """The target refused access. The message names the missing right, where known."""


class NoAgents(TargetError):
    """The target answered, and no Agent was found there."""


@dataclass(frozen=True, slots=True)
class Output:
    """The output of a command, up to its byte limit."""

    stdout: bytes = b""
    stderr: bytes = b""


@dataclass
class ExecError(CsmError):
    """One command on one Agent did not end by itself. `output` is what it printed before that."""

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
    """The connection could not be made: refused, TLS, DNS, or a response of 500 and above."""


class Denied(ExecError):
    """401 or 403 for this command, an unknown host key, or sudo that wants a password."""


class Vanished(ExecError):
    """The pod, container or host is no longer there."""


class NotReady(ExecError):
    """The pod or container is there, but cannot run commands: waiting, terminated, paused."""


class Throttled(ExecError):
    """Too many requests or sessions, also after waiting where the platform says for how long."""


class BinaryMissing(ExecError):
    """The executable does not exist on the Agent, or may not be executed."""


class DeadlineExceeded(ExecError):
    """The command was still running at its deadline, and was ended."""


class OutputLimitExceeded(ExecError):
    """The command printed more than its byte limit, and was ended."""


class ConnectionLost(ExecError):
    """The connection was cut while the command ran; whether the command finished is not known."""


class NoExitStatus(ExecError):
    """The command's streams ended in good order, but no exit status came."""
