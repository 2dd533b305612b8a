"""
Audit log: who did what, where, with which argument vector, on which Agent, and with what outcome.

Append-only and hash-chained: each entry's hash covers the entry and the previous hash, so an entry that is changed,
removed or inserted breaks the chain from there on. The chain alone cannot show that its tail was cut off, or that
somebody who owns the database rewrote it from some entry on. So the bot writes the newest hash to its log, which is
kept elsewhere, and `csm audit verify --head` takes it.

An entry is inserted in the transaction that it describes, at its end. Appending takes a lock that is held until the
commit. A transaction takes no other lock after this one, so two transactions cannot deadlock.
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
"""Stands for the previous hash of the first entry."""

LOCK = 0x63736D61
"""Key of the PostgreSQL advisory lock for appending."""

PAGE = 1000

_MOST_CHARS = 1000
_NOTED = "csm.audit"


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One audited event. Texts are redacted and cut to 1,000 characters before they are stored.

    `docs/audit.md` lists the events.
    """

    event: str
    """`command.accepted`, `command.refused`, `agent.answered`, …"""
    who: str
    """A Slack user id, or a login name of the terminal; `csm` for what csm does by itself."""
    where: str = ""
    """A Slack channel's id, or `terminal`."""
    run: str = ""
    command: str = ""
    """The command's name; for a line that started no run, the line as typed."""
    target: str = ""
    agent: str = ""
    argv: Sequence[Sequence[str]] = ()
    """Every argument vector that was run, in order."""
    outcome: str = ""
    """A verdict, `allowed`, `refused`, …"""
    detail: str = ""
    """The reason or other details, as text for people."""


@dataclass(frozen=True, slots=True)
class Link:
    """A stored entry: its number, its text (canonical JSON that includes the number and the time), and its hash."""

    seq: int
    text: str
    hash: str


Read = Callable[[Callable[[sa.Connection], Sequence[Link]]], Awaitable[Sequence[Link]]]


class BrokenChain(CsmError):
    """The hash chain is broken; the message says where and why."""


def note(connection: sa.Connection, entry: Entry) -> None:
    """Queue an entry for the end of the running transaction; only within `Store.write`."""
    connection.info[_NOTED].append(entry)


def begin(connection: sa.Connection) -> None:
    """Start collecting the entries of a transaction."""
    connection.info[_NOTED] = []


def flush(connection: sa.Connection) -> None:
    """Append the entries that were queued with `note`. Call it last, directly before the commit."""
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
    """The hash of an entry with this text, after an entry with the hash `previous`."""
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def canonical(entry: Mapping[str, Any]) -> str:
    """Canonical JSON of an entry, for hashing."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":"))


class Chain:
    """
    Verifies links in order, from the first.

    `head` is the number and hash of an entry that must be among them. It detects a tail that was cut off or rewritten,
    which the chain alone cannot show.
    """

    def __init__(self, head: tuple[int, str] | None = None) -> None:
        self.seq, self.hash = 0, BEGINNING
        self._head = head

    def check(self, links: Iterable[Link]) -> None:
        """Verify the next links. Raises `BrokenChain` at the first one that does not fit."""
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
        """Raises `BrokenChain` when the entry of `head` is missing at the end."""
        if self._head and self._head[0] > self.seq:
            raise BrokenChain(f"Its end was cut off: entry {self._head[0]} was there, and the newest is {self.seq}.")


def exported(links: Iterable[Link]) -> Iterator[str]:
    """Export as JSON lines: each entry with its `hash`."""
    for link in links:
        yield canonical({**json.loads(link.text), "hash": link.hash})


def imported(lines: Iterable[str]) -> Iterator[Link]:
    """The links of an export. Raises `BrokenChain` for a line that is not an audit entry."""
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
    """The entry's fields, redacted, without empty ones because the chain is kept for ever."""
    return {key: _clean(value) for key, value in asdict(entry).items() if value}


def _clean(value: Any) -> Any:
    return clean(value, max_chars=_MOST_CHARS) if isinstance(value, str) else [_clean(each) for each in value]
