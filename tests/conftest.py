"""Guards for every test: nothing is skipped where all must run, and no environment of the developer's leaks in."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests import postgres as servers

REQUIRE_ALL = os.environ.get("CSM_TESTS_REQUIRE_ALL") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Where nothing may be left out, a skip is a failure."""
    report = yield
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was left out where nothing may be: {report.longrepr}"
    return report


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
    if not servers.PROGRAMS:
        pytest.skip("there is no PostgreSQL server (Debian: postgresql)")
    with servers.postgres() as server:
        yield server
