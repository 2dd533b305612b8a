"""
Parse the output of the command that triggers a self-test.

Strings: DataDog/datadog-agent:cmd/system-probe/subcommands/runtime/selftest.go@26727419 and
cmd/security-agent/subcommands/runtime/command.go@f23e3803. A refused self-test exits 0 and says so on stdout; a
transport failure exits 255 and says so on stderr. Log lines may come before either.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_OK = re.compile(r"^Runtime self test: OK\s*$", re.MULTILINE)
_ERROR = re.compile(r"^Runtime self test: error: ([^\n]*)", re.MULTILINE)
_UNKNOWN_COMMAND = re.compile(r'unknown command "(?:runtime|self-test)" for "')


class AnswerKind(Enum):
    """How the command answered."""

    OK = "ok"
    """Accepted. It does not mean that the tests passed."""
    DISABLED = "disabled"
    EBPFLESS = "ebpfless"
    ALREADY_RUNNING = "already running"
    FAILED = "failed"
    """A test failed; only Agents before 7.36 report this here."""
    ERRORED = "errored"
    UNKNOWN_COMMAND = "unknown command"
    SOCKET_NOT_SET = "socket not set"
    SOCKET_DEAD = "socket dead"
    SOCKET_REFUSED = "socket refused"
    PERMISSION_DENIED = "permission denied"
    STARTING = "starting"
    UNREADABLE = "unreadable"


_MESSAGES = (
    ("self-tests are disabled", AnswerKind.DISABLED),
    ("not supported with eBPF less", AnswerKind.EBPFLESS),
    ("a self test is already running", AnswerKind.ALREADY_RUNNING),
    ("failed to receive expected event", AnswerKind.FAILED),
)
_TRANSPORT = (
    ("socket must be set", AnswerKind.SOCKET_NOT_SET),
    ("failed to found module in APIServer", AnswerKind.STARTING),
    ("no such file or directory", AnswerKind.SOCKET_DEAD),
    ("connection refused", AnswerKind.SOCKET_REFUSED),
    ("permission denied", AnswerKind.PERMISSION_DENIED),
    ("code = Unavailable", AnswerKind.SOCKET_REFUSED),
)


@dataclass(frozen=True, slots=True)
class SelftestAnswer:
    """An answer, and the Agent's own text of it (not redacted)."""

    answer: AnswerKind
    message: str


def read_answer(stdout: str, stderr: str, exit_status: int) -> SelftestAnswer:
    """
    Classify the command's output. Output that contradicts itself (OK and an error, OK and a failed exit) is
    `UNREADABLE`.
    """
    ok, error = _OK.search(stdout), _ERROR.search(stdout)
    if ok and not error and exit_status == 0:
        return SelftestAnswer(AnswerKind.OK, ok.group().strip())
    if error and not ok:
        return SelftestAnswer(_first(_MESSAGES, error[1], AnswerKind.ERRORED), error.group().strip())
    said = (stderr or stdout).strip()
    if _UNKNOWN_COMMAND.search(stderr + stdout):
        return SelftestAnswer(AnswerKind.UNKNOWN_COMMAND, said)
    lines = (stderr + "\n" + stdout).splitlines()
    # The command's own error begins its line; log lines before it may mention other errors.
    own = [line for line in lines if line.startswith("Error:")]
    failure = "\n".join(own or [line for line in lines if "Error:" in line or "error:" in line])
    return SelftestAnswer(
        _first(_TRANSPORT, failure, AnswerKind.UNREADABLE) if exit_status else AnswerKind.UNREADABLE, said
    )


def _first(table: tuple[tuple[str, AnswerKind], ...], text: str, otherwise: AnswerKind) -> AnswerKind:
    return next((answer for words, answer in table if words in text), otherwise)
