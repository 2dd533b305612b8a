"""
The modals of a flare: the form for Agent, case and e-mail address (`flare.submit`), and the confirmation of the host
before an archive goes to a host other than Datadog's (`flare.confirm`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.render.formatting import GLYPHS, mrkdwn, one_line
from bot.render.post import section
from handlers.model import FlareReview, Verdict

MOST_OPTIONS = 100
"""
Maximum options of a select (docs.slack.dev: reference/block-kit/block-elements/select-menu-element).

With more Agents than this, the person types a part of the name.
"""


@dataclass(frozen=True, slots=True)
class AgentChoice:
    """An Agent that the form offers, with the verdict of its last self-test, if there was one."""

    name: str
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Values:
    """The submitted values of the form."""

    agent: str
    case: str
    email: str


def loading(target: str, private_metadata: str) -> dict[str, Any]:
    """The view while csm finds the Agents."""
    return _view(target, private_metadata, [section(f"⏳ Finding the Agents of {mrkdwn(target, 200)}")])


def failed(target: str, why: str) -> dict[str, Any]:
    """The view when there is no Agent to choose from."""
    return _view(target, "", [section(f"❔ {mrkdwn(why, 2000)}")])


def form(
    target: str,
    agents: Sequence[AgentChoice],
    private_metadata: str,
    *,
    agent: str = "",
    case: str = "",
    email: str = "",
) -> dict[str, Any]:
    """The form. `agents` are offered in the given order: put those that fail first."""
    blocks: list[dict[str, Any]] = []
    if agent:
        blocks.append(section(f"Agent: *{mrkdwn(agent, 200)}*"))
    else:
        blocks.append(_input("agent", "Agent", _select(agents)))
    blocks.append(
        _input(
            "case", "Support case", _text("flare.case", case, "Empty: a new case"), optional=True, hint="Digits only."
        )
    )
    hint = "The case's own address; for a new case, where Datadog answers."
    blocks.append(_input("email", "E-mail address", _text("flare.email", email, "name@example.com"), hint=hint))
    blocks.append(
        section("The archive is built and shown in the channel's thread. It leaves only when it was approved.")
    )
    return {**_view(target, private_metadata, blocks), "submit": _words("Prepare", 24)}


def confirm_host(review: FlareReview, private_metadata: str) -> dict[str, Any]:
    """The modal in which the approver types the host where the archive goes, if it is not Datadog's."""
    host = mrkdwn(review.foreign_host, 300)
    words = (
        f"🚨 *This archive does not go to Datadog.* The Agent sends it to `{host}`. Whoever runs that host gets everything"
        " that is in it. Approve only when you know that host, and why the Agent sends there."
    )
    hint = f"Exactly as above. The Agent has it from {review.destination_source}."
    typed = _input("host", "Type the host to confirm it", _text("flare.host", "", "The host, as above"), hint=hint)
    view = _view("", private_metadata, [section(words), typed], callback_id="flare.confirm")
    return {**view, "title": _words("Not Datadog's host", 24), "submit": _words("Upload", 24)}


def typed_host(state: Mapping[str, Any]) -> str:
    """Return the host that was typed (`view.state.values`), in the form of `FlareReview.foreign_host`."""
    typed = (state.get("host", {}).get("flare.host") or {}).get("value") or ""
    return str(typed).strip().lower()


def suggestions(agents: Sequence[AgentChoice], typed: str) -> dict[str, Any]:
    """The options of an external select that match the typed text, in the order of `agents`."""
    found = [choice for choice in agents if typed.lower() in choice.name.lower()]
    return {"options": [_option(choice) for choice in found[:MOST_OPTIONS]]}


def values(state: Mapping[str, Any]) -> Values:
    """Return the submitted values (`view.state.values`)."""

    def typed(block: str) -> str:
        return str((state.get(block, {}).get(f"flare.{block}") or {}).get("value") or "").strip()

    chosen = (state.get("agent", {}).get("flare.agent") or {}).get("selected_option") or {}
    return Values(str(chosen.get("value") or ""), typed("case"), typed("email"))


def _select(agents: Sequence[AgentChoice]) -> dict[str, Any]:
    if len(agents) > MOST_OPTIONS:
        placeholder = _words(f"Type a part of one of {len(agents)} names", 150)
        return {
            "type": "external_select",
            "action_id": "flare.agent",
            "placeholder": placeholder,
            "min_query_length": 0,
        }
    select: dict[str, Any] = {"type": "static_select", "action_id": "flare.agent"}
    select["placeholder"] = _words("Choose an Agent", 150)
    bad = [choice for choice in agents if _is_bad(choice)]
    rest = [choice for choice in agents if not _is_bad(choice)]
    if len(agents) == 1:
        select["initial_option"] = _option(agents[0])
    if not bad or not rest:
        return {**select, "options": [_option(choice) for choice in agents]}
    groups = (("Failed their last self-test", bad), ("The others", rest))
    groups_shown = [
        {"label": _words(label, 75), "options": [_option(choice) for choice in some]} for label, some in groups
    ]
    return {**select, "option_groups": groups_shown}


def _is_bad(choice: AgentChoice) -> bool:
    return choice.verdict in {Verdict.FAIL, Verdict.UNKNOWN}


def _option(choice: AgentChoice) -> dict[str, Any]:
    text = f"{GLYPHS[choice.verdict]} {choice.name}" if choice.verdict else choice.name
    # Slack allows 150 characters in a value. A longer name is cut, and refused later because no Agent has that name.
    return {"text": _words(text, 75), "value": choice.name[:150]}


def _input(
    block: str, label: str, element: dict[str, Any], *, optional: bool = False, hint: str = ""
) -> dict[str, Any]:
    more = {"hint": _words(hint, 2000)} if hint else {}
    return {
        "type": "input",
        "block_id": block,
        "label": _words(label, 2000),
        "element": element,
        "optional": optional,
        **more,
    }


def _text(action_id: str, value: str, placeholder: str) -> dict[str, Any]:
    given = {"initial_value": value} if value else {}
    return {
        "type": "plain_text_input",
        "action_id": action_id,
        "placeholder": _words(placeholder, 150),
        "max_length": 320,
        **given,
    }


def _view(
    target: str, private_metadata: str, blocks: Sequence[dict[str, Any]], *, callback_id: str = "flare.submit"
) -> dict[str, Any]:
    if len(private_metadata) > 3000:
        raise ValueError("Slack accepts at most 3,000 characters of private_metadata")
    return {
        "type": "modal",
        "callback_id": callback_id,
        "private_metadata": private_metadata,
        "title": _words(f"Flare of {target}", 24),
        "close": _words("Cancel", 24),
        "blocks": list(blocks),
    }


def _words(text: str, limit: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": one_line(text, limit)}
