"""Whose words these are: sudo's, or those of the command that it ran."""

from __future__ import annotations

import pytest

from handlers.executors.sudo import sudo_spoke

HOST = "sudo: unable to resolve host db-1: Name or service not known\n"


@pytest.mark.parametrize(
    ("stderr", "sudos"),
    [
        ("sudo: a password is required\n", True),
        (f"{HOST}sudo: a password is required\n", True),
        (
            "Could not chdir to home directory /home/csm: No such file or directory\nsudo: a password is required\n",
            True,
        ),
        ("Sorry, user csm is not allowed to execute '/usr/bin/env' as root on db-1.\n", True),
        (f"{HOST}Error: the module is not there\n", False),
        (HOST, False),
        ("Error: sudo: a password is required\n", False),
        ("", False),
    ],
)
def test_sudo_is_told_from_the_command_by_what_came_last(stderr: str, sudos: bool) -> None:
    assert sudo_spoke(stderr) is sudos
