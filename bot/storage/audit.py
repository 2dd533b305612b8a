"""
The audit: who did what, where, with which argument vector, on which Agent, and what came of it.

Append-only and chained: each entry's hash covers the entry and the hash before it, so an entry that is changed, removed
or slipped in breaks the chain from there on. What a chain cannot show by itself is a tail that was cut off, or one
that was written anew from some entry on by somebody who owns the database; so the bot puts the newest hash into its
log, which is kept elsewhere, and `csm audit verify --head` takes it.

Entries go into the very transaction that they speak of, at its end: whoever appends holds a lock until the commit,
and so no transaction waits for it while it holds what another one wants.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from bot.storage.schema import audit
from handlers.errors import CsmError
from handlers.redaction import clean

BEGINNING = "0" * 64
"""What stands for the hash before the first entry."""

LOCK = 0x63736D61
"""PostgreSQL's advisory lock of those who append."""

PAGE = 1000

_MOST_CHARS = 1000
_NOTED = "csm.audit"


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One thing that happened. Texts are redacted and cut to 1,000 characters before they are kept.

    `docs/audit.md` lists the events.
    """

    event: str
    """`command.accepted`, `command.refused`, `agent.answered`, …"""
    who: str
    """A Slack user id, or a login name of the terminal; `csm` for what it does by itself."""
    where: str = ""
    """A Slack channel's id, or `terminal`."""
    run: str = ""
    command: str = ""
    """Its name, or for what made no run the line as it was typed."""
    target: str = ""
    agent: str = ""
    argv: Sequence[Sequence[str]] = ()
    """Every argument vector that was run, in order."""
    outcome: str = ""
    """A verdict, `allowed`, `refused`, …"""
    detail: str = ""
    """Why, for people."""


@dataclass(frozen=True, slots=True)
class Link:
    """An entry as it is kept: its number, its text (canonical JSON, the number and time in it), and its hash."""

    seq: int
    text: str
    hash: str


Read = Callable[[Callable[[sa.Connection], Sequence[Link]]], Awaitable[Sequence[Link]]]


class BrokenChain(CsmError):
    """The chain does not hold; the message says where and why."""


def note(connection: sa.Connection, entry: Entry) -> None:
    """Append an entry at the end of the running transaction; only within `Store.write`."""
    connection.info[_NOTED].append(entry)


def begin(connection: sa.Connection) -> None:
    """Begin to gather the entries of a transaction."""
    connection.info[_NOTED] = []


def flush(connection: sa.Connection) -> None:
    """Append what was noted in the running transaction. The last thing before its commit."""
    entries: list[Entry] = connection.info.pop(_NOTED)
    if not entries:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    seq, hash_ = head(connection)
    at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    links = []
    for seq, entry in enumerate(entries, seq + 1):  # noqa: B020 - goes on from the newest number
        text = canonical({"seq": seq, "at": at, **_cleaned(entry)})
        hash_ = chained(hash_, text)
        links.append({"seq": seq, "entry": text, "hash": hash_})
    connection.execute(sa.insert(audit), links)


def head(connection: sa.Connection) -> tuple[int, str]:
    """Number and hash of the newest entry; `(0, BEGINNING)` when there is none."""
    row = connection.execute(sa.select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
    return (row.seq, row.hash) if row else (0, BEGINNING)


async def pages(read: Read, *, after: int = 0) -> AsyncIterator[Sequence[Link]]:
    """All entries in order, a thousand at a time. `read` is `Store.read`."""
    while links := await read(partial(_page, after=after)):
        yield links
        after = links[-1].seq


def _page(connection: sa.Connection, after: int) -> Sequence[Link]:
    query = sa.select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(PAGE)
    return [Link(row.seq, row.entry, row.hash) for row in connection.execute(query)]


def chained(previous: str, text: str) -> str:
    """The hash of an entry after another one."""
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def canonical(entry: Mapping[str, Any]) -> str:
    """The one way to write an entry down, for hashing."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":"))


class Chain:
    """
    Checks links one after the other, from the first.

    With `head`, number and hash of an entry that must be among them: what the chain alone cannot show.
    """

    def __init__(self, head: tuple[int, str] | None = None) -> None:
        self.seq, self.hash = 0, BEGINNING
        self._head = head

    def check(self, links: Iterable[Link]) -> None:
        """Raises `BrokenChain` at the first link that does not belong."""
        for link in links:
            if link.seq != self.seq + 1:
                raise BrokenChain(f"Entry {self.seq + 1} is missing: after {self.seq} comes {link.seq}.")
            if chained(self.hash, link.text) != link.hash or _number(link.text) != link.seq:
                raise BrokenChain(
                    f"Entry {link.seq} is not what was written: its hash does not follow from entry {self.seq}."
                )
            if self._head and self._head[0] == link.seq and self._head[1] != link.hash:
                raise BrokenChain(
                    f"Entry {link.seq} is not the one that was there: the audit was written anew before it."
                )
            self.seq, self.hash = link.seq, link.hash

    def finish(self) -> None:
        """Raises `BrokenChain` when the expected entry did not come."""
        if self._head and self._head[0] > self.seq:
            raise BrokenChain(f"Its end was cut off: entry {self._head[0]} was there, and the newest is {self.seq}.")


def exported(links: Iterable[Link]) -> Iterator[str]:
    """As JSON lines: the entry with its `hash`."""
    for link in links:
        yield canonical({**json.loads(link.text), "hash": link.hash})


def imported(lines: Iterable[str]) -> Iterator[Link]:
    """The links of an export. Raises `BrokenChain` for what is none."""
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            hash_ = entry.pop("hash")
            yield Link(entry["seq"], canonical(entry), hash_)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise BrokenChain(f"Line {number} is no entry of an audit.") from None


def _number(text: str) -> Any:
    try:
        return json.loads(text).get("seq")
    except (ValueError, AttributeError):
        return None


def _cleaned(entry: Entry) -> dict[str, Any]:
    """Without what is empty: the chain is kept for ever."""
    return {key: _clean(value) for key, value in asdict(entry).items() if value}


def _clean(value: Any) -> Any:
    return clean(value, max_chars=_MOST_CHARS) if isinstance(value, str) else [_clean(each) for each in value]
