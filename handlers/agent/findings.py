"""
Every finding of the self-test, the flare and the tc check, with its severity and verdict. One table.

`fail` is for what was observed to be wrong; `unknown` is for anything that kept csm from observing. Codes are public
and do not change: other programs match on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from handlers import errors
from handlers.model import Severity, Verdict


class Kind(NamedTuple):
    """Severity, verdict and summary of a finding code. `summary` may use {agent}, {detail} and {container}."""

    severity: Severity
    verdict: Verdict
    summary: str


_HIGH, _MEDIUM, _LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW
_FAIL, _UNKNOWN = Verdict.FAIL, Verdict.UNKNOWN

SELFTEST: Mapping[str, Kind] = {
    "selftest.rule_failed": Kind(_HIGH, _FAIL, "The self-test failed: {detail}."),
    "selftest.errored": Kind(_HIGH, _FAIL, "The Agent could not run its self-test."),
    "selftest.socket_dead": Kind(_HIGH, _FAIL, "The runtime security module is down: its socket does not exist."),
    "selftest.socket_refused": Kind(
        _HIGH, _FAIL, "The runtime security module is down: nothing answers on its socket."
    ),
    "selftest.not_enabled": Kind(_HIGH, _FAIL, "Workload Protection is not enabled on this Agent."),
    "selftest.disabled": Kind(_MEDIUM, _UNKNOWN, "Self-tests are disabled on this Agent, or their set-up failed."),
    "selftest.ebpfless": Kind(
        _LOW, Verdict.SKIPPED, "This Agent works without eBPF, where the self-test cannot be asked for."
    ),
    "selftest.permission_denied": Kind(
        _MEDIUM, _UNKNOWN, "The user that ran the command may not ask the Agent, or not open the module's socket."
    ),
    "selftest.socket_elsewhere": Kind(
        _MEDIUM, _UNKNOWN, "The module has its socket at {detail}, and security-agent looks for it elsewhere."
    ),
    "selftest.module_starting": Kind(_LOW, _UNKNOWN, "The runtime security module is still starting."),
    "selftest.already_running": Kind(_LOW, _UNKNOWN, "Another self-test was running on this Agent."),
    "selftest.unknown_command": Kind(_MEDIUM, _UNKNOWN, "No binary of this Agent knows the self-test's command."),
    "selftest.no_command": Kind(
        _MEDIUM, _UNKNOWN, "The Agent has neither a system-probe nor a security-agent container."
    ),
    "selftest.unreadable": Kind(_MEDIUM, _UNKNOWN, "What the Agent said cannot be read: {detail}."),
    "selftest.no_block": Kind(_MEDIUM, _UNKNOWN, "The Agent's status does not say which self-tests succeeded."),
    "selftest.never_finished": Kind(_MEDIUM, _UNKNOWN, "The status says that a self-test has never finished."),
    "selftest.stale": Kind(_MEDIUM, _UNKNOWN, "The self-test's results are too old to count."),
    "selftest.zone_unknown": Kind(
        _MEDIUM, _UNKNOWN, "The time of the results is told in the zone {detail}, which stands for several."
    ),
    "selftest.future": Kind(_MEDIUM, _UNKNOWN, "The self-test's results are from the future. Check the node's clock."),
    "selftest.contradiction": Kind(_MEDIUM, _UNKNOWN, "The results contradict themselves: {detail}."),
    "selftest.incomplete": Kind(_MEDIUM, _UNKNOWN, "Not every test has a result: {detail}."),
}

_WARN, _SKIPPED = Verdict.WARN, Verdict.SKIPPED

TC: Mapping[str, Kind] = {
    "tc.race": Kind(
        Severity.CRITICAL,
        _FAIL,
        "This Agent can cut pods off the network: 7.36 to 7.39.1 may delete the filter of {detail}.",
    ),
    "tc.tcx_first": Kind(
        _HIGH,
        _FAIL,
        "Packets are not seen: {detail} ends the chain, and tcx and netkit run before every classic filter.",
    ),
    "tc.priority_one": Kind(_HIGH, _FAIL, "Packets are not seen: {detail} ends the chain at priority 1."),
    "tc.priority_low": Kind(_HIGH, _FAIL, "Packets are not seen: {detail} ends the chain before the Agent's filters."),
    "tc.priority_raised": Kind(
        _HIGH, _FAIL, "Packets are not seen: the Agent's priority was raised, and {detail} ends the chain before it."
    ),
    "tc.handle_taken": Kind(
        _HIGH, _FAIL, "The Agent's filters are missing: {detail} has their priority and their handle."
    ),
    "tc.removed": Kind(
        _MEDIUM, _FAIL, "The Agent's filters are gone where {detail} is attached with tcx and removes classic filters."
    ),
    "tc.not_attached": Kind(_MEDIUM, _WARN, "The Agent has no filter on any device of this node."),
    "tc.missing": Kind(_MEDIUM, _WARN, "The Agent's filters are missing on {detail}."),
    "tc.redirected": Kind(_MEDIUM, _WARN, "Some packets are not seen: {detail} can redirect them first."),
    "tc.netkit": Kind(
        _MEDIUM,
        _WARN,
        "{detail} runs before the Agent's filters: what it passes goes on to them, what it redirects does not.",
    ),
    "tc.matching_filter": Kind(
        _MEDIUM, _WARN, "Some packets may not be seen: {detail} ends the chain for what it matches."
    ),
    "tc.priority_equal": Kind(
        _MEDIUM, _WARN, "Packets are seen by luck: {detail} has the Agent's priority, and who attaches last runs first."
    ),
    "tc.odd_device": Kind(_LOW, _WARN, "Unlike its many siblings: {detail}."),
    "tc.by_table": Kind(
        _LOW, _WARN, "Only the vendor table says that {detail} lets the chain go on; its instructions do not tell."
    ),
    "tc.not_applied": Kind(_LOW, _WARN, "The Agent's filters do not have the priority of its settings: {detail}."),
    "tc.cannot_tell": Kind(
        _MEDIUM, _UNKNOWN, "It cannot be told what {detail} can return, before the Agent's filters."
    ),
    "tc.priority_unseen": Kind(
        _MEDIUM, _UNKNOWN, "The Agent's priority was not seen, so it cannot be told whether {detail} runs before it."
    ),
    "tc.settings_unseen": Kind(
        _MEDIUM, _UNKNOWN, "It could not be seen whether this Agent watches the network: {detail}."
    ),
    "tc.version_unseen": Kind(
        _MEDIUM, _UNKNOWN, "The Agent's version was not seen; 7.36 to 7.39.1 could delete the filter of {detail}."
    ),
    "tc.unseen": Kind(_MEDIUM, _UNKNOWN, "Not everything could be seen: {detail}."),
    "tc.nothing_seen": Kind(_HIGH, _UNKNOWN, "No network device could be looked at: {detail}."),
    "tc.unreadable": Kind(_MEDIUM, _UNKNOWN, "The evidence cannot be read: {detail}."),
    "tc.disabled": Kind(_LOW, _SKIPPED, "Workload Protection is not enabled on this Agent, so it has no filters."),
    "tc.network_disabled": Kind(_LOW, _SKIPPED, "Network detections are disabled on this Agent, so it has no filters."),
    "tc.ebpfless": Kind(_LOW, _SKIPPED, "This Agent works without eBPF, and so without filters."),
    "tc.too_old": Kind(_LOW, _SKIPPED, "Agents before 7.36 have no network detections, and so no filters."),
}

AGENT: Mapping[str, Kind] = {
    "agent.not_running": Kind(_HIGH, _UNKNOWN, "The Agent is not running: {detail}."),
    "agent.container_not_ready": Kind(_HIGH, _UNKNOWN, "Its container is not ready: {detail}."),
    "agent.unreachable": Kind(_MEDIUM, _UNKNOWN, "The Agent could not be reached."),
    "agent.denied": Kind(_MEDIUM, _UNKNOWN, "csm was not allowed to run the command."),
    "agent.vanished": Kind(_MEDIUM, _UNKNOWN, "The Agent is no longer there."),
    "agent.throttled": Kind(_LOW, _UNKNOWN, "The platform had too many requests."),
    "agent.binary_missing": Kind(_MEDIUM, _UNKNOWN, "The Agent's binary is not where it should be."),
    "agent.timeout": Kind(_HIGH, _UNKNOWN, "The Agent did not answer in time."),
    "agent.output_limit": Kind(_MEDIUM, _UNKNOWN, "The Agent printed more than it may."),
    "agent.connection_lost": Kind(_MEDIUM, _UNKNOWN, "The connection was lost while the Agent was asked."),
    "agent.no_exit_status": Kind(_LOW, _UNKNOWN, "The platform did not say how the command ended."),
}

_CRITICAL, _INFO = Severity.CRITICAL, Severity.INFO

FLARE: Mapping[str, Kind] = {
    # No archive was reviewed.
    "flare.no_command": Kind(_MEDIUM, _UNKNOWN, "The Agent has no container that could build a flare."),
    "flare.unknown_command": Kind(_MEDIUM, _UNKNOWN, "No binary of this Agent knows how to build a flare."),
    "flare.unknown_flag": Kind(_MEDIUM, _UNKNOWN, "The Agent does not know an option that csm gives: {detail}."),
    "flare.email_asked": Kind(
        _MEDIUM, _UNKNOWN, "The Agent asked for an e-mail address although it was given one. It was not answered."
    ),
    "flare.unexpected_prompt": Kind(
        _MEDIUM, _UNKNOWN, "The Agent asked something that csm does not know: {detail}. It was not answered."
    ),
    "flare.new_wording": Kind(
        _MEDIUM,
        _UNKNOWN,
        "The Agent asked for confirmation in words that csm does not know: {detail}. It was not answered.",
    ),
    "flare.spoke_on": Kind(
        _MEDIUM, _UNKNOWN, "The Agent went on talking after its question, so an answer might have met another one."
    ),
    "flare.bad_path": Kind(_HIGH, _UNKNOWN, "The Agent named an archive that is not where flares are: {detail}."),
    "flare.ended_early": Kind(_HIGH, _FAIL, "The Agent ended before it asked whether to upload: {detail}."),
    "flare.build_failed": Kind(_HIGH, _FAIL, "The Agent could not build the archive: {detail}."),
    "flare.build_timeout": Kind(_HIGH, _UNKNOWN, "The Agent had not built the archive in time and was ended."),
    "flare.no_token": Kind(_HIGH, _FAIL, "The Agent's authentication token cannot be read by the command: {detail}."),
    "flare.not_permitted": Kind(_HIGH, _FAIL, "The command was not permitted something it needs: {detail}."),
    "flare.other_container": Kind(_MEDIUM, _FAIL, "The archive is not in the container that the command runs in."),
    "flare.uploaded_unasked": Kind(_CRITICAL, _FAIL, "The Agent uploaded a flare without asking."),
    "flare.archive_missing": Kind(_HIGH, _UNKNOWN, "The archive is not where the Agent says it is."),
    "flare.archive_denied": Kind(_HIGH, _UNKNOWN, "csm may not read the archive, so nobody could review it."),
    "flare.archive_lost": Kind(_MEDIUM, _UNKNOWN, "The archive could not be read to its end: {detail}."),
    "flare.archive_too_large": Kind(_MEDIUM, _UNKNOWN, "The archive is larger than csm reviews: {detail}."),
    "flare.archive_unreadable": Kind(_HIGH, _UNKNOWN, "The archive cannot be reviewed: {detail}."),
    "flare.archive_unsteady": Kind(_HIGH, _UNKNOWN, "The archive changed while it was being read."),
    "flare.no_room": Kind(_MEDIUM, _UNKNOWN, "csm has no room for the archive while it is reviewed: {detail}."),
    "flare.no_hash": Kind(
        _MEDIUM, _UNKNOWN, "The archive cannot be hashed where it lies, so it could not be checked again."
    ),
    # The archive was reviewed, and `y` was not written.
    "flare.ended_waiting": Kind(
        _MEDIUM, _UNKNOWN, "The Agent's command ended while it waited for an answer: {detail}."
    ),
    "flare.lost_waiting": Kind(_MEDIUM, _UNKNOWN, "The connection was lost while the archive waited for an answer."),
    "flare.held_too_long": Kind(_LOW, _UNKNOWN, "The archive waited for an answer for longer than csm holds one."),
    "flare.changed": Kind(
        _CRITICAL, _UNKNOWN, "The archive is another one than the one that was reviewed: it changed."
    ),
    "flare.vanished": Kind(_HIGH, _UNKNOWN, "The archive vanished after its review."),
    "flare.not_rechecked": Kind(
        _MEDIUM, _UNKNOWN, "The archive could not be checked again before the upload: {detail}."
    ),
    "flare.left_behind": Kind(_INFO, Verdict.SKIPPED, "The archive still lies in {detail}."),
    "flare.may_be_left_behind": Kind(
        _INFO, Verdict.SKIPPED, "The archive may still lie in {detail}: newer Agents remove what they uploaded."
    ),
    # `y` was written. `fail` means that certainly nothing arrived, `unknown` that the archive may have arrived.
    "flare.refused": Kind(_MEDIUM, _FAIL, "Datadog refused the flare: {detail}."),
    "flare.api_key": Kind(_HIGH, _FAIL, "The upload was refused with 403, by Datadog or a proxy: {detail}."),
    "flare.http_refused": Kind(_MEDIUM, _FAIL, "The upload was refused, by Datadog or a proxy: {detail}."),
    "flare.backend_unreachable": Kind(
        _MEDIUM, _FAIL, "The Agent did not reach Datadog's flare service, and sent nothing: {detail}."
    ),
    "flare.not_taken": Kind(_MEDIUM, _FAIL, "The Agent took the approval for a no, and uploaded nothing."),
    "flare.retries_exhausted": Kind(
        _MEDIUM, _UNKNOWN, "None of the Agent's attempts was confirmed, and each of them may have arrived: {detail}."
    ),
    "flare.no_answer": Kind(
        _MEDIUM, _UNKNOWN, "The Agent sent the archive and got no answer, so it may have arrived: {detail}."
    ),
    "flare.http_error": Kind(
        _MEDIUM, _UNKNOWN, "The upload was answered with an error, and may have arrived all the same: {detail}."
    ),
    "flare.answer_unreadable": Kind(
        _MEDIUM, _UNKNOWN, "The Agent could not read the answer to its upload, which may have arrived: {detail}."
    ),
    "flare.bad_response": Kind(
        _MEDIUM,
        _UNKNOWN,
        "By its headers, what answered the upload was not Datadog's flare service; it may have passed it on: {detail}.",
    ),
    "flare.upload_failed": Kind(
        _MEDIUM, _UNKNOWN, "The Agent's upload ended with an error, and may have arrived all the same: {detail}."
    ),
    "flare.unclear": Kind(_MEDIUM, _UNKNOWN, "The Agent did not say what became of the upload."),
    "flare.contradiction": Kind(_MEDIUM, _UNKNOWN, "The Agent said that the upload succeeded, and that it failed."),
    "flare.upload_timeout": Kind(
        _MEDIUM, _UNKNOWN, "The upload had not ended in time; whether Datadog has it is not known."
    ),
    "flare.upload_lost": Kind(
        _MEDIUM, _UNKNOWN, "The connection was lost during the upload; whether Datadog has it is not known."
    ),
    "flare.uploaded_despite_no": Kind(_CRITICAL, _FAIL, "The Agent uploaded the archive although the answer was no."),
    # The archive was uploaded, with a remark.
    "flare.local": Kind(
        _MEDIUM, Verdict.WARN, "The command built the archive itself, without the running Agent: some logs are missing."
    ),
    "flare.changed_during_upload": Kind(
        _CRITICAL,
        _UNKNOWN,
        "The archive changed while it was uploaded: Datadog may have another one than was approved.",
    ),
    "flare.no_copy": Kind(_INFO, Verdict.SKIPPED, "No copy of the archive was kept: {detail}."),
    "flare.not_rechecked_after": Kind(
        _LOW, Verdict.WARN, "Whether the archive stayed the same during the upload could not be checked: {detail}."
    ),
}


KINDS: Mapping[str, Kind] = {**SELFTEST, **FLARE, **TC, **AGENT}

CODES: Mapping[type[errors.ExecError], str] = {
    errors.Unreachable: "agent.unreachable",
    errors.Denied: "agent.denied",
    errors.Vanished: "agent.vanished",
    errors.NotReady: "agent.container_not_ready",
    errors.Throttled: "agent.throttled",
    errors.BinaryMissing: "agent.binary_missing",
    errors.DeadlineExceeded: "agent.timeout",
    errors.OutputLimitExceeded: "agent.output_limit",
    errors.ConnectionLost: "agent.connection_lost",
    errors.NoExitStatus: "agent.no_exit_status",
}
"""The finding code for each error of a command that did not end by itself."""
