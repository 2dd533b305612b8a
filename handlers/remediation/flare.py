"""The remediation for each finding of the flare."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from handlers.model import Agent, Installation, Remediation, Step
from handlers.remediation import links, sudoers
from handlers.remediation.snippets import describe, logs, shell


@dataclass(frozen=True, slots=True)
class Place:
    """The location of a flare's archive. Unknown parts stand as `<…>` in snippets."""

    agent: Agent
    container: str
    archive: str
    ask: str = ""
    """A sentence that says whom to ask whether the flare arrived, and what to tell them."""

    def command(self, *argv: str) -> str:
        """The command line that a person types to run `argv` there."""
        words = shlex.join(argv)
        match self.agent.installation:
            case Installation.DOCKER:
                return f"docker exec -it {self.agent.name} {words}"
            case Installation.HOST:
                return f"sudo {words}"
            case _:
                pod, namespace = self.agent.handle or self.agent.name, self.agent.namespace or "<namespace>"
                return f"kubectl -n {namespace} exec -it {pod} -c {self.container or 'agent'} -- {words}"

    @property
    def path(self) -> str:
        return self.archive or "/tmp/datadog-agent-<time>.zip"  # noqa: S108 - a placeholder for people

    @property
    def binary(self) -> str:
        return "datadog-agent" if self.agent.installation is Installation.HOST else "agent"


_OPTIONS = r"flare( [0-9]{1,12})? --email [A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}@[A-Za-z0-9.-]{1,255} --no-color"
_ARCHIVE = r"(/var)?/tmp/datadog-agent-[A-Za-z0-9._-]{1,128}\.zip"
_AS_ROOT = (
    ("/opt/datadog-agent/bin/agent/agent", f"{_OPTIONS}( --local)?"),
    ("/opt/datadog-agent/embedded/bin/security-agent", _OPTIONS),
    ("/usr/bin/cat", _ARCHIVE),
    ("/usr/bin/sha256sum", _ARCHIVE),
)
SUDOERS_TITLE = sudoers.TITLE.format(what="flares")
SUDOERS = sudoers.rules(_AS_ROOT)

Steps = Callable[[Place], tuple[Step, ...]]

ASK = "Ask Datadog's support whether the flare arrived, before another one is sent."
"""For an upload that is in doubt. Replaced by `Place.ask` when the case, the host and the time are known."""


def advise(code: str, place: Place) -> Remediation:
    """The remediation for one of the flare's findings."""
    summary, steps, docs = ADVICE[code]
    return Remediation(summary=summary.replace(ASK, place.ask or ASK), steps=steps(place), docs=docs)


def _none(_place: Place) -> tuple[Step, ...]:
    return ()


def _by_hand(place: Place) -> tuple[Step, ...]:
    return (shell(place.agent, "See what it asks, and answer it yourself", place.command(place.binary, "flare")),)


def _remove(place: Place) -> tuple[Step, ...]:
    return (shell(place.agent, "Remove the archive", place.command("rm", place.path)),)


def _look(place: Place) -> tuple[Step, ...]:
    return (shell(place.agent, "See the archive", place.command("ls", "-l", place.path)),)


def _log(place: Place) -> tuple[Step, ...]:
    return (logs(place.agent, place.container if place.agent.installation not in _UNDIVIDED else "agent"),)


_UNDIVIDED = (Installation.DOCKER, Installation.HOST)


def _state(place: Place) -> tuple[Step, ...]:
    return (describe(place.agent),)


def _look_and_log(place: Place) -> tuple[Step, ...]:
    return (describe(place.agent), *_log(place))


def _room(place: Place) -> tuple[Step, ...]:
    return (
        shell(place.agent, "See how much room its temporary directory has", place.command("df", "-h", "/tmp")),  # noqa: S108
        *_log(place),
    )


def _reach(place: Place) -> tuple[Step, ...]:
    return (
        shell(
            place.agent, "See what the Agent itself says of its connections", place.command(place.binary, "diagnose")
        ),
    )


def _status(place: Place) -> tuple[Step, ...]:
    return (
        shell(
            place.agent,
            "See which keys the Agent has, and whether they are valid",
            place.command(place.binary, "status"),
        ),
    )


def _rights(place: Place) -> tuple[Step, ...]:
    if place.agent.installation is not Installation.HOST:
        return _look(place)
    return (
        Step(platform=place.agent.installation, title=SUDOERS_TITLE, language="text", snippet=SUDOERS),
        *_look(place),
    )


_AGAIN = "Ask for a new flare; it is reviewed anew."
_FLARE, _AGENT = (links.SEND_A_FLARE,), (links.SEND_A_FLARE, links.AGENT_TROUBLESHOOTING)
_UNKNOWN_QUESTION = (
    "This Agent asks what csm does not know how to answer, so nothing was answered and nothing was uploaded. Send the flare by"
    " hand, and report the Agent's version to csm."
)

ADVICE: Mapping[str, tuple[str, Steps, tuple[str, ...]]] = {
    "flare.no_command": ("Check that this is a Datadog Agent, and which containers it has.", _state, _AGENT),
    "flare.unknown_command": ("Check the image: no binary of a Datadog Agent was found there.", _state, _AGENT),
    "flare.unknown_flag": (
        "Send the flare by hand, and report the Agent's version to csm; or upgrade the Agent.",
        _by_hand,
        _FLARE,
    ),
    "flare.email_asked": (_UNKNOWN_QUESTION, _by_hand, _FLARE),
    "flare.unexpected_prompt": (_UNKNOWN_QUESTION, _by_hand, _FLARE),
    "flare.new_wording": (_UNKNOWN_QUESTION, _by_hand, _FLARE),
    "flare.spoke_on": (_UNKNOWN_QUESTION, _by_hand, _FLARE),
    "flare.bad_path": (
        "The Agent's TMPDIR may be set to another place than /tmp. Send the flare by hand if that is meant to be so.",
        _by_hand,
        _FLARE,
    ),
    "flare.ended_early": ("Read the evidence, and the Agent's log around that time.", _look_and_log, _AGENT),
    "flare.build_failed": ("See whether its temporary directory is full or read-only.", _room, _AGENT),
    "flare.build_timeout": (
        "A check or a provider of the Agent may be stuck, or it waits for an answer that csm does not know. Read its log, then ask again.",
        _look_and_log,
        _AGENT,
    ),
    "flare.no_token": (
        "The command must run as the user that owns the Agent's auth_token: root, or dd-agent.",
        _rights,
        _AGENT,
    ),
    "flare.not_permitted": ("Let csm run the command as root, or as dd-agent.", _rights, _AGENT),
    "flare.other_container": (
        "The Agent's containers must share their /tmp, or the flare must be built with --local, which csm tried where it can.",
        _state,
        _FLARE,
    ),
    "flare.uploaded_unasked": (
        "This is not how a Datadog Agent behaves. Treat the node as compromised until you know better, and ask Datadog's support which flare they have.",
        _look_and_log,
        _FLARE,
    ),
    "flare.archive_missing": (
        "Something removed it, or it is in another container. See what cleans /tmp there, then ask again.",
        _look,
        _FLARE,
    ),
    "flare.archive_denied": ("Let csm read the archive: run its commands as root, or as dd-agent.", _rights, _FLARE),
    "flare.archive_lost": (
        "Ask again. If it stays so, look at the node and at what is between it and csm.",
        _state,
        _FLARE,
    ),
    "flare.archive_too_large": (
        "Raise csm's limit if there is room for it, or remove old logs and core files that the Agent puts into its flares.",
        _look,
        _FLARE,
    ),
    "flare.archive_unreadable": (
        "Ask again. If it stays so, the Agent's disk is full or its archive is tampered with.",
        _room,
        _AGENT,
    ),
    "flare.archive_unsteady": (
        "Something writes to the archive. Find out what does, before you ask again.",
        _look,
        _AGENT,
    ),
    "flare.no_room": (
        "Make room in the temporary directory that csm runs with (TMPDIR): 256 MiB for each of four archives at once.",
        _none,
        _FLARE,
    ),
    "flare.no_hash": (
        "The Agent's image has neither sha256sum nor the Agent's Python. Send the flare by hand.",
        _by_hand,
        _FLARE,
    ),
    "flare.ended_waiting": (f"Its container may have been restarted. {_AGAIN}", _state, _FLARE),
    "flare.lost_waiting": (
        f"{_AGAIN} If it stays so, look at what cuts idle connections between csm and the Agent.",
        _state,
        _FLARE,
    ),
    "flare.held_too_long": (_AGAIN, _none, _FLARE),
    "flare.changed": (
        f"Find out who wrote to the archive: nothing but the Agent should. {_AGAIN}",
        _look,
        _FLARE,
    ),
    "flare.vanished": (f"See what cleans /tmp there. {_AGAIN}", _look, _FLARE),
    "flare.not_rechecked": (_AGAIN, _state, _FLARE),
    "flare.left_behind": ("Remove it when nobody needs it.", _remove, _FLARE),
    "flare.may_be_left_behind": ("Remove it, if it is there, when nobody needs it.", _remove, _FLARE),
    "flare.refused": (
        "The words are Datadog's. Check that the case exists and is open, and that the e-mail address is the one of the case.",
        _none,
        _FLARE,
    ),
    "flare.api_key": (
        "Check the Agent's API key and its site, since a key is valid on one site only; and whether a proxy forbids the upload.",
        _status,
        (links.SITES, links.PROXY, *_AGENT),
    ),
    "flare.http_refused": (
        "The status says why; 413 and 407 are usually a proxy's. Let what is between the Agent and Datadog pass the upload.",
        _reach,
        (links.NETWORK, links.PROXY),
    ),
    "flare.backend_unreachable": (
        "Let the Agent reach *.agent.<site> on port 443, or set its proxy.",
        _reach,
        (links.NETWORK, links.PROXY),
    ),
    "flare.not_taken": ("Send the flare by hand, and report the Agent's version to csm.", _by_hand, _FLARE),
    "flare.retries_exhausted": (f"{ASK} Then see whether the Agent reaches Datadog at all.", _reach, (links.NETWORK,)),
    "flare.no_answer": (f"{ASK} Then see what is between the Agent and Datadog.", _reach, (links.NETWORK,)),
    "flare.http_error": (f"{ASK} Then see what is between the Agent and Datadog.", _reach, (links.NETWORK,)),
    "flare.answer_unreadable": (f"{ASK} Then see what is between the Agent and Datadog.", _reach, (links.NETWORK,)),
    "flare.bad_response": (
        f"{ASK} A proxy or a portal seems to answer in its place: check the Agent's proxy, and who has what it received.",
        _reach,
        (links.PROXY,),
    ),
    "flare.upload_failed": (f"{ASK} Then read the evidence.", _reach, (links.NETWORK, *_FLARE)),
    "flare.unclear": (ASK, _none, _FLARE),
    "flare.contradiction": (ASK, _none, _FLARE),
    "flare.upload_timeout": (ASK, _reach, _FLARE),
    "flare.upload_lost": (ASK, _state, _FLARE),
    "flare.uploaded_despite_no": (
        "This is not how a Datadog Agent behaves. Ask Datadog's support to delete the flare, and find out what the binary is.",
        _look_and_log,
        _FLARE,
    ),
    "flare.local": (
        "See why the running Agent does not answer the command: its command port, its token, or it is not running.",
        _look_and_log,
        _AGENT,
    ),
    "flare.changed_during_upload": (
        "Find out who wrote to the archive, and ask Datadog's support to delete the flare.",
        _look,
        _FLARE,
    ),
    "flare.no_copy": (
        "The upload went on without it. Where the archive still lies on the Agent, copy it from there.",
        _look,
        _FLARE,
    ),
    "flare.not_rechecked_after": ("Look at the archive yourself, if it matters.", _look, _FLARE),
}
