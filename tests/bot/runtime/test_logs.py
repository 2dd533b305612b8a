"""Logs: one JSON object a line, with the run's id, and without any secret, however it got there."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from bot.runtime.logs import configure

TOKEN = "-".join(("xoxb", "1" * 12, "2" * 12, secrets.token_hex(12)))
KEY = secrets.token_hex(16)


@pytest.fixture
def err(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What comes out of the logs."""
    root, level = logging.getLogger(), logging.getLogger().level
    root.handlers.clear()  # pytest's, which it adds again for each phase; configuring would close them
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    configure()
    yield stream
    root.handlers.clear()
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(err: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in err.getvalue().splitlines()]


class Holder:
    def __repr__(self) -> str:
        return f"<client api_key={KEY} token={TOKEN}>"


@pytest.mark.parametrize(
    "planted",
    [
        {"reason": f"refused {TOKEN}"},
        {"nested": {"deep": [{"text": f"api_key: {KEY}"}]}},
        {"object": Holder()},
        {"items": (f"Authorization: Bearer {TOKEN}",)},
        {"app_token": KEY},
        {"headers": f"DD-API-KEY: {KEY}"},
    ],
    ids=lambda planted: next(iter(planted)),
)
def test_a_secret_is_shown_nowhere(planted: dict[str, Any], err: io.StringIO) -> None:
    structlog.get_logger("csm").warning("something", **planted)
    text = err.getvalue()

    assert "something" in text
    assert TOKEN not in text
    assert KEY not in text


def test_a_secret_in_an_exception_or_in_a_librarys_line_is_not_shown_either(err: io.StringIO) -> None:
    try:
        raise ValueError(f"cannot connect with password={KEY} and {TOKEN}")
    except ValueError:
        structlog.get_logger("csm").exception("failed")
        logging.getLogger("somebody.else").exception("failed with %s", TOKEN)
    text = err.getvalue()

    assert len(lines(err)) == 2
    assert TOKEN not in text
    assert KEY not in text


async def test_the_runs_id_is_on_every_line_of_its_tasks_a_librarys_too(err: io.StringIO) -> None:
    async def work(run: str) -> None:
        structlog.contextvars.bind_contextvars(run=run)
        structlog.get_logger("csm").info("step")
        await asyncio.create_task(deeper())

    async def deeper() -> None:
        logging.getLogger("somebody.else").warning("deeper")

    await asyncio.gather(asyncio.create_task(work("r-1")), asyncio.create_task(work("r-2")))
    logging.getLogger("somebody.else").warning("outside")
    found = lines(err)

    assert sorted((line["event"], line.get("run")) for line in found if line["event"] != "outside") == [
        ("deeper", "r-1"), ("deeper", "r-2"), ("step", "r-1"), ("step", "r-2"),
    ]  # fmt: skip
    assert "run" not in next(line for line in found if line["event"] == "outside")


def test_a_line_that_cannot_be_formatted_does_not_show_what_it_was_made_of(err: io.StringIO) -> None:
    logging.getLogger("somebody.else").warning("%d of them", TOKEN)
    assert TOKEN not in err.getvalue()
