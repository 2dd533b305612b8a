"""
Drives the sandbox as a person would, from a program: type a line, click, submit, read what is shown.

Works on a `LocalSlack` in this process. It waits for changes of the workspace and never sleeps for a fixed time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from bot.render.formatting import COMMANDS
from bot.render.terminal import thread_as_text
from bot.sandbox.slack.server import LocalSlack

WAITING = "Waiting for approval"
"""The text in a flare's message while it waits for an approval (`bot.render.flare_messages`)."""

T = TypeVar("T")
Message = Mapping[str, Any]


class Driver:
    """One person in one channel of the sandbox."""

    def __init__(self, slack: LocalSlack, *, user: str = "ana", channel: str = "#incident-42") -> None:
        self._slack = slack
        self.user = user
        self.channel = channel

    async def type(self, line: str) -> None:
        """Type a line. Returns when the app has acknowledged it, or Slack has reported a failure."""
        await self._slack.people.command(self.user, self.channel, line)

    async def click(self, message: Message, action_id: str, value: Mapping[str, Any] | None = None) -> None:
        """Click a button of a message. For other elements, `value` is the new value (`{"selected_user": …}`)."""
        await self._slack.people.click(self.user, self.channel, message["ts"], action_id, value)

    async def choose(self, message: Message, action_id: str, words: str) -> None:
        """Choose an option in a select, overflow menu or radio buttons of a message, by the text of the option."""
        element = next(e for e in elements(message) if e.get("action_id") == action_id)
        groups = element.get("option_groups") or [element]
        options = [option for group in groups for option in group["options"]]
        option = next((option for option in options if option["text"]["text"] == words), None)
        if option is None:
            shown = ", ".join(option["text"]["text"] for option in options)
            raise LookupError(f"{words!r} is not offered; there are {shown}")
        await self.click(message, action_id, {"selected_option": option})

    async def view(self) -> Mapping[str, Any]:
        """Wait for a modal of this person, and return the top one."""
        return await self.until(lambda: next(reversed(self.views()), None))

    async def submit(self, values: Mapping[str, Any]) -> Mapping[str, str]:
        """Submit the open modal. Returns the errors that are shown in it."""
        view = await self.view()
        return await self._slack.people.submit(self.user, view["id"], values)

    def views(self) -> Sequence[Mapping[str, Any]]:
        """The open modals of this person, the top one last."""
        return [view for view in self._slack.workspace.views.values() if view["_user"] == self._id]

    def messages(self, channel: str | None = None) -> Sequence[Message]:
        """The channel's messages as this person sees them, oldest first, without replies in threads."""
        return self._slack.workspace.visible(self._channel(channel), self._id)

    def thread(self, root: Message) -> Sequence[Message]:
        """A thread's messages as this person sees them, the root first."""
        return self._slack.workspace.visible(self._channel(None), self._id, root["ts"])

    def notices(self) -> Sequence[str]:
        """Slack's own notices to this person: `/csm failed with the error operation_timeout`."""
        return [e["text"] for e in self._slack.workspace.events if e["type"] == "notice" and e.get("only") == self._id]

    def file(self, name: str) -> str:
        """The text of a shared file, by the end of its name."""
        files = self._slack.workspace.files.values()
        return next(self._contents(file) for file in files if file["name"].endswith(name))

    def files(self, root: Message) -> Mapping[str, str]:
        """The files of a thread: name and text."""
        return {file["name"]: self._contents(file) for m in self.thread(root) for file in m.get("files", [])}

    def report(self, root: Message) -> dict[str, Any] | None:
        """The report of a finished run, from the JSON file in its thread; `None` without that file."""
        text = next((text for name, text in self.files(root).items() if name.endswith(".json")), None)
        return dict(json.loads(text)) if text else None

    def read(self, root: Message | None = None) -> str:
        """The channel, or a thread, as text."""
        names = {user.id: user.name for user in self._slack.workspace.users.values()}
        shown = self.messages() if root is None else self.thread(root)
        return "\n".join([thread_as_text(shown, names), *(self.notices() if root is None else [])])

    def _contents(self, file: Mapping[str, Any]) -> str:
        return self._slack.workspace.contents[file["id"]].decode("utf-8", "replace")

    async def until(self, found: Callable[[], T | None], *, within_s: float = 30.0) -> T:
        """Wait until `found` returns a result. Raises `TimeoutError` with the channel's content."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    changed = self._slack.workspace.changed
                    if (result := found()) is not None and result is not False:
                        return result
                    await changed.wait()
        except TimeoutError:
            shown = "\n".join(str(message.get("text")) for message in self.messages())
            raise TimeoutError(
                f"it did not come within {within_s:g} s; the channel shows:\n{shown}\n{self.notices()}"
            ) from None

    async def finished(self, *, number: int = 0, within_s: float = 60.0) -> Message:
        """Wait until a run of the channel has its verdict, its thread and its files. `number` 0 is the first run."""
        return await self.until(lambda: self._finished(number), within_s=within_s)

    async def card(self, *, number: int = 0, within_s: float = 60.0) -> Message:
        """
        Wait until the review card of a run (a flare) offers a decision. `number` 0 is the first run of the channel.
        """
        return await self.until(lambda: self._card(number), within_s=within_s)

    async def settled(self, *, number: int = 0, within_s: float = 60.0) -> Message:
        """Wait until a run has finished, or waits for an approval decision."""

        def settled() -> Message | None:
            if finished := self._finished(number):
                return finished
            root = self._runs()[number] if self._card(number) else None
            return root if root and WAITING in root["text"] else None

        return await self.until(settled, within_s=within_s)

    def _runs(self) -> Sequence[Message]:
        return [message for message in self.messages() if is_run(message)]

    def _finished(self, number: int) -> Message | None:
        runs = self._runs()
        if len(runs) <= number or not is_final(runs[number]):
            return None
        could_run = "could not be run" in runs[number]["text"]
        return runs[number] if could_run or any(name.endswith(".json") for name in self.files(runs[number])) else None

    def _card(self, number: int) -> Message | None:
        runs = self._runs()
        replies = self.thread(runs[number])[1:] if len(runs) > number else []
        return next((reply for reply in replies if "flare.approve" in actions(reply)), None)

    @property
    def _id(self) -> str:
        user = self._slack.workspace.user(self.user)
        assert user is not None
        return user.id

    def _channel(self, name: str | None) -> Any:
        return self._slack.workspace.channel(name or self.channel)


def is_run(message: Message) -> bool:
    """Whether a message is a run message: not ephemeral, and not shared from another channel."""
    return bool({"run.cancel", "run.again", "flare.again"} & set(actions(message))) or (
        not message.get("is_ephemeral") and any(f"{name} of" in message.get("text", "") for name in COMMANDS.values())
    )


def is_final(message: Message) -> bool:
    """Whether a run's message shows its verdict."""
    return bool({"run.again", "flare.again"} & set(actions(message)))


def actions(message: Message) -> Sequence[str]:
    """The action ids of a message's elements."""
    return [each["action_id"] for each in elements(message) if "action_id" in each]


def elements(message: Message) -> Sequence[Mapping[str, Any]]:
    """The elements of a message's blocks, accessories and inputs included."""
    found: list[Mapping[str, Any]] = []
    for block in message.get("blocks") or []:
        found += [*block.get("elements", []), *filter(None, (block.get("accessory"), block.get("element")))]
    return found
