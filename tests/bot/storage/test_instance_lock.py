"""One bot to a SQLite file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot.storage.instance_lock import hold_instance_lock
from handlers.errors import ConfigurationError


def test_a_second_bot_is_told_who_has_the_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'csm.db'}"
    with hold_instance_lock(url):
        with pytest.raises(ConfigurationError, match=rf"process {os.getpid()}; stop that one"), hold_instance_lock(url):
            pass
        with hold_instance_lock(f"sqlite:///{tmp_path / 'another.db'}"):
            pass
    with hold_instance_lock(url):
        pass


@pytest.mark.parametrize("url", ["postgresql://csm@db.example.com/csm", "sqlite:///:memory:"])
def test_a_database_of_many_or_of_nobody_else_has_no_lock(url: str) -> None:
    with hold_instance_lock(url), hold_instance_lock(url):
        pass
