"""What the flare's command says, read from what its sources print; and that nothing else leads to an answer."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from handlers.agent.findings import FLARE
from handlers.agent.flare_output import (
    CONFIRMATION,
    QUESTION,
    Question,
    Trouble,
    Uploaded,
    claims_an_upload,
    is_archive_path,
    read_answer,
    read_early_end,
    read_question,
)

PATH = "/tmp/datadog-agent-2024-05-02T10-11-12Z-info.zip"
PATH_LINE = f"{PATH} is going to be uploaded to Datadog"
BUILDS = "Asking the Security Agent to build the flare archive."
SUCCESS = "Your logs were successfully uploaded. For future reference, your internal case id is 1234567"


def said(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def test_the_known_question_names_its_archive() -> None:
    assert read_question(said(BUILDS, PATH_LINE, CONFIRMATION)) == Question(PATH, local=False, local_reason="")


def test_colours_carriage_returns_and_empty_lines_change_nothing() -> None:
    coloured = f"\x1b[33m{PATH}\x1b[0m is going to be uploaded to Datadog\r"
    assert read_question(said(BUILDS, "", coloured, "\r", f"{CONFIRMATION}\r")) == Question(
        PATH, local=False, local_reason=""
    )


@pytest.mark.parametrize("cut", range(1, len(said(PATH_LINE, CONFIRMATION))))
def test_a_question_that_has_not_all_come_is_waited_for(cut: int) -> None:
    whole = said(PATH_LINE, CONFIRMATION)
    assert read_question(whole[:-cut]) is None


def test_a_local_archive_comes_with_its_reason() -> None:
    reason = "The agent was unable to make a full flare: connection refused."
    found = read_question(
        said(BUILDS, reason, "Initiating flare locally, some logs will be missing.", PATH_LINE, CONFIRMATION)
    )
    assert found == Question(PATH, local=True, local_reason=reason)


def test_the_cores_own_fallback_is_no_question() -> None:
    assert read_question(said("The agent was unable to make the flare. (is it running?)")) is None
    found = read_question(
        said(
            "The agent was unable to make the flare. (is it running?)",
            "Initiating flare locally.",
            PATH_LINE,
            CONFIRMATION,
        )
    )
    assert isinstance(found, Question)
    assert found.local


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (["Please enter your email: "], "flare.email_asked"),
        (["Collect profiles again? [y/N]"], "flare.unexpected_prompt"),
        (["Are you over 18?"], "flare.unexpected_prompt"),
        (["Continue (yes/no)"], "flare.unexpected_prompt"),
        ([PATH_LINE, "Upload the flare? [Y/n]"], "flare.new_wording"),
        ([PATH_LINE, CONFIRMATION.replace("[y/N]", "[Y/n]")], "flare.new_wording"),
        ([PATH_LINE, CONFIRMATION.lower()], "flare.new_wording"),
        ([CONFIRMATION], "flare.new_wording"),
        ([PATH_LINE, "And now:", CONFIRMATION], "flare.new_wording"),
        ([PATH_LINE, PATH_LINE, CONFIRMATION], "flare.new_wording"),
        ([f"warning: {PATH_LINE}", CONFIRMATION], "flare.new_wording"),
        ([PATH_LINE.replace("/tmp", "/etc"), CONFIRMATION], "flare.bad_path"),
        ([PATH_LINE, CONFIRMATION, "more"], "flare.spoke_on"),
        ([PATH_LINE, CONFIRMATION, CONFIRMATION], "flare.spoke_on"),
        (["Really? [y/N]", PATH_LINE, CONFIRMATION], "flare.unexpected_prompt"),
    ],
)
def test_anything_else_is_trouble(lines: list[str], code: str) -> None:
    found = read_question(said(*lines))
    assert isinstance(found, Trouble)
    assert found.code == code


@pytest.mark.parametrize(
    "path",
    [
        PATH,
        "/tmp/datadog-agent-2024-05-02T10-11-12Z.zip",
        "/tmp/datadog-agent-2024-05-02T10-11-12Z-off.zip",
        "/var/tmp/a/b/datadog-agent-x.zip",
    ],
)
def test_a_path_in_a_temporary_directory_is_an_archives(path: str) -> None:
    assert is_archive_path(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/datadog-agent-x.zip",
        "/tmp/../etc/datadog-agent-x.zip",
        "/tmp/.ssh/datadog-agent-x.zip",
        "/tmp/./datadog-agent-x.zip",
        "tmp/datadog-agent-x.zip",
        "/tmp/x.zip",
        "/tmp/datadog-agent-x.zip\n",
        "/tmp/datadog-agent-\x1b.zip",
        "/tmp/datadog-agent-x.zip.zip/../y",
        "/tmpdatadog-agent-x.zip",
        "/tmp//datadog-agent-x.zip",
        "/tmp/datadog-agent-'$(id)'.zip",
        "/tmp/-rf/datadog-agent-x.zip ",
    ],
)
def test_no_other_path_is(path: str) -> None:
    assert not is_archive_path(path)


@pytest.mark.parametrize(
    ("stdout", "stderr", "status", "code"),
    [
        ("", 'Error: unknown command "flare" for "security-agent"', 255, "flare.unknown_command"),
        ("", "Error: unknown flag: --no-color", 255, "flare.unknown_flag"),
        (
            (
                f'The flare zipfile "{PATH}" does not exist.\n'
                "If the agent running in a different container try the '--local' option to generate the flare locally"
            ),
            "Error: no such file",
            255,
            "flare.other_container",
        ),
        ("The flare zipfile failed to be created: no space left on device", "Error: x", 255, "flare.build_failed"),
        (
            "",
            "Error: unable to read authentication token file: open auth_token: permission denied",
            255,
            "flare.no_token",
        ),
        ("", "Error: open /etc/datadog-agent/datadog.yaml: permission denied", 255, "flare.not_permitted"),
        ("Invalid value for profiling: 3. Please enter an integer of at least 30.", "", 0, "flare.ended_early"),
        ("Error reading email, please retry or contact support", "", 255, "flare.ended_early"),
        (f"Aborting. (You can still use {PATH})", "", 0, "flare.ended_early"),
        (SUCCESS, "", 0, "flare.uploaded_unasked"),
        ("", "", 0, "flare.ended_early"),
    ],
)
def test_an_early_end_is_told_as_what_it_was(stdout: str, stderr: str, status: int, code: str) -> None:
    assert read_early_end(stdout.encode(), stderr.encode(), status).code == code


BACKEND = "An error occurred while uploading the flare: no such case. Please contact support by email."
GARBLED = "Error: could not deserialize response body -- Please contact support by email."


@pytest.mark.parametrize(
    ("stdout", "stderr", "status", "code"),
    [
        (BACKEND, "Error: no such case", 255, "flare.refused"),
        (BACKEND[:-1] + " and facilitate the request uuid: `x`.", "Error: no such case", 255, "flare.refused"),
        ("", "Error: HTTP 403 Forbidden: API key is missing", 255, "flare.api_key"),
        (
            "",
            "Error: HTTP 403 Forbidden: Make sure your API key is valid. API Key ending with: abcde",
            255,
            "flare.api_key",
        ),
        (
            "",
            "Error: failed to send flare after 3 attempts: Post: connection reset by peer",
            255,
            "flare.retries_exhausted",
        ),
        (
            "",
            "Error: We couldn't reach the flare backend https://x via redirects: 500",
            255,
            "flare.backend_unreachable",
        ),
        ("", "Error: Could not determine flare URL via redirects: 500", 255, "flare.backend_unreachable"),
        (GARBLED, "Error: HTTP 413 413 Too Large\nServer returned:\n<html>", 255, "flare.http_refused"),
        (GARBLED, "Error: HTTP 408 408 Request Timeout\nServer returned:\n", 255, "flare.http_error"),
        (GARBLED, "Error: HTTP 502 502 Bad Gateway\nServer returned:\nHTTP 403: api key", 255, "flare.http_error"),
        (GARBLED, "Error: Server returned a 200 but with an unknown content-type text/html", 255, "flare.bad_response"),
        (GARBLED, "Error: Server returned a 200 but with no content-type header", 255, "flare.answer_unreadable"),
        (GARBLED, "Error: invalid character '<' looking for beginning of value", 255, "flare.answer_unreadable"),
        ("", "Error: unexpected end of JSON input", 255, "flare.answer_unreadable"),
        ("", 'Error: Post "https://x": EOF', 255, "flare.no_answer"),
        ("", 'Error: Head "https://x": dial tcp: lookup x: no such host', 255, "flare.backend_unreachable"),
        ("", "panic: runtime error", 2, "flare.upload_failed"),
        ("", "", 0, "flare.unclear"),
        ("Your logs were uploaded, perhaps.", "", 0, "flare.unclear"),
        (f"Aborting. (You can still use {PATH})", "", 0, "flare.not_taken"),
        (SUCCESS, "Error: x", 255, "flare.contradiction"),
        (SUCCESS, "", 1, "flare.contradiction"),
        (f"{SUCCESS}\n{SUCCESS}", "", 0, "flare.contradiction"),
        (f"{BACKEND}\n{SUCCESS}", "", 0, "flare.contradiction"),
        ("", "", None, "flare.upload_lost"),
        ("", "Error: HTTP 503", None, "flare.upload_lost"),
    ],
)
def test_an_upload_that_is_not_confirmed_is_told_as_what_it_was(
    stdout: str, stderr: str, status: int | None, code: str
) -> None:
    found = read_answer(said(PATH_LINE, CONFIRMATION) + stdout.encode(), stderr.encode(), status)
    assert isinstance(found, Trouble)
    assert found.code == code
    assert found.code in FLARE


@pytest.mark.parametrize("status", [0, None])
def test_only_datadogs_own_confirmation_is_an_upload(status: int | None) -> None:
    found = read_answer(said(PATH_LINE, CONFIRMATION, SUCCESS), b"", status)
    assert isinstance(found, Uploaded)
    assert found.case == "1234567"
    assert read_answer(said(SUCCESS.replace("1234567", "0")), b"", status) == Uploaded(
        "", SUCCESS.replace("1234567", "0")
    )


@pytest.mark.parametrize("end", ["\n", "", "\r\n"])
def test_however_little_of_a_claim_was_seen_it_is_a_claim(end: str) -> None:
    assert claims_an_upload(f"Asking.\n{SUCCESS}{end}".encode())
    assert claims_an_upload(SUCCESS[:40].encode())
    assert not claims_an_upload(said("It says: " + SUCCESS, BUILDS))


def test_a_case_whose_number_may_be_cut_short_is_not_named() -> None:
    for cut in range(1, 5):
        found = read_answer((said(PATH_LINE, CONFIRMATION) + said(SUCCESS))[:-cut], b"", None)
        assert isinstance(found, Trouble)


def test_what_came_before_the_question_is_no_confirmation() -> None:
    found = read_answer(said(SUCCESS, PATH_LINE, CONFIRMATION), b"", 0)
    assert isinstance(found, Trouble)


WORDS = st.sampled_from(
    [
        PATH_LINE,
        CONFIRMATION,
        PATH,
        BUILDS,
        SUCCESS,
        "y",
        "[y/N]",
        "?",
        "\x1b[31m",
        "\r",
        "\n",
        "\n\n",
        " ",
        "email:",
        "Aborting.",
        "Error: ",
    ]
)
GARBAGE = st.one_of(
    st.binary(max_size=300),
    st.lists(WORDS | st.text(max_size=10), max_size=20).map(lambda parts: "".join(parts).encode("utf-8", "replace")),
)


@given(GARBAGE)
@example(said(CONFIRMATION))
@example(said(PATH_LINE) + said(CONFIRMATION) * 2)
def test_whatever_is_printed_only_the_known_question_on_its_archive_is_answered(stdout: bytes) -> None:
    found = read_question(stdout)

    if isinstance(found, Question):
        lines = [line for line in _plain(stdout) if line.strip()]
        assert lines[-1].rstrip() == CONFIRMATION
        assert lines[-2].rstrip() == f"{found.path} is going to be uploaded to Datadog"
        assert stdout.endswith(b"\n")
        assert is_archive_path(found.path)
        assert sum(bool(QUESTION.match(line.encode() + b"\n")) for line in lines) == 1
    elif found is not None:
        assert found.code in FLARE


@given(GARBAGE, GARBAGE, st.one_of(st.none(), st.integers(0, 255)))
def test_whatever_is_printed_an_end_has_a_code(stdout: bytes, stderr: bytes, status: int | None) -> None:
    answer = read_answer(stdout, stderr, status)
    if isinstance(answer, Uploaded):
        assert SUCCESS.rpartition(" ")[0].encode() in stdout
        assert status in (0, None)
    else:
        assert answer.code in FLARE
    assert read_early_end(stdout, stderr, status or 0).code in FLARE


def _plain(stdout: bytes) -> list[str]:
    from handlers.agent.flare_output import _text

    return _text(stdout).split("\n")
