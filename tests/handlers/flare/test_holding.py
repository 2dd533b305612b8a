"""A flare on one Agent, fault by fault: what it is told as, and that nothing is uploaded by accident."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from bot.sandbox.agent import Behaviour
from bot.sandbox.flare_agent import FAULTS
from handlers.agent.findings import FLARE, KINDS
from handlers.agent.flare_archive import Bounds
from handlers.errors import UsageError
from handlers.flare import FlareFailed, FlareRequest, FlareSettings, NoCopy, whom_to_ask
from handlers.model import Agent, Installation, Platform, Verdict
from handlers.remediation import remediate
from handlers.version import from_tag
from tests.handlers.flare.flares import POD, QUICK, OneAgent, one_agent

NOT_REVIEWED: dict[str, str] = {
    "flare_email_asked": "flare.email_asked",
    "flare_question": "flare.unexpected_prompt",
    "flare_new_wording": "flare.new_wording",
    "flare_no_path": "flare.new_wording",
    "flare_two_paths": "flare.new_wording",
    "flare_bad_path": "flare.bad_path",
    "flare_control_path": "flare.bad_path",
    "flare_spoke_on": "flare.spoke_on",
    "flare_ends_early": "flare.ended_early",
    "flare_dies": "flare.ended_early",
    "flare_hangs": "flare.build_timeout",
    "flare_floods": "agent.output_limit",
    "flare_build_error": "flare.build_failed",
    "flare_no_token": "flare.no_token",
    "flare_never_there": "flare.other_container",
    "flare_unknown": "flare.unknown_command",
    "flare_unknown_flag": "flare.unknown_flag",
    "flare_unasked": "flare.uploaded_unasked",
    "flare_missing": "flare.archive_missing",
    "flare_corrupt": "flare.archive_unreadable",
    "flare_truncated": "flare.archive_unreadable",
    "flare_many_files": "flare.archive_unreadable",
}
"""Faults after which there is nothing to decide on."""

UPLOADED: dict[str, tuple[Verdict, str, list[str]]] = {
    "": (Verdict.PASS, "1234567", []),
    "flare_coloured": (Verdict.PASS, "1234567", []),
    "flare_security_unknown": (Verdict.PASS, "1234567", []),
    "flare_other_container": (Verdict.PASS, "1234567", []),
    "flare_case_0": (Verdict.PASS, "", []),
    "flare_security_down": (Verdict.WARN, "1234567", ["flare.local"]),
    "flare_local": (Verdict.WARN, "1234567", ["flare.local"]),
    "flare_swapped": (Verdict.UNKNOWN, "1234567", ["flare.changed_during_upload"]),
    "flare_secrets": (Verdict.PASS, "1234567", []),
    "flare_bomb": (Verdict.PASS, "1234567", []),
    "flare_encrypted": (Verdict.PASS, "1234567", []),
    "flare_hostile_names": (Verdict.PASS, "1234567", []),
}
"""Faults, and what an approved upload comes to: verdict, Datadog's number, remarks."""

NOT_UPLOADED: dict[str, tuple[str, str, int]] = {
    "flare_refused": ("failed", "flare.refused", 0),
    "flare_api_key": ("failed", "flare.api_key", 0),
    "flare_api_key_missing": ("failed", "flare.api_key", 0),
    "flare_too_large": ("failed", "flare.http_refused", 0),
    "flare_unreachable": ("failed", "flare.backend_unreachable", 0),
    "flare_unreachable_old": ("failed", "flare.backend_unreachable", 0),
    "flare_proxy_login": ("failed", "flare.backend_unreachable", 0),
    "flare_not_taken": ("failed", "flare.not_taken", 0),
    "flare_retries": ("in_doubt", "flare.retries_exhausted", 0),
    "flare_retries_arrive": ("in_doubt", "flare.retries_exhausted", 3),
    "flare_times_out": ("in_doubt", "flare.retries_exhausted", 3),
    "flare_end_of_answer": ("in_doubt", "flare.no_answer", 1),
    "flare_http_error": ("in_doubt", "flare.http_error", 1),
    "flare_content_type": ("in_doubt", "flare.bad_response", 0),
    "flare_no_content_type": ("in_doubt", "flare.answer_unreadable", 1),
    "flare_garbled": ("in_doubt", "flare.answer_unreadable", 1),
    "flare_silent": ("in_doubt", "flare.unclear", 1),
    "flare_contradiction": ("in_doubt", "flare.contradiction", 1),
    "flare_upload_hangs": ("in_doubt", "flare.upload_timeout", 0),
    "flare_upload_dies": ("in_doubt", "flare.upload_failed", 0),
}
"""Faults, and what an approval comes to: kind of outcome, finding, and how many uploads there really were."""

SENT_TO: dict[str, tuple[str, str]] = {
    "flare_to_host": ("", "flares.example.net:8443"),
    "flare_to_lookalike": ("", "app.datadoghq.com.example.net"),
    "flare_to_user": ("", "example.net"),
    "flare_to_dd_url": ("us3.datadoghq.com", "7-70-1-flare.agent.us3.datadoghq.com"),
    "flare_to_environment": ("us5.datadoghq.com", "7-70-1-flare.agent.us5.datadoghq.com"),
    "flare_to_unmerged": ("", "flares.example.net"),
    "flare_to_file": ("ap1.datadoghq.com", "7-70-1-flare.agent.ap1.datadoghq.com"),
    "flare_to_default": ("datadoghq.com", "7-70-1-flare.agent.datadoghq.com"),
    "flare_to_commented": ("datadoghq.eu", "7-70-1-flare.agent.datadoghq.eu"),
    "flare_to_plain_http": ("datadoghq.com", "7-70-1-flare.agent.datadoghq.com"),
    "flare_to_nowhere": ("", ""),
}
"""Faults of the destination, and what the review says of it: site and host."""

WHILE_WAITING: dict[str, str] = {
    "flare_changes": "flare.changed",
    "flare_vanishes": "flare.vanished",
    "flare_gives_up": "flare.ended_waiting",
    "flare_speaks": "flare.spoke_on",
}
"""Faults of the time between the question and the answer: nothing is uploaded, whatever is decided."""


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[OneAgent]:
    async with one_agent(tmp_path) as made:
        yield made


def test_every_fault_of_the_stand_in_is_covered() -> None:
    covered = {*NOT_REVIEWED, *UPLOADED, *NOT_UPLOADED, *SENT_TO, *WHILE_WAITING, "flare_ignores_no"}
    assert covered - {""} == set(FAULTS)
    assert all(words and not words.endswith(".") for words in FAULTS.values())


@pytest.mark.parametrize("fault", NOT_REVIEWED)
async def test_what_does_not_come_to_a_review_is_named_and_uploads_nothing(agent: OneAgent, fault: str) -> None:
    agent.settings = dataclasses.replace(QUICK, build_deadline_s=2) if fault == "flare_hangs" else QUICK
    with pytest.raises(FlareFailed) as caught:
        async with agent.held(Behaviour(fault=fault)):
            raise AssertionError("there is nothing to decide on")

    result = caught.value.result
    assert [finding.code for finding in result.findings] == [NOT_REVIEWED[fault]]
    assert result.verdict is KINDS[NOT_REVIEWED[fault]].verdict
    assert result.findings[0].evidence
    assert result.why
    assert result.flare is None
    assert caught.value.in_doubt is (fault == "flare_unasked")
    assert "y" not in [entry.get("answer") for entry in agent.api.ledger(POD)]
    assert len(agent.uploads) == (1 if fault == "flare_unasked" else 0)
    assert await agent.api.quiet()


@pytest.mark.parametrize("fault", UPLOADED)
async def test_an_approved_archive_is_uploaded_once_by_the_process_that_asked(agent: OneAgent, fault: str) -> None:
    async with agent.held(Behaviour(fault=fault)) as held:
        assert not agent.uploads
        result = await held.approve()

    verdict, case, remarks = UPLOADED[fault]
    assert result.flare is not None
    assert (result.flare.outcome.kind, result.flare.outcome.case, result.verdict) == ("uploaded", case, verdict)
    assert [finding.code for finding in result.findings] == remarks
    assert [each.exit_status for each in result.invocations][-1] == 0
    assert len(agent.uploads) == 1
    if fault != "flare_swapped":
        assert agent.uploads == [held.review.sha256]
    assert await agent.api.quiet()


@pytest.mark.parametrize("fault", NOT_UPLOADED)
async def test_an_upload_that_fails_is_told_as_what_it_was(agent: OneAgent, fault: str) -> None:
    agent.settings = dataclasses.replace(QUICK, upload_deadline_s=2) if fault == "flare_upload_hangs" else QUICK
    async with agent.held(Behaviour(fault=fault)) as held:
        result = await held.approve()
        assert held.answered

    kind, code, uploads = NOT_UPLOADED[fault]
    assert result.flare is not None
    assert (result.flare.outcome.kind, result.flare.outcome.case) == (kind, "")
    left = "flare.may_be_left_behind" if kind == "in_doubt" else "flare.left_behind"
    assert [finding.code for finding in result.findings] == [code, left]
    assert result.verdict is KINDS[code].verdict is (Verdict.UNKNOWN if kind == "in_doubt" else Verdict.FAIL)
    assert len(agent.uploads) == uploads
    assert "f0042" not in result.model_dump_json(), "the end of an API key"
    assert await agent.api.quiet()


@pytest.mark.parametrize("fault", [fault for fault in NOT_UPLOADED if NOT_UPLOADED[fault][0] == "in_doubt"])
async def test_an_upload_in_doubt_says_whom_to_ask_and_what(agent: OneAgent, fault: str) -> None:
    agent.settings = dataclasses.replace(QUICK, upload_deadline_s=2) if fault == "flare_upload_hangs" else QUICK
    async with agent.held(Behaviour(fault=fault)) as held:
        result = await held.approve()

    advice = result.findings[0].remediation
    assert advice is not None
    assert advice.summary.startswith("Ask Datadog's support whether the flare arrived, before another one is sent: ")
    for word in ("case 1234567", "node-1", f"{held.review.built_at:%Y-%m-%d}", "UTC", held.review.name):
        assert word in advice.summary


async def test_of_an_upload_to_another_host_whoever_runs_that_is_asked(agent: OneAgent) -> None:
    node = await agent.become(Behaviour())
    async with agent.held(Behaviour(fault="flare_to_host")) as held:
        review = held.review.model_copy(update={"case": ""})
        asked = whom_to_ask(node, review, datetime(2026, 11, 28, 9, 5, tzinfo=UTC))

    assert asked.startswith("Ask whoever runs flares.example.net:8443 whether the flare arrived")
    assert "for a new case of ana@example.com, from the host node-1, at about 2026-11-28 09:05 UTC" in asked


@pytest.mark.parametrize("fault", SENT_TO)
async def test_the_destination_is_the_agents_own(agent: OneAgent, fault: str) -> None:
    async with agent.held(Behaviour("7.70.1", fault=fault)) as held:
        review = held.review
        result = await held.approve()

    assert (review.site, review.host) == SENT_TO[fault]
    assert result.reason.startswith("Datadog has the archive") is bool(review.site)
    assert review.destination_source
    (upload,) = [entry for entry in agent.api.ledger(POD) if entry["event"] == "uploaded"]
    assert review.host in ("", upload["host"])
    assert any("unencrypted" in warning for warning in review.warnings) is (fault == "flare_to_plain_http")
    assert any("another destination" in warning for warning in review.warnings) is (
        fault in {"flare_to_environment", "flare_to_unmerged"}
    )


@pytest.mark.parametrize("version", ["7.77.2", "7.78.0", "7.84.1"])
async def test_an_archive_that_the_agent_removes_after_its_upload_was_uploaded(agent: OneAgent, version: str) -> None:
    async with agent.held(Behaviour(version, security_agent=False)) as held:
        result = await held.approve()

    assert (result.verdict, result.findings) == (Verdict.PASS, ())
    assert bool(agent.archives) is (version == "7.77.2")


@pytest.mark.parametrize("fault", WHILE_WAITING)
async def test_what_happens_while_it_waits_keeps_an_approval_from_uploading(agent: OneAgent, fault: str) -> None:
    async with agent.held(Behaviour(fault=fault)) as held:
        if fault == "flare_gives_up":
            assert (await held.ended()).findings[0].code == "flare.ended_waiting"
        else:
            await asyncio.sleep({"flare_speaks": 1.3}.get(fault, 3.3))
        result = await held.approve()
        assert not held.answered

    assert result.flare is not None
    assert result.flare.outcome.kind == "not_uploaded"
    assert result.findings[0].code == WHILE_WAITING[fault]
    assert result.verdict is Verdict.UNKNOWN
    assert not agent.uploads


async def test_an_agent_that_uploads_in_spite_of_a_no_is_told_as_such(agent: OneAgent) -> None:
    async with agent.held(Behaviour(fault="flare_ignores_no")) as held:
        result = await held.decline("Declined by ana.")

    assert result.findings[0].code == "flare.uploaded_despite_no"
    assert result.verdict is Verdict.FAIL
    assert result.flare is not None
    assert result.flare.outcome.kind == "in_doubt"


async def test_the_review_says_what_would_leave(agent: OneAgent) -> None:
    async with agent.held(Behaviour("7.70.1", fault="flare_secrets")) as held:
        review = held.review
        (archive,) = agent.archives
        data = archive.read_bytes()

    assert (review.path, review.name) == (str(archive), archive.name)
    assert (review.size, review.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert review.destination == "datadoghq.com, case 1234567"
    assert review.email == "ana@example.com"
    assert (review.container, review.argv) == (
        "security-agent",
        ("security-agent", "flare", "1234567", "--email", "ana@example.com", "--no-color"),
    )
    assert review.file_count == len(review.files)
    found = {file.name.rsplit("/", 1)[-1]: dict(file.sensitive) for file in review.files if file.sensitive}
    assert found == {
        "checks.log": {"credentials": 1, "authorization": 1, "password": 1},
        "postgres.yaml": {"password": 1},
    }
    assert review.files[0].name.endswith("checks.log"), "what looks sensitive comes first"
    assert [note.split(": ")[1] for note in review.unscanned] == ["binary"]
    for secret in ("hunter2", "correct-horse", "0123456789abcdef"):
        assert secret not in review.model_dump_json()


async def test_what_the_agent_has_scrubbed_itself_does_not_look_sensitive(agent: OneAgent) -> None:
    async with agent.held(Behaviour()) as held:
        assert not held.review.sensitive


async def test_a_declined_archive_stays_where_it_lies_and_the_way_to_remove_it_is_told(agent: OneAgent) -> None:
    async with agent.held(Behaviour()) as held:
        result = await held.decline("Declined by sam.")

    assert (result.verdict, result.reason) == (Verdict.SKIPPED, "Declined by sam.")
    assert agent.told("answered", "uploaded", "ended") == ["answered", "ended"]
    (left,) = result.findings
    assert left.remediation is not None
    (step,) = left.remediation.steps
    assert step.snippet == f"kubectl -n datadog exec -it {POD} -c security-agent -- rm {agent.archives[0]}"


async def test_leaving_without_a_decision_says_no(agent: OneAgent) -> None:
    async with agent.held(Behaviour()) as held:
        assert not held.answered

    assert agent.told("answered", "uploaded", "ended") == ["answered", "ended"]
    assert await agent.api.quiet()


async def test_being_cancelled_while_it_waits_says_no(agent: OneAgent) -> None:
    waiting = asyncio.Event()

    async def wait() -> None:
        async with agent.held(Behaviour()) as held:
            waiting.set()
            await held.ended()

    task = asyncio.create_task(wait())
    await asyncio.wait_for(waiting.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert agent.told("answered", "uploaded", "ended") == ["answered", "ended"]
    assert await agent.api.quiet()


async def test_being_cancelled_while_it_builds_ends_the_process(agent: OneAgent) -> None:
    async def wait() -> None:
        async with agent.held(Behaviour(fault="flare_hangs")):
            pass

    task = asyncio.create_task(wait())
    await agent.until("started")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not agent.uploads
    assert await agent.api.quiet()


async def test_a_connection_that_is_cut_while_it_waits_is_not_uploaded(agent: OneAgent) -> None:
    async with agent.held(Behaviour()) as held:
        agent.api.cut(POD)
        result = await asyncio.wait_for(held.ended(), 10)
        assert (await held.approve()).findings[0].code == "flare.lost_waiting"

    assert result.findings[0].code == "flare.lost_waiting"
    assert result.flare is not None
    assert result.flare.outcome.kind == "not_uploaded"
    assert not agent.uploads
    assert await agent.api.quiet()


async def test_a_connection_that_is_cut_during_the_upload_is_in_doubt(agent: OneAgent) -> None:
    async with agent.held(Behaviour(fault="flare_upload_hangs")) as held:
        approving = asyncio.create_task(held.approve())
        await agent.until("answered")
        agent.api.cut(POD)
        result = await approving

    assert result.findings[0].code == "flare.upload_lost"
    assert result.flare is not None
    assert result.flare.outcome.kind == "in_doubt"
    assert await agent.api.quiet()


async def test_pings_keep_a_connection_that_would_be_cut_for_being_idle(tmp_path: Path) -> None:
    async with one_agent(tmp_path, heartbeat_s=0.3) as agent:
        agent.api.idle_limit_s = 1.0
        async with agent.held(Behaviour()) as held:
            await asyncio.sleep(3)
            assert (await held.approve()).verdict is Verdict.PASS


async def test_without_pings_an_idle_connection_is_cut_and_told_as_lost(tmp_path: Path) -> None:
    async with one_agent(tmp_path, heartbeat_s=60) as agent:
        agent.api.idle_limit_s = 1.0
        async with agent.held(Behaviour()) as held:
            result = await asyncio.wait_for(held.ended(), 10)
        assert not agent.uploads

    assert result.findings[0].code == "flare.lost_waiting"


async def test_a_copy_is_the_reviewed_archive_and_is_had_before_the_answer(agent: OneAgent) -> None:
    async with agent.held(Behaviour("7.78.0", security_agent=False)) as held:
        data = await held.copy(10**6)
        assert hashlib.sha256(data).hexdigest() == held.review.sha256
        with pytest.raises(NoCopy, match="larger"):
            await held.copy(10)
        assert (await held.approve()).verdict is Verdict.PASS
        with pytest.raises(AssertionError):
            await held.copy(10**6)


async def test_a_copy_that_cannot_be_had_keeps_nothing_from_being_uploaded(agent: OneAgent) -> None:
    async with agent.held(Behaviour()) as held:
        with pytest.raises(NoCopy):
            await held.copy(held.review.size - 1)
        assert (await held.approve()).verdict is Verdict.PASS


async def test_an_archive_that_was_another_one_when_it_was_copied_is_not_uploaded_also_when_it_is_back(
    agent: OneAgent,
) -> None:
    async with agent.held(Behaviour()) as held:
        (archive,) = agent.archives
        reviewed = archive.read_bytes()
        meddle(archive, "longer")
        with pytest.raises(NoCopy, match="not the reviewed one"):
            await held.copy(10**6)
        archive.write_bytes(reviewed)
        result = await held.approve()

    assert result.findings[0].code == "flare.changed"
    assert not agent.uploads


async def test_a_flare_is_decided_once(agent: OneAgent) -> None:
    async with agent.held(Behaviour()) as held:
        await held.approve()
        with pytest.raises(AssertionError):
            await held.approve()
        with pytest.raises(AssertionError):
            await held.decline("Again.")

    assert len(agent.uploads) == 1


def meddle(archive: Path, change: str) -> None:
    if change == "overwritten":
        archive.write_bytes(bytes(archive.stat().st_size))
    elif change == "longer":
        archive.write_bytes(archive.read_bytes() + b"\n")
    else:
        archive.unlink()
        if change == "a folder":
            archive.mkdir()


@pytest.mark.parametrize("change", ["overwritten", "longer", "removed", "a folder"])
async def test_another_archive_than_the_reviewed_one_is_not_uploaded(agent: OneAgent, change: str) -> None:
    async with agent.held(Behaviour()) as held:
        meddle(Path(held.review.path), change)
        result = await held.approve()

    expected = {"removed": "flare.vanished", "a folder": "flare.not_rechecked"}.get(change, "flare.changed")
    assert result.findings[0].code == expected
    assert not agent.uploads
    assert agent.told("answered") == ["answered"]


async def test_an_archive_that_is_too_large_to_review_is_not_uploaded(agent: OneAgent) -> None:
    agent.settings = dataclasses.replace(QUICK, archive_max_bytes=100)
    with pytest.raises(FlareFailed) as caught:
        async with agent.held(Behaviour()):
            pass

    assert caught.value.result.findings[0].code == "flare.archive_too_large"
    assert agent.told("answered", "uploaded") == ["answered"]


async def test_where_there_is_no_sha256sum_the_agents_own_python_hashes(agent: OneAgent) -> None:
    async with agent.held(Behaviour(), tools=("cat",)) as held:
        result = await held.approve()

    assert result.verdict is Verdict.PASS
    assert agent.uploads == [held.review.sha256]
    assert sum(argv[0] == "sha256sum" for _, argv in agent.api.commands) == 0
    assert sum("hashlib" in " ".join(argv) for _, argv in agent.api.commands) == 3


async def test_an_archive_that_can_no_longer_be_hashed_is_not_uploaded(agent: OneAgent) -> None:
    async with agent.held(Behaviour()) as held:
        agent.api.rights.clear()
        result = await held.approve()
        agent.api.rights.add("create pods/exec")

    assert result.findings[0].code == "flare.not_rechecked"
    assert "403" in result.reason or "not allowed" in result.reason
    assert agent.told("answered", "uploaded") == ["answered"]


async def test_a_full_disk_of_csms_own_is_told(agent: OneAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> object:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bot.runtime.temp_files.tempfile.SpooledTemporaryFile", full)
    with pytest.raises(FlareFailed) as caught:
        async with agent.held(Behaviour()):
            pass

    assert caught.value.result.findings[0].code == "flare.no_room"
    assert agent.told("answered", "uploaded") == ["answered"]


async def test_a_local_archive_is_warned_about_with_the_reason(agent: OneAgent) -> None:
    async with agent.held(Behaviour(fault="flare_local")) as held:
        assert held.review.local
        assert "connection refused" in held.review.warnings[0]


async def test_what_an_archive_hides_is_warned_about(agent: OneAgent) -> None:
    agent.settings = dataclasses.replace(QUICK, bounds=Bounds(file_bytes=2**20, total_bytes=2**22))
    async with agent.held(Behaviour(fault="flare_bomb")) as held:
        assert any("MiB" in warning for warning in held.review.warnings)
        assert "zeros.log: only its first 1 MiB" in " ".join(held.review.unscanned)
    async with agent.held(Behaviour(fault="flare_encrypted")) as held:
        assert any("encrypted" in warning for warning in held.review.warnings)
    async with agent.held(Behaviour(fault="flare_hostile_names")) as held:
        names = "".join(file.name for file in held.review.files)
        assert any("leads out" in warning for warning in held.review.warnings)
        assert not {"\n", "\x1b", "\u202e"} & set(names)


@pytest.mark.parametrize(
    ("version", "security_agent", "not_ready", "container", "because"),
    [
        ("7.50.3", True, {}, "security-agent", "before 7.77"),
        ("7.76.2", True, {}, "security-agent", "before 7.77"),
        ("7.77.0", True, {}, "agent", "from 7.77"),
        ("7.78.0", False, {}, "agent", "from 7.77"),
        ("7.70.1", False, {}, "agent", "no security-agent container"),
        ("7.70.1", True, {"security-agent": "CrashLoopBackOff"}, "agent", "CrashLoopBackOff"),
    ],
)
async def test_the_command_is_chosen_by_version_and_containers(
    agent: OneAgent, version: str, security_agent: bool, not_ready: dict[str, str], container: str, because: str
) -> None:
    async with agent.held(Behaviour(version, security_agent=security_agent), not_ready=not_ready) as held:
        assert held.review.container == container
        assert held.review.argv[0] == container
        assert because in held.review.why


async def test_an_archive_in_another_container_is_built_locally_instead(agent: OneAgent) -> None:
    async with agent.held(Behaviour("7.78.0", security_agent=False, fault="flare_other_container")) as held:
        assert held.review.argv[-1] == "--local"
        assert "another container" in held.review.why


async def test_a_new_case_has_no_number_and_a_case_is_an_argument_of_its_own(agent: OneAgent) -> None:
    async with agent.held(Behaviour(), FlareRequest(email="ana@example.com")) as held:
        assert held.review.argv == ("security-agent", "flare", "--email", "ana@example.com", "--no-color")
        assert held.review.destination == "datadoghq.com, a new case"
        assert (await held.approve()).reason == "Datadog has the archive, as case 9000001."


@pytest.mark.parametrize("case", ["12a", "1/../2", "-1", " 1", "1 2", "٣", "1" * 13, "$(id)", "1\n"])
def test_a_case_has_digits_only(case: str) -> None:
    with pytest.raises(UsageError):
        FlareRequest(case, "ana@example.com")


@pytest.mark.parametrize(
    "email", ["", "ana", "-e@b.c", "a b@c.d", "a@b", "a@b.c\n", "a@b.c --send", "ä@b.c", "a;id@b.c"]
)
def test_an_address_is_checked(email: str) -> None:
    with pytest.raises(UsageError):
        FlareRequest("1", email)


async def test_an_agent_that_does_not_run_is_not_asked(agent: OneAgent) -> None:
    with pytest.raises(FlareFailed) as caught:
        async with agent.held(Behaviour(), phase="Pending"):
            pass

    assert caught.value.result.findings[0].code == "agent.not_running"
    assert not agent.api.commands


@pytest.mark.parametrize(
    ("fault", "code"), [("vanish", "agent.vanished"), ("http_403", "agent.denied"), ("cut", "agent.connection_lost")]
)
async def test_what_breaks_on_the_way_is_named(agent: OneAgent, fault: str, code: str) -> None:
    with pytest.raises(FlareFailed) as caught:
        async with agent.held(Behaviour(delay_s=1), fault=fault):
            pass

    assert caught.value.result.findings[0].code == code
    assert not agent.uploads


async def test_a_flare_that_is_held_for_too_long_is_ended(agent: OneAgent) -> None:
    agent.settings = FlareSettings(build_deadline_s=1.5, hold_s=0.5, upload_deadline_s=0.5)
    with pytest.raises(FlareFailed) as caught:
        async with agent.held(Behaviour()):
            await asyncio.Event().wait()

    assert caught.value.result.findings[0].code == "flare.held_too_long"
    assert not agent.uploads
    assert await agent.api.quiet()


@pytest.mark.parametrize("installation", list(Installation))
@pytest.mark.parametrize("code", sorted(FLARE))
def test_every_finding_has_advice_that_names_the_place(code: str, installation: Installation) -> None:
    agent = Agent(
        target="t",
        name="node-1",
        platform=Platform.KUBERNETES,
        installation=installation,
        namespace="datadog",
        handle="pod-1",
    )
    advice = remediate(code, agent, from_tag("7.70.1"), container="security-agent", archive="/tmp/datadog-agent-x.zip")

    assert advice.summary.endswith((".", "answers."))
    for step in advice.steps:
        assert step.title
        assert "<time>" not in step.snippet
        if step.language == "yaml":
            assert isinstance(yaml.safe_load(step.snippet), dict)
