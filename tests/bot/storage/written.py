"""
Writes what a csm of the present schema leaves in its database, as test data for the schemas to come.

`python -m tests.bot.storage.written` makes `schemas/<schema>.<database>.sql`; run it once, when a schema is new.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bot.storage.approvals import Approvals
from bot.storage.migrate import VERSION
from bot.storage.replicas import Replicas
from bot.storage.store import RunRequest, Store
from handlers.model import (
    Agent,
    AgentResult,
    Finding,
    FlareFile,
    FlareReview,
    Installation,
    Platform,
    Report,
    Severity,
    Verdict,
)
from tests.postgres import PROGRAMS, postgres

SCHEMAS = Path(__file__).parent / "schemas"
STARTED = 1764000000.0
REQUEST = RunRequest(
    "r-1", "selftest", "cluster-a", "", "U1", "slack", STARTED, "C0INCIDENT", "https://hooks.example/1"
)
AGENT = Agent(
    target="cluster-a",
    name="node-1",
    platform=Platform.KUBERNETES,
    installation=Installation.HELM,
    node="node-1",
    namespace="datadog",
    handle="datadog-1",
)
RESULT = AgentResult(
    agent="node-1",
    platform=Platform.KUBERNETES,
    installation=Installation.HELM,
    node="node-1",
    agent_version="7.60.1",
    verdict=Verdict.FAIL,
    reason="rule_open failed",
    argv=("system-probe", "runtime", "self-test"),
    container="system-probe",
    findings=(
        Finding(
            code="selftest.rule_failed",
            severity=Severity.HIGH,
            summary="rule_open failed",
            evidence=("Failed: [rule_open]",),
        ),
    ),
)
REPORT = Report(
    run="r-1",
    command="selftest",
    target="cluster-a",
    verdict=Verdict.FAIL,
    started=datetime.fromtimestamp(STARTED, UTC),
    duration_s=2.0,
    counts={Verdict.FAIL: 1},
    agents=(RESULT,),
    requested_by="U1",
)
REVIEW = FlareReview(
    path="/tmp/a.zip",
    name="a.zip",
    size=1000,
    sha256="0" * 64,
    built_at=datetime.fromtimestamp(STARTED, UTC),
    files=(FlareFile(name="etc/datadog.yaml", size=10, sensitive={"api_key": 1}),),
    file_count=1,
    unpacked=10,
    site="datadoghq.com",
    case="123",
    email="a@b.example",
    argv=("agent", "flare", "123", "--email", "a@b.example"),
)


async def fill(store: Store) -> None:
    """A run that ended, with its post, and one that was accepted a moment ago. Add what a new table holds."""
    await store.accept(REQUEST)
    await store.keep_inventory("r-1", [AGENT])
    await store.asked(REQUEST, "node-1", STARTED + 1)
    await store.keep_result(REQUEST, RESULT, STARTED + 2)
    await store.intend("r-1", "opening", "C0INCIDENT", STARTED)
    await store.sent("r-1", "opening", channel="C0INCIDENT", ts="1764000000.000100")
    await store.finish("r-1", REPORT, STARTED + 2)
    await store.update_run("r-1", state="done", permalink="https://sandbox.slack.com/archives/C0INCIDENT/p1")
    await store.accept(RunRequest("r-2", "selftest", "cluster-a", "node-1", "U1", "slack", STARTED + 300, "C0INCIDENT"))
    flare = RunRequest(
        "r-3", "flare", "cluster-a", "node-1", "U1", "slack", STARTED + 400, "C0INCIDENT", "", "123", "a@b.example"
    )
    await store.accept(flare)
    approvals = Approvals(store)
    await approvals.claim(flare, "process-1", STARTED + 2200)
    await approvals.present(flare, "process-1", REVIEW)
    await approvals.decide("r-3", "approve", sha256=REVIEW.sha256, by="U2", at=STARTED + 500)
    await store.update_run("r-3", state="done", finished_at=STARTED + 4000 * 86400)
    await Replicas(store, dead_after_s=10).alive("process-1")


async def _write(url: str) -> None:
    store = await Store.open(url)
    await fill(store)
    await store.aclose()


def dump_sqlite(path: Path) -> str:
    """As SQL, without the transaction around it."""
    with sqlite3.connect(path) as connection:
        lines = [line for line in connection.iterdump() if line not in {"BEGIN TRANSACTION;", "COMMIT;"}]
    connection.close()
    return "\n".join(lines) + "\n"


def dump_postgresql(url: str) -> str:
    """As SQL, without comments, settings and the names of roles."""
    assert PROGRAMS, "needs postgresql"
    arguments = [PROGRAMS / "pg_dump", "--inserts", "--no-owner", "--no-privileges", url]
    text = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    kept = re.sub(r"^(?:--.*|\\.*|SET .*|SELECT pg_catalog\.set_config.*)?\n", "", text, flags=re.MULTILINE)
    return kept.replace("public.", "")


def main() -> None:
    """Write both files of the present schema."""
    with tempfile.TemporaryDirectory() as folder, postgres() as server:
        file, url = Path(folder) / "csm.db", server.database()
        asyncio.run(_write(f"sqlite:///{file}"))
        asyncio.run(_write(url))
        (SCHEMAS / f"{VERSION}.sqlite.sql").write_text(dump_sqlite(file))
        (SCHEMAS / f"{VERSION}.postgresql.sql").write_text(dump_postgresql(url))


if __name__ == "__main__":
    main()
