"""
Guards for every test: what a machine lacks leaves a test out with its reason, or fails it where nothing may be left out;
and no environment of the developer's leaks in.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import postgres as servers
from tests.programs import find, is_known, need, why_missing

REQUIRE_ALL = os.environ.get("CSM_TESTS_REQUIRE_ALL") == "1"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`@pytest.mark.needs("clang")`: leave it out where the program is missing."""
    for mark in item.iter_markers("needs"):
        need(*mark.args, **mark.kwargs)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A program that is not there leaves the test out; where nothing may be left out, that is a failure."""
    report = yield
    if call.excinfo is not None and (program := _missing_program(call.excinfo.value)):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, f"Skipped: there is no {why_missing(program)}")
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was left out where nothing may be: {report.longrepr}"
    return report


def _missing_program(error: BaseException) -> str:
    """The program that could not be started, of those that a machine may lack; empty for every other error."""
    program = Path(str(error.filename or "")).name if isinstance(error, FileNotFoundError) else ""
    return program if is_known(program) and not find(program) else ""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens, proxies and settings of whoever runs the tests must not change what they do."""
    for name in os.environ:
        if name.startswith(("SLACK_", "CSM_", "DBOS_", "KUBECONFIG", "DOCKER_")) and not name.startswith(
            ("CSM_TESTS_", "CSM_E2E_")
        ):
            monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    """A PostgreSQL server for all tests; each takes a database of its own."""
    need("postgres")
    with servers.postgres() as server:
        yield server
