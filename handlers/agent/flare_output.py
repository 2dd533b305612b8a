"""
Parse the output of the flare's command: its question, its early end, and its answer after the upload.

Strings: DataDog/datadog-agent:cmd/security-agent/subcommands/flare/command.go@11ab8d28,
cmd/agent/subcommands/flare/command.go@013fb719, comp/core/flare/helpers/send_flare.go@3a931439 and
comp/core/flare/impl/send_flare.go@09f9c5de. Prompts are whole lines, since the Agent prints them with `Println`
(pkg/util/input/input.go@28f2560e). Nothing here is redacted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

CONFIRMATION = "Are you sure you want to upload a flare? [y/N]"
QUESTION = re.compile(
    rb"^[^\n]*(?:\?|[\[(][ \w]{1,8}/[ \w]{1,8}[\])]|e-?mail:|case(?: id)?:|password:)[\t \r]*(?:\x1b\[[0-9;]*m)*[\t \r]*\n",
    re.IGNORECASE | re.MULTILINE,
)
"""A whole line that asks a question, known to csm or not."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_PATH_LINE = re.compile(r"(?P<path>\S{1,1024}\.zip) is going to be uploaded to Datadog")
_PATH = re.compile(
    r"(?:/var)?/tmp(?:/[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,254}){0,16}/datadog-agent-[A-Za-z0-9._-]{1,128}\.zip"
)
_LOCALLY = re.compile(r"^Initiating flare locally", re.MULTILINE)
_LOCAL_REASON = re.compile(
    r"^(?:The agent ran into an error while making the flare|The agent was unable to make)[^\n]*", re.MULTILINE
)
_CONFIRMED = "Your logs were successfully uploaded"
_CLAIM = re.compile(rf"^{_CONFIRMED}", re.MULTILINE)
_UPLOADED = re.compile(
    rf"^{_CONFIRMED}\. For future reference, your internal case id is (\d{{1,20}})[ \t]*\n",
    re.MULTILINE,
)
"""Matches the whole line, its end included, because a number that was cut short is the number of another case."""
_REFUSED = re.compile(r"^An error occurred while uploading the flare: ([^\n]*)", re.MULTILINE)
_UNDESERIALISED = "could not deserialize response body"
_ERROR = re.compile(r"^Error: ([^\n]*)(?:\n(?!\s*$)[^\n]*){0,4}", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Question:
    """The known question whether to upload an archive. The answer may be written now."""

    path: str
    local: bool
    local_reason: str
    """Why the command built the archive itself, as the command printed it."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Output other than the known question or answer: the code of a finding, and the output that shows it."""

    code: str
    words: str
    detail: str = ""
    """The text for the finding's summary; when empty, the first line of `words` is used."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """Datadog accepted the archive. `case` is empty when Datadog named none."""

    case: str
    words: str


def read_question(stdout: bytes) -> Question | Trouble | None:
    """
    Parse the question, once a line that asks one is complete; `None` until then. `Trouble` for any but the known
    question.
    """
    if not QUESTION.search(stdout):
        return None
    lines = _lines(stdout.rpartition(b"\n")[0])
    asked = [number for number, line in enumerate(lines) if QUESTION.match(line.encode() + b"\n")]
    if not asked:
        return None
    first = lines[asked[0]]
    if first != CONFIRMATION:
        return Trouble(_unknown_question(first), first)
    if len(lines) > asked[0] + 1 or not stdout.endswith(b"\n"):
        return Trouble("flare.spoke_on", "\n".join(lines[asked[0] :]))
    return _about(lines[: asked[0]])


def _about(before: Sequence[str]) -> Question | Trouble:
    """
    The archive that the question is about. Its path must be on the line directly before the question, and on no other.
    """
    paths = [match["path"] for line in before if (match := _PATH_LINE.fullmatch(line))]
    if len(paths) != 1 or not _PATH_LINE.fullmatch(before[-1]):
        return Trouble("flare.new_wording", before[-1] if before else CONFIRMATION)
    if not is_archive_path(paths[0]):
        return Trouble("flare.bad_path", paths[0])
    text = "\n".join(before)
    reason = _LOCAL_REASON.search(text)
    return Question(paths[0], bool(_LOCALLY.search(text) or reason), reason[0] if reason else "")


def _unknown_question(line: str) -> str:
    lowered = line.lower()
    if "email" in lowered or "e-mail" in lowered:
        return "flare.email_asked"
    return "flare.new_wording" if "upload" in lowered or "flare" in lowered else "flare.unexpected_prompt"


def is_archive_path(path: str) -> bool:
    """Whether a path may be a flare's archive: absolute, in a temporary directory, without `.` and `..`."""
    return _PATH.fullmatch(path) is not None


def read_early_end(stdout: bytes, stderr: bytes, exit_status: int) -> Trouble:
    """Why the command ended before its question."""
    out, err = _text(stdout), _text(stderr)
    said = (err.strip() or out.strip())[-1000:]
    both = f"{out}\n{err}"
    if claims_an_upload(stdout):
        return Trouble("flare.uploaded_unasked", said)
    for words, code in _EARLY:
        if words.search(both):
            return Trouble(code, said)
    return Trouble("flare.ended_early", said or f"it said nothing and exited {exit_status}")


_EARLY = (
    (re.compile(r'unknown command "flare" for "'), "flare.unknown_command"),
    (re.compile(r"unknown (?:flag|shorthand flag): "), "flare.unknown_flag"),
    (
        re.compile(r'^The flare zipfile "[^\n]*" does not exist\.|try the \'--local\' option', re.MULTILINE),
        "flare.other_container",
    ),
    (re.compile(r"^The flare zipfile failed to be created: ", re.MULTILINE), "flare.build_failed"),
    (re.compile(r"auth(?:entication)?[ _]token|session token", re.IGNORECASE), "flare.no_token"),
    (re.compile(r"permission denied", re.IGNORECASE), "flare.not_permitted"),
)


def claims_an_upload(stdout: bytes) -> bool:
    """Whether the Agent printed that it uploaded, even if the rest of that line is missing."""
    return _CLAIM.search(_text(stdout)) is not None


def read_answer(stdout: bytes, stderr: bytes, exit_status: int | None) -> Uploaded | Trouble:
    """
    The outcome after `y`, from all of the output. `exit_status` is `None` when it was not seen.

    Only Datadog's own confirmation counts as uploaded, and only when nothing contradicts it. A code whose verdict is
    `fail` means that certainly nothing arrived; every other code leaves it open.
    """
    out, err = _text(stdout).rpartition(CONFIRMATION)[2], _text(stderr)
    uploaded, refused, error = _UPLOADED.findall(out), _REFUSED.search(out), _ERROR.search(err)
    words = "\n".join(part for part in (out.strip(), error[0] if error else "") if part)
    claims = len(_CLAIM.findall(out))
    if claims and (claims > 1 or refused or error or exit_status):
        return Trouble("flare.contradiction", words)
    if uploaded:
        return Uploaded("" if int(uploaded[0]) == 0 else uploaded[0], words)
    if exit_status is None:
        return Trouble("flare.upload_lost", words)
    if exit_status == 0:
        aborted = not error and re.search(r"^Aborting\.", out, re.MULTILINE)
        return Trouble("flare.not_taken" if aborted else "flare.unclear", words)
    return _failure(out, error[1] if error else "", words)


def _failure(out: str, error: str, words: str) -> Trouble:
    """
    Classify a failed upload by the first line of the Agent's error. That line is the Agent's own; the rest is quoted
    from the server or proxy that answered.

    The Agent first sends one HEAD request to find the address, and then sends the archive up to three times. When the
    HEAD request fails, nothing was sent; when a send fails, an earlier attempt may have arrived
    (comp/core/flare/impl/send_flare.go@09f9c5de, `SendTo`).
    """
    for begins, code in _FAILURES:
        if begins.match(error):
            return Trouble(code, words, error)
    if (refused := _REFUSED.search(out)) and error:
        return Trouble("flare.refused", words, refused[1])
    code = "flare.answer_unreadable" if _UNDESERIALISED in out else "flare.upload_failed"
    return Trouble(code, words, error)


_FAILURES = (
    (re.compile(r"failed to send flare after \d+ attempts"), "flare.retries_exhausted"),
    (
        re.compile(r"(?:We couldn't reach the flare backend|Could not determine flare URL)[^\n]*: 403\b"),
        "flare.api_key",
    ),
    (
        re.compile(r"We couldn't reach the flare backend|Could not determine flare URL|Head [\"h]"),
        "flare.backend_unreachable",
    ),
    (re.compile(r"HTTP 403\b"), "flare.api_key"),
    (re.compile(r"HTTP (?!408|499)4\d\d\b"), "flare.http_refused"),
    (re.compile(r"HTTP \d{3}\b"), "flare.http_error"),
    (re.compile(r"Post [\"h]"), "flare.no_answer"),
    (re.compile(r"Server returned a 200 but with an unknown content-type"), "flare.bad_response"),
    (re.compile(r"Server returned a 200 but with no content-type|unexpected end of JSON"), "flare.answer_unreadable"),
)
"""
Beginnings of the first line of an error, and their codes. Of the 4xx, a proxy answers 408 and 499 to a request that was
cut short, perhaps after it had been passed on; the others refuse the request. `Head "…"` and `Post "…"` are Go's errors
for a request without an answer.
"""


def _lines(data: bytes) -> list[str]:
    """Lines without colours and trailing spaces; empty lines are left out."""
    return [line.rstrip() for line in _text(data).split("\n") if line.strip()]


def _text(data: bytes) -> str:
    return _ANSI.sub("", data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n"))
