"""The messenger: once and no more, in spite of lost answers, limits and outages, and within its patience."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.render.post import File, Post
from bot.slack.messenger import Messenger, Undeliverable
from bot.storage.store import Sent
from tests.virtual_time import run

POST = Post("opening", "hello", ())
FILES = (File("a.json", "a", "{}", ""), File("a.txt", "a", "words", ""))


class Slack:
    """Slack's methods, as the client calls them. What goes wrong is a script for each method, used up call by call."""

    def __init__(self, **scripts: list[Any]) -> None:
        self.scripts: dict[str, list[Any]] = defaultdict(list, scripts)
        self.calls: list[tuple[float, str, Mapping[str, Any]]] = []
        self.messages: list[dict[str, Any]] = []
        self.session = self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def method(**arguments: Any) -> Any:
            self.calls.append((asyncio.get_running_loop().time(), name, arguments))
            await asyncio.sleep(0.05)
            fault = self.scripts[name].pop(0) if self.scripts[name] else None
            if fault is not None and not isinstance(fault, Lost):
                raise fault
            answer = getattr(self, f"_{name}")(arguments)
            if fault is not None:
                raise fault.error
            return answer

        method.__name__ = name
        return method

    def times(self, name: str) -> list[float]:
        return [at for at, called, _ in self.calls if called == name]

    def _chat_postMessage(self, arguments: Mapping[str, Any]) -> Any:  # noqa: N802 - the SDK's name
        message = {**arguments, "ts": f"{len(self.messages) + 1}.0"}
        self.messages.append(message)
        return {"channel": arguments["channel"], "ts": message["ts"]}

    def _chat_update(self, _arguments: Mapping[str, Any]) -> Any:
        return {}

    def _conversations_history(self, _arguments: Mapping[str, Any]) -> Any:
        return {"messages": self.messages}

    _conversations_replies = _conversations_history

    def _files_getUploadURLExternal(self, arguments: Mapping[str, Any]) -> Any:  # noqa: N802
        return {"upload_url": "http://127.0.0.1/upload", "file_id": f"F-{arguments['filename']}"}

    def _files_completeUploadExternal(self, arguments: Mapping[str, Any]) -> Any:  # noqa: N802
        self.messages.append({"files": [{"id": file["id"]} for file in arguments["files"]], "ts": "9.0"})
        return {}

    def post(self, _url: str, **_options: Any) -> Any:
        """An upload, by the session."""

        class Answer:
            async def __aenter__(self) -> Any:
                return SimpleNamespace(raise_for_status=lambda: None, ok=True)

            async def __aexit__(self, *_: object) -> None:
                pass

        return Answer()


class Lost(Exception):
    """The call was carried out, and its answer lost."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Memory:
    """What the store knows of posts."""

    def __init__(self) -> None:
        self.posts: dict[tuple[str, str], Sent] = {}

    async def intend(self, run_: str, key: str, channel: str, at: float) -> Sent | None:
        known = self.posts.get((run_, key))
        self.posts.setdefault((run_, key), Sent(channel, "", at))
        return known

    async def sent(self, run_: str, key: str, *, channel: str, ts: str = "", extra: str = "") -> None:
        self.posts[(run_, key)] = Sent(channel, ts, 0.0, extra)


def refusal(error: str, status: int = 200, **headers: str) -> SlackApiError:
    answer = AsyncSlackResponse(
        client=AsyncWebClient(), http_verb="POST", api_url="", req_args={}, data={"ok": False, "error": error},
        headers=headers, status_code=status,
    )  # fmt: skip
    return SlackApiError(error, answer)


def limited(seconds: int) -> SlackApiError:
    return refusal("ratelimited", 429, **{"Retry-After": str(seconds)})


def outage(status: int = 503) -> SlackApiError:
    """A page of text, with aiohttp's response instead of the SDK's."""
    return SlackApiError("not JSON", SimpleNamespace(status=status, headers={}))


def messenger(slack: Slack, **options: Any) -> Messenger:
    return Messenger(slack, Memory(), **options)


async def post(made: Messenger, key: str = "opening", channel: str = "C1") -> Sent:
    return await made.post_once("r-1", Post(key, "hello", ()), channel=channel)


def test_a_post_is_sent_once_however_often_it_is_asked_for() -> None:
    slack = Slack()

    async def main() -> list[Sent]:
        made = messenger(slack)
        at_once = await asyncio.gather(*(post(made) for _ in range(5)))
        return [*at_once, await post(made)]

    assert {sent.ts for sent in run(main())} == {"1.0"}
    assert len(slack.messages) == 1
    assert slack.messages[0]["metadata"]["event_payload"] == {"run": "r-1", "key": "opening"}


@pytest.mark.parametrize("arrived", [True, False])
def test_after_a_crash_a_post_is_looked_for_before_it_is_sent_again(arrived: bool) -> None:
    slack, memory = Slack(), Memory()

    async def main() -> Sent:
        if arrived:
            await Messenger(slack, Memory()).post_once("r-1", POST, channel="C1")
        await memory.intend("r-1", "opening", "C1", 0.0)
        return await Messenger(slack, memory).post_once("r-1", POST, channel="C1")

    assert run(main()).ts == "1.0"
    assert len(slack.messages) == 1
    assert memory.posts["r-1", "opening"].ts == "1.0"


@pytest.mark.parametrize(
    "error",
    [aiohttp.ServerDisconnectedError(), TimeoutError(), ConnectionResetError(), outage(500), refusal("internal_error")],
)
def test_a_lost_answer_sends_nothing_twice(error: Exception) -> None:
    slack = Slack(chat_postMessage=[Lost(error)])

    assert run(post(messenger(slack))).ts == "1.0"
    assert len(slack.messages) == 1


def test_a_post_that_did_not_arrive_is_sent_again() -> None:
    slack = Slack(chat_postMessage=[aiohttp.ServerDisconnectedError(), outage(500)])

    assert run(post(messenger(slack))).ts == "1.0"
    assert len(slack.times("chat_postMessage")) == 3
    assert len(slack.messages) == 1


def test_without_the_scope_to_look_it_is_rather_sent_twice_than_not_at_all() -> None:
    slack = Slack(chat_postMessage=[Lost(TimeoutError())], conversations_history=[refusal("missing_scope")])

    assert run(post(messenger(slack))).ts == "2.0"


def test_retry_after_is_waited_out_by_everyone_who_calls_that_method_and_by_nobody_else() -> None:
    slack = Slack(chat_postMessage=[limited(30)])

    async def main() -> None:
        made = messenger(slack)
        first = asyncio.create_task(post(made, "one"))
        await asyncio.sleep(1)
        await asyncio.gather(first, post(made, "two"), made.update(Sent("C1", "1.0", 0.0), POST))

    run(main())
    first, *later = slack.times("chat_postMessage")
    assert first == 0.0
    assert len(later) == 2
    assert all(30.0 <= at < 31 for at in later)
    assert slack.times("chat_update") == [1.0]


def test_an_outage_is_waited_out_with_growing_pauses() -> None:
    slack = Slack(chat_update=[outage(status) for status in (500, 502, 503, 504)] * 3)
    run(messenger(slack).update(Sent("C1", "1.0", 0.0), POST))

    times = slack.times("chat_update")
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses[:7] == pytest.approx([0.5, 1, 2, 4, 8, 16, 30], abs=0.1)
    assert max(pauses) < 31
    assert len(times) == 13


@pytest.mark.parametrize(
    ("faults", "word"),
    [([outage()] * 100, "not JSON"), ([limited(20)] * 100, "ratelimited"), ([TimeoutError()] * 100, "TimeoutError")],
)
def test_patience_ends_and_the_reason_is_told(faults: list[Exception], word: str) -> None:
    slack = Slack(chat_update=faults)

    async def main() -> float:
        with pytest.raises(Undeliverable, match=word):
            await messenger(slack, patience_s=100).update(Sent("C1", "1.0", 0.0), POST)
        return asyncio.get_running_loop().time()

    assert 50 < run(main()) <= 100.1


def test_a_limit_beyond_ones_patience_is_not_waited_for() -> None:
    slack = Slack(chat_update=[limited(600)])

    async def main() -> float:
        with pytest.raises(Undeliverable, match="ratelimited"):
            await messenger(slack).update(Sent("C1", "1.0", 0.0), POST, patience_s=60)
        return asyncio.get_running_loop().time()

    assert run(main()) < 1


@pytest.mark.parametrize("word", ["channel_not_found", "is_archived", "not_in_channel", "msg_blocks_too_long"])
def test_a_refusal_that_waiting_does_not_change_is_told_at_once(word: str) -> None:
    slack = Slack(chat_postMessage=[refusal(word)])
    with pytest.raises(Undeliverable) as caught:
        run(post(messenger(slack)))

    assert caught.value.error == word
    assert len(slack.calls) == 1


def test_files_are_shared_once_as_one_message() -> None:
    slack, memory = Slack(), Memory()

    async def main() -> None:
        for _ in range(2):
            await attach(Messenger(slack, memory))

    run(main())
    assert [message["files"] for message in slack.messages] == [[{"id": "F-a.json"}, {"id": "F-a.txt"}]]
    assert Counter(name for _, name, _ in slack.calls) == {
        "files_getUploadURLExternal": 2,
        "files_completeUploadExternal": 1,
    }


@pytest.mark.parametrize("fault", [Lost(TimeoutError()), Lost(outage(500)), TimeoutError()])
def test_a_lost_answer_shares_no_files_twice(fault: Exception) -> None:
    slack = Slack(files_completeUploadExternal=[fault])
    run(attach(messenger(slack)))

    assert len(slack.messages) == 1


@pytest.mark.parametrize("shared", [True, False])
def test_files_that_were_uploaded_before_a_crash_are_not_uploaded_again(shared: bool) -> None:
    fault = Lost(asyncio.CancelledError()) if shared else asyncio.CancelledError()
    slack, memory = Slack(files_completeUploadExternal=[fault]), Memory()

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await attach(Messenger(slack, memory))
        await attach(Messenger(slack, memory))

    run(main())
    assert len(slack.messages) == 1
    assert len(slack.times("files_getUploadURLExternal")) == 2


async def attach(made: Messenger) -> None:
    await made.attach_once("r-1", "files", FILES, channel="C1", thread_ts="1.0", comment="both")


def test_whom_slack_cannot_reach_is_no_reason_to_fail() -> None:
    slack = Slack(chat_postEphemeral=[refusal("user_not_in_channel")])
    run(messenger(slack).tell("U1", "C1", POST))

    assert len(slack.calls) == 1
