"""
What the flare's command says: its question, its early end, and its answer after the upload.

Strings: DataDog/datadog-agent:cmd/security-agent/subcommands/flare/command.go@11ab8d28,
cmd/agent/subcommands/flare/command.go@013fb719, comp/core/flare/helpers/send_flare.go@3a931439 and
comp/core/flare/impl/send_flare.go@09f9c5de. Prompts are whole lines, since the Agent prints them with
`Println` (pkg/util/input/input.go@28f2560e). Nothing here is redacted.
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
"""A whole line that asks something, known or not."""

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
"""The whole line, its end included: a number that was cut short is another case's."""
_REFUSED = re.compile(r"^An error occurred while uploading the flare: ([^\n]*)", re.MULTILINE)
_UNDESERIALISED = "could not deserialize response body"
_ERROR = re.compile(r"^Error: ([^\n]*)(?:\n(?!\s*$)[^\n]*){0,4}", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Question:
    """The known question about an archive. The answer may be written now."""

    path: str
    local: bool
    local_reason: str
    """Why the command built the archive itself, in its words."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something else than the known question or answer: a finding's code, and the words that show it."""

    code: str
    words: str
    detail: str = ""
    """The words that a finding's summary quotes; empty for the first of `words`."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """Datadog took the archive. `case` is empty when it named none."""

    case: str
    words: str


def read_question(stdout: bytes) -> Question | Trouble | None:
    """What is asked, once a line that asks is complete; `None` until then."""
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
    """The archive that the question is about: on the line just before it, and on no other."""
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
    """Whether this may be a flare's archive: absolute, in a temporary directory, without dots that lead elsewhere."""
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
    """Whether the Agent says anywhere that it uploaded, however much of that was seen."""
    return _CLAIM.search(_text(stdout)) is not None


def read_answer(stdout: bytes, stderr: bytes, exit_status: int | None) -> Uploaded | Trouble:
    """
    What came of `y`, from all that was printed. `exit_status` is `None` when it was not seen.

    Only Datadog's own confirmation counts as uploaded, and only when nothing contradicts it. A code whose verdict is
    `fail` means that nothing arrived for certain; every other code leaves it open.
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
    By the first line of the Agent's error, which is its own; what follows is quoted from whoever answered.

    The Agent asks once for the address to send to (HEAD) and then sends up to three times, so a failure of the former
    means that nothing was sent, and a failure of the latter says nothing of earlier attempts
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
What the first line of an error begins with. Of the 4xx, 408 and 499 are a proxy's words for a request that was cut short,
perhaps after it had been passed on; the others refuse it. `Head "…"` and `Post "…"` are Go's words for a request without an answer.
"""


def _lines(data: bytes) -> list[str]:
    """Lines without colours and trailing spaces, the empty ones left out."""
    return [line.rstrip() for line in _text(data).split("\n") if line.strip()]


def _text(data: bytes) -> str:
    return _ANSI.sub("", data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n"))
