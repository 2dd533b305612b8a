"""Whatever an app sends, it gets an answer that says what is wrong; nothing breaks."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.sandbox.slack.blocks import faults_of_attachments, faults_of_message, faults_of_options, faults_of_view
from bot.sandbox.slack.server import LocalSlack
from bot.sandbox.slack.state import first_values
from bot.sandbox.slack.stored import derived_text, stored_blocks
from bot.sandbox.slack.web_api import METHODS
from bot.sandbox.slack.web_api.method import Method
from tests.sandbox.conftest import CHANNEL, MANIFEST, Client
from tests.sandbox.samples import EVERY_BLOCK, modal

KINDS = sorted(
    {*EVERY_BLOCK, "alert", "mrkdwn", "plain_text", "button", "static_select", "overflow", "checkboxes", "plain_text_input", "rich_text_section",
     "rich_text_list", "text", "raw_text", "pie", "bar", "modal", "home"}
)  # fmt: skip
KEYS = sorted(
    {"text", "fields", "elements", "accessory", "element", "label", "options", "option_groups", "rows", "chart", "series", "segments", "title",
     "child_blocks", "tasks", "actions", "confirm", "value", "action_id", "block_id", "blocks", "style", "min_value", "max_value", "min_length",
     "max_length", "initial_option", "initial_options", "axis_config", "categories", "data", "row_header_column_index", "submit"}
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=True)
    | st.sampled_from(["", "x", "primary", *KINDS])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.builds(
            lambda kind, rest: {"type": kind, **rest},
            st.sampled_from(KINDS),
            st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
        )
    ),
    max_leaves=25,
)
MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@MANY
@given(blocks=JSON | st.lists(JSON, max_size=4))
def test_the_judge_takes_anything_and_what_it_takes_can_be_kept(blocks: Any) -> None:
    if not faults_of_message(blocks):
        kept = stored_blocks(blocks)
        first_values(kept)
        assert derived_text(kept)
        assert not faults_of_message(kept), "what was kept is as right as what came"


@MANY
@given(value=JSON)
def test_views_attachments_and_options_can_be_anything(value: Any) -> None:
    for judge in (faults_of_view, faults_of_attachments, faults_of_options):
        assert all(fault.message for fault in judge(value))
    assert isinstance(faults_of_view({"type": "modal", "title": value, "blocks": value}), list)


@MANY
@given(block=st.sampled_from([*EVERY_BLOCK.values()]))
def test_what_is_kept_of_every_kind_is_still_right(block: Any) -> None:
    assert not faults_of_message(stored_blocks([block]))


GARBAGE: list[Any] = [None, True, -1, 10**20, "", "\x00", [1], [None], {"a": 1}, [{"id": []}]]
ARGUMENTS = (
    "channel", "channel_id", "channels", "text", "ts", "thread_ts", "message_ts", "timestamp", "blocks", "attachments", "metadata", "view", "view_id",
    "external_id", "hash", "trigger_id", "user", "users", "user_id", "usergroup", "name", "limit", "cursor", "oldest", "latest", "inclusive", "types",
    "email", "bot", "team", "file", "files", "filename", "length", "snippet_type", "alt_txt", "initial_comment", "post_at", "scheduled_message_id",
    "bookmark_id", "title", "type", "link", "message", "error", "markdown_text", "reply_broadcast", "include_users", "include_all_metadata",
)  # fmt: skip


@pytest.fixture
async def unlimited(session: Any) -> Any:
    async with LocalSlack(MANIFEST, rate_limits=False) as slack:
        yield slack, Client(slack, session)


@pytest.mark.timeout(300)
async def test_no_argument_of_any_method_breaks_it(unlimited: tuple[LocalSlack, Client]) -> None:
    slack, api = unlimited
    ts = (await api.ok("chat.postMessage", channel=CHANNEL, text="x"))["ts"]
    right = {
        "channel": CHANNEL, "channel_id": CHANNEL, "text": "x", "ts": ts, "message_ts": ts, "timestamp": ts, "user": "U0SANDANA", "users": "U0SANDANA",
        "user_id": "U0SANDANA", "name": "eyes", "view": modal(), "filename": "x", "length": 1, "type": "link", "title": "x", "link": "https://example.com",
        "post_at": int(slack.workspace.clock.now()) + 3600,
    }  # fmt: skip
    for name, method in METHODS.items():
        token = slack.app_token if method.token == "app" else None
        for argument in read_by(method):
            for value in GARBAGE:
                trigger = slack.workspace.triggers.make("U0SANDANA")
                answer = await api(name, token=token, **{**right, "trigger_id": trigger, argument: value})
                assert answer["ok"] or answer["error"], (name, argument, value)


def read_by(method: Method) -> list[str]:
    """The arguments that a method's family, or what all methods share, asks for by name."""
    source = inspect.getsource(inspect.getmodule(method.function))  # type: ignore[arg-type]
    return [name for name in ARGUMENTS if f'"{name}"' in source]


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a=%ff&blocks=%ff", b"=" * 10_000, b"--x\r\n"])
@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=x", "image/png"]
)
async def test_a_body_that_is_none_is_answered(api: Client, body: bytes, kind: str) -> None:
    async with await api.raw("chat.postMessage", data=body, headers={"Content-Type": kind}) as answer:
        assert answer.status == 200
        assert not (await answer.json())["ok"]
