"""The audit: whatever is changed, removed or slipped in is found; writers of several processes make one chain."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from bot.storage.audit import (
    BEGINNING,
    BrokenChain,
    Chain,
    Entry,
    Link,
    canonical,
    chained,
    exported,
    imported,
    note,
    pages,
)
from bot.storage.schema import audit
from bot.storage.store import Store
from tests.bot.storage.written import fill
from tests.postgres import Postgres

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)


def chain(texts: list[str]) -> list[Link]:
    links: list[Link] = []
    hash_ = BEGINNING
    for seq, detail in enumerate(texts, 1):
        text = canonical({"seq": seq, "event": "command.refused", "detail": detail})
        hash_ = chained(hash_, text)
        links.append(Link(seq, text, hash_))
    return links


def check(links: list[Link], head: tuple[int, str] | None = None) -> Chain:
    made = Chain(head)
    made.check(links)
    made.finish()
    return made


@st.composite
def tampered(draw: st.DrawFn) -> tuple[list[Link], list[Link]]:
    """A chain, and the same with any one thing done to it."""
    links = chain(draw(st.lists(words, min_size=2, max_size=8)))
    at = draw(st.integers(0, len(links) - 1))
    link = links[at]

    def changed() -> list[Link]:
        place = draw(st.integers(0, len(link.text) - 1))
        other = draw(st.characters(codec="ascii").filter(lambda character: character != link.text[place]))
        return [
            *links[:at],
            Link(link.seq, link.text[:place] + other + link.text[place + 1 :], link.hash),
            *links[at + 1 :],
        ]

    def rehashed() -> list[Link]:
        """With a hash that fits, as somebody who knows the code would do it, but the rest left alone."""
        text = canonical({**json.loads(link.text), "detail": draw(words) + "!"})
        previous = links[at - 1].hash if at else BEGINNING
        return [*links[:at], Link(link.seq, text, chained(previous, text)), *links[at + 1 :]]

    def removed() -> list[Link]:
        return links[:at] + links[at + 1 :]

    def doubled() -> list[Link]:
        return [*links[: at + 1], link, *links[at + 1 :]]

    def slipped_in() -> list[Link]:
        """Before the last one: after it, it would be an entry like any other."""
        where = min(at, len(links) - 2)
        text = canonical({"seq": where + 2, "event": "forged"})
        forged = Link(where + 2, text, chained(links[where].hash, text))
        return [*links[: where + 1], forged, *links[where + 1 :]]

    def swapped() -> list[Link]:
        other = draw(st.integers(0, len(links) - 1).filter(lambda other: other != at))
        copy = list(links)
        copy[at], copy[other] = copy[other], copy[at]
        return copy

    def renumbered() -> list[Link]:
        return [*links[:at], Link(link.seq + draw(st.integers(1, 9)), link.text, link.hash), *links[at + 1 :]]

    ways: list[Callable[[], list[Link]]] = [changed, rehashed, removed, doubled, slipped_in, swapped, renumbered]
    return links, draw(st.sampled_from(ways))()


@given(tampered())
def test_whatever_is_done_to_any_entry_is_found(case: tuple[list[Link], list[Link]]) -> None:
    links, other = case
    whole = check(links)
    with pytest.raises(BrokenChain):
        check(other, (whole.seq, whole.hash))


@given(tampered())
def test_it_is_found_without_knowing_the_head_unless_only_the_end_was_touched(
    case: tuple[list[Link], list[Link]],
) -> None:
    links, other = case
    kept = [link for link, same in zip(links, other, strict=False) if link == same]
    if len(kept) < len(links) - 1 and len(other) >= len(links):
        with pytest.raises(BrokenChain):
            check(other)


def test_an_end_that_was_cut_off_is_found_by_the_head_that_is_kept_elsewhere() -> None:
    links = chain(["a", "b", "c"])
    check(links[:2])
    with pytest.raises(BrokenChain, match="cut off"):
        check(links[:2], (3, links[2].hash))


def test_a_chain_that_was_written_anew_is_found_by_the_head_that_is_kept_elsewhere() -> None:
    with pytest.raises(BrokenChain, match="anew"):
        check(chain(["a", "x", "c"]), (3, chain(["a", "b", "c"])[2].hash))


@given(st.lists(words, max_size=5))
def test_an_export_can_be_checked_without_the_database(texts: list[str]) -> None:
    links = chain(texts)
    lines = list(exported(links))

    assert list(imported(lines)) == links
    if lines:
        forged = [*lines[:-1], lines[-1].replace("command.refused", "command.accepted")]
        with pytest.raises(BrokenChain):
            check(list(imported(forged)))


# -- in the databases ---------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgres"))])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    on_sqlite = request.param == "sqlite"
    return f"sqlite:///{tmp_path / 'csm.db'}" if on_sqlite else request.getfixturevalue("postgres").database()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    made = await Store.open(url)
    yield made
    await made.aclose()


async def kept(store: Store) -> list[Link]:
    return [link for links in [links async for links in pages(store.read)] for link in links]


async def entries(store: Store) -> list[dict[str, object]]:
    links = await kept(store)
    check(links)
    return [json.loads(link.text) for link in links]


async def test_a_run_is_told_from_its_command_to_its_verdict(store: Store) -> None:
    await fill(store)
    told = [entry for entry in await entries(store) if entry.get("run") != "r-3"]

    assert [entry["event"] for entry in told] == [
        "command.accepted",
        "agent.asked",
        "agent.answered",
        "run.ended",
        "command.accepted",
    ]
    answered = told[2]
    assert (answered["who"], answered["where"], answered["run"]) == ("U1", "C0INCIDENT", "r-1")
    assert (answered["target"], answered["agent"]) == ("cluster-a", "node-1")
    assert answered["argv"] == [["system-probe", "runtime", "self-test"]]
    assert answered["outcome"] == "fail"


async def test_what_was_not_committed_is_not_told(store: Store) -> None:
    def fails(connection: sa.Connection) -> None:
        note(connection, Entry("command.accepted", "U1"))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await store.write(fails)
    await store.note(Entry("command.refused", "U2"))

    assert [entry["event"] for entry in await entries(store)] == ["command.refused"]


async def test_no_secret_gets_into_it_and_no_text_without_end(store: Store) -> None:
    token = "-".join(("xoxb", "1" * 12, "2" * 12, "s" * 24))
    await store.note(Entry("command.faulty", "U1", command=f"selftest {token}", detail="x" * 100_000))
    (entry,) = await entries(store)

    assert token not in json.dumps(entry)
    assert len(json.dumps(entry)) < 2000


@pytest.mark.parametrize("change", ["UPDATE csm_audit SET entry = 'x'", "DELETE FROM csm_audit"])
async def test_the_database_itself_refuses_to_change_a_row(store: Store, change: str) -> None:
    await store.note(Entry("command.refused", "U1"))
    with pytest.raises(sa.exc.DatabaseError, match="append-only"):
        await store.write(lambda connection: connection.exec_driver_sql(change))
    assert len(await entries(store)) == 1


async def test_who_takes_the_triggers_away_and_changes_a_row_is_found(store: Store) -> None:
    for number in range(5):
        await store.note(Entry("command.refused", f"U{number}"))

    def tamper(connection: sa.Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("DROP TRIGGER csm_audit_no_update")
        else:
            connection.exec_driver_sql("DROP TRIGGER csm_audit_no_change ON csm_audit")
        text = connection.scalar(sa.select(audit.c.entry).where(audit.c.seq == 3))
        connection.execute(sa.update(audit).where(audit.c.seq == 3).values(entry=str(text).replace("U2", "U9")))

    await store.write(tamper)
    with pytest.raises(BrokenChain, match="Entry 3 is not what was written"):
        check(await kept(store))


async def test_writers_of_several_processes_make_one_chain(url: str) -> None:
    stores = [await Store.open(url) for _ in range(4)]

    async def write(store: Store, number: int) -> None:
        for step in range(20):
            await store.note(Entry("command.refused", f"U{number}", detail=str(step)))

    await asyncio.gather(*(write(store, number) for number, store in enumerate(stores)))
    told = await entries(stores[0])
    for store in stores:
        await store.aclose()

    assert len(told) == 80
    for number in range(4):
        assert [entry["detail"] for entry in told if entry["who"] == f"U{number}"] == [str(step) for step in range(20)]


def test_every_event_is_in_the_document_and_none_that_does_not_exist() -> None:
    sources = [file.read_text() for file in Path("bot").rglob("*.py") if "sandbox" not in file.parts]
    noted = {
        event
        for text in sources
        for event in re.findall(r"(?:Entry|_entry|entry_of)\(\s*\"([a-z_.]+)\"|event=\"([a-z_.]+)\"", text)
    }
    told = re.findall(r"^\| `([a-z_.]+)` \|", Path("docs/audit.md").read_text(), flags=re.MULTILINE)

    assert {first or second for first, second in noted} == set(told)


@pytest.mark.needs("postgres")
async def test_the_servers_own_idea_of_isolation_does_not_break_the_chain(postgres: Postgres) -> None:
    """Read before the lock was had, the newest entry would be an old one."""
    url = f"{postgres.database()}?options=-cdefault_transaction_isolation%3Dserializable"
    stores = [await Store.open(url) for _ in range(3)]
    await asyncio.gather(*(store.note(Entry("command.refused", f"U{step}")) for step in range(20) for store in stores))
    await asyncio.gather(*(store.update_run("r-1", permalink="x") for store in stores))
    told = await entries(stores[0])
    for store in stores:
        await store.aclose()
    assert len(told) == 60
