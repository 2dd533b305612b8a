"""csm doctor: every fault is found and comes with its mend; nothing is changed, and nothing unknown passes."""

from __future__ import annotations

import asyncio
import copy
import json
import socket
import sys
import time as real_time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from bot.doctor import targets
from bot.doctor.check_result import Check, Findings
from bot.doctor.run_all import examine
from bot.sandbox.fleet import fleet
from bot.sandbox.kubernetes_api import KubernetesApi
from bot.sandbox.slack.server import LocalSlack
from bot.slack.client import MANIFEST
from bot.storage.migrate import VERSION
from bot.storage.schema import schema_version
from bot.storage.store import Store, make_engine
from handlers.executors.kubernetes import NEEDED
from handlers.model import Verdict
from tests.deploy.test_rights import as_the_chart_allows
from tests.postgres import Postgres


@dataclass
class Place:
    """A configuration with a workspace and a cluster behind it."""

    folder: Path
    slack: LocalSlack
    cluster: KubernetesApi

    @property
    def config(self) -> Path:
        return self.folder / "csm.yaml"

    def change(self, **keys: Any) -> None:
        self.config.write_text(yaml.safe_dump(yaml.safe_load(self.config.read_text()) | keys))

    async def examine(self, **options: Any) -> Findings:
        return await examine(self.config, **options)


@pytest.fixture
def manifest() -> dict[str, Any]:
    return copy.deepcopy(yaml.safe_load(MANIFEST.read_text()))


@pytest.fixture
async def place(tmp_path: Path, manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    async with LocalSlack(manifest) as slack, KubernetesApi(fleet(3)) as cluster:
        kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig")
        rule = {"who": ["@sre", "U0SANDANA"], "may": ["*"], "on": ["*"], "in": ["C0INCIDENT"]}
        config = {
            "database_url": f"sqlite:///{tmp_path / 'csm.db'}",
            "targets": {"cluster-a": {"kubernetes": {"kubeconfig": str(kubeconfig)}}},
            "policy": [rule],
            "approvals": {"flare": {"by": ["@security"]}},
        }
        (tmp_path / "csm.yaml").write_text(yaml.safe_dump(config))
        for name, value in (("BOT_TOKEN", slack.bot_token), ("APP_TOKEN", slack.app_token), ("API_URL", slack.api_url)):
            monkeypatch.setenv(f"SLACK_{name}", value)
        yield Place(tmp_path, slack, cluster)


def named(findings: Findings, name: str) -> Check:
    found = [check for check in findings.checks if check.name == name]
    assert found, f"{name} is not among {[check.name for check in findings.checks]}"
    return found[0]


def faults(findings: Findings) -> dict[str, Check]:
    return {check.name: check for check in findings.checks if check.verdict not in {Verdict.PASS, Verdict.SKIPPED}}


async def test_where_all_is_well_all_passes_and_nothing_is_changed(place: Place) -> None:
    findings = await place.examine()

    assert faults(findings) == {}
    assert (findings.verdict, findings.status) == (Verdict.PASS, 0)
    assert not (place.folder / "csm.db").exists()
    assert [argv for _, argv in place.cluster.commands] == [("agent", "version")]
    assert "3 Agents, versions 7.60.1 to 7.70.1" in named(findings, "target.cluster-a.agents").said
    methods = {method for method, _ in place.slack.api.calls}
    assert methods <= {"auth.test", "apps.connections.open", "usergroups.list", "users.info", "conversations.info"}


async def test_every_fault_has_its_mend_and_no_secret_is_shown(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.cluster.rights.clear()
    wrong = f"xoxb-{0}"
    monkeypatch.setenv("SLACK_BOT_TOKEN", wrong)
    place.change(database_url="postgresql://csm:hunter2@127.0.0.1:9/csm")
    findings = await place.examine()
    text = findings.to_json()

    assert len(faults(findings)) >= 5
    assert all(check.mend for check in faults(findings).values())
    assert not [secret for secret in (wrong, "hunter2", place.slack.app_token, place.cluster.token) if secret in text]


# -- configuration and environment --------------------------------------------------------------------------------


async def test_a_faulty_configuration_is_told_with_every_line_and_the_status_is_2(place: Place) -> None:
    place.config.write_text(
        "targets:\n  a: {kubernets: {}}\npolicy:\n  - {who: [bob], may: [fly], on: ['*'], in: ['*']}\n"
    )
    findings = await place.examine()

    assert findings.status == 2
    assert {check.verdict for check in findings.checks} == {Verdict.FAIL}
    said = " ".join(check.said for check in findings.checks)
    assert all(words in said for words in ("line 2", "kubernetes", "line 4", "'bob'", "'fly'"))


async def test_tokens_that_are_missing_or_of_another_kind_are_told_with_all_else_and_the_status_is_2(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", place.slack.app_token)
    monkeypatch.delenv("SLACK_APP_TOKEN")
    findings = await place.examine()

    assert findings.status == 2
    said = [check.said for check in findings.checks if check.name == "environment"]
    assert any("another kind of token" in text for text in said)
    assert any("SLACK_APP_TOKEN is not set" in text for text in said)
    assert named(findings, "slack").verdict is Verdict.SKIPPED
    assert named(findings, "database").verdict is Verdict.PASS
    assert named(findings, "target.cluster-a.command").verdict is Verdict.PASS


async def test_a_policy_that_allows_nobody_anything_is_a_warning(place: Place) -> None:
    place.change(policy=[], approvals={})
    assert named(await place.examine(), "policy").verdict is Verdict.WARN


async def test_a_rule_for_no_target_and_flares_that_nobody_may_approve_are_warnings(place: Place) -> None:
    place.change(policy=[{"who": ["@sre"], "may": ["*"], "on": ["clutser-*"], "in": ["*"]}], approvals={})
    found = faults(await place.examine())

    assert "clutser-*" in found["policy.on"].said
    assert found["policy.approvals"].verdict is Verdict.WARN


# -- Slack ----------------------------------------------------------------------------------------------------------


async def test_a_refused_bot_token_is_a_fault_and_the_policy_is_not_looked_at(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", f"xoxb-{0}")
    findings = await place.examine()

    assert named(findings, "slack.bot_token").verdict is Verdict.FAIL
    assert "invalid_auth" in named(findings, "slack.bot_token").said
    assert named(findings, "policy.people").verdict is Verdict.SKIPPED
    assert findings.status == 1


async def test_a_refused_app_token_is_a_fault(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_APP_TOKEN", f"xapp-{0}")
    assert "connections:write" in faults(await place.examine())["slack.socket_mode"].mend


async def test_a_slack_that_cannot_be_reached_is_a_fault_and_what_hangs_on_it_no_pass(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_API_URL", "http://127.0.0.1:9/api/")
    findings = await place.examine()

    assert "cannot be reached" in faults(findings)["slack.bot_token"].said
    assert named(findings, "slack.socket_mode").verdict is Verdict.UNKNOWN
    assert named(findings, "target.cluster-a.command").verdict is Verdict.PASS


class TestScopes:
    """What was granted, against manifest.yml."""

    @pytest.fixture
    def manifest(self, manifest: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
        change: Callable[[dict[str, list[str]]], Any] = request.param
        change(manifest["oauth_config"]["scopes"])
        return manifest

    @pytest.mark.parametrize("manifest", [lambda scopes: scopes["bot"].remove("files:write")], indirect=True)
    async def test_one_that_is_missing_is_a_fault(self, place: Place) -> None:
        check = faults(await place.examine())["slack.scopes"]
        assert (check.verdict, check.said) == (Verdict.FAIL, "The app lacks files:write.")
        assert "manifest.yml" in check.mend

    @pytest.mark.parametrize("manifest", [lambda scopes: scopes["bot"].append("chat:write.customize")], indirect=True)
    async def test_one_too_many_is_a_warning(self, place: Place) -> None:
        check = faults(await place.examine())["slack.scopes"]
        assert check.verdict is Verdict.WARN
        assert "chat:write.customize" in check.said

    @pytest.mark.parametrize("manifest", [lambda scopes: scopes.pop("bot_optional")], indirect=True)
    async def test_without_the_optional_ones_a_channel_that_was_not_looked_up_is_no_pass(self, place: Place) -> None:
        found = faults(await place.examine())
        assert {check.verdict for check in found.values()} == {Verdict.WARN}
        assert set(found) == {"slack.scopes", "policy.channel.C0INCIDENT"}


async def test_people_groups_and_channels_of_the_policy_that_are_not_there_are_faults(place: Place) -> None:
    workspace = place.slack.workspace
    workspace.groups["S0EMPTY"] = ("empty", [])
    workspace.channels["C0GENERAL"].archived = True
    who = ["@sre", "@nobody", "@empty", "U0GONE", "U0CSM"]
    places = ["C0INCIDENT", "C0GENERAL", "C0PRIVATE", "C0NOWHERE"]
    place.change(policy=[{"who": who, "may": ["*"], "on": ["*"], "in": places}])
    found = faults(await place.examine())

    assert {name: check.verdict for name, check in found.items()} == {
        "policy.group.@nobody": Verdict.FAIL,
        "policy.group.@empty": Verdict.WARN,
        "policy.user.U0GONE": Verdict.FAIL,
        "policy.user.U0CSM": Verdict.FAIL,
        "policy.channel.C0GENERAL": Verdict.FAIL,
        "policy.channel.C0PRIVATE": Verdict.FAIL,
        "policy.channel.C0NOWHERE": Verdict.FAIL,
    }


async def test_a_clock_that_is_wrong_is_told_by_slack_and_by_the_cluster(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late:
        def time(self) -> float:
            return real_time.time() - 600

    monkeypatch.setattr("bot.doctor.slack.time", Late())
    monkeypatch.setattr("bot.doctor.targets.time", Late())
    found = faults(await place.examine())

    assert set(found) == {"slack.clock", "target.cluster-a.clock"}
    assert "s behind Slack's" in found["slack.clock"].said


# -- database -------------------------------------------------------------------------------------------------------


async def test_an_older_schema_is_a_warning_and_is_left_alone(place: Place) -> None:
    url = f"sqlite:///{place.folder / 'csm.db'}"
    await (await Store.open(url)).aclose()
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.delete(schema_version).where(schema_version.c.version == VERSION))
    check = faults(await place.examine())["database"]
    with engine.connect() as connection:
        left = connection.scalar(sa.select(sa.func.max(schema_version.c.version)))
    engine.dispose()

    assert check.verdict is Verdict.WARN
    assert "backup" in check.mend
    assert left == VERSION - 1


async def test_a_newer_schema_is_a_fault(place: Place) -> None:
    url = f"sqlite:///{place.folder / 'csm.db'}"
    store = await Store.open(url)
    await store.write(lambda connection: connection.execute(sa.insert(schema_version).values(version=VERSION + 1)))
    await store.aclose()
    assert "a newer csm has used it" in faults(await place.examine())["database"].said


@pytest.mark.parametrize("url", ["postgresql://csm@127.0.0.1:9/csm", "sqlite:////no/such/folder/csm.db"])
async def test_a_database_that_cannot_be_used_is_a_fault(place: Place, url: str) -> None:
    place.change(database_url=url)
    assert faults(await place.examine())["database"].verdict is Verdict.FAIL


@pytest.mark.needs("postgres")
async def test_an_account_that_may_not_make_tables_is_a_fault_and_nothing_is_left_behind(
    place: Place, postgres: Postgres
) -> None:
    url = postgres.database()
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS csm_reader")
        connection.exec_driver_sql("CREATE ROLE csm_reader LOGIN")
        connection.exec_driver_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    place.change(database_url=url)
    assert faults(await place.examine()) == {}
    place.change(database_url=sa.make_url(url).set(username="csm_reader").render_as_string())
    check = faults(await place.examine())["database.rights"]
    tables = sa.inspect(engine).get_table_names()
    schemas = sa.inspect(engine).get_schema_names()
    engine.dispose()

    assert (check.verdict, "permission denied" in check.said) == (Verdict.FAIL, True)
    assert (tables, "dbos" in schemas) == ([], False)


async def test_a_database_that_never_answers_is_unknown_and_holds_nothing_up(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system accepts, and nobody reads
        port = silent.getsockname()[1]
        place.change(database_url=f"postgresql://csm@127.0.0.1:{port}/csm?connect_timeout=1000")
        findings = await place.examine(patience_s=3)

    assert named(findings, "database").verdict is Verdict.UNKNOWN
    assert named(findings, "target.cluster-a.reachable").verdict is Verdict.PASS


async def test_what_was_run_is_in_the_audit_of_a_database_that_is_there(place: Place) -> None:
    url = f"sqlite:///{place.folder / 'csm.db'}"
    await (await Store.open(url)).aclose()
    await place.examine()
    store = await Store.open(url)
    text = await store.read(lambda connection: connection.exec_driver_sql("SELECT entry FROM csm_audit").scalar())
    await store.aclose()

    entry = json.loads(str(text))
    assert (entry["event"], entry["agent"], entry["argv"]) == ("doctor.asked", "node-1", [["agent", "version"]])


# -- targets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("right", NEEDED, ids=str)
async def test_each_right_that_is_missing_is_named(place: Place, right: Any) -> None:
    place.cluster.rights.discard(str(right))
    findings = await place.examine()
    check = faults(findings)[f"target.cluster-a.rights.{str(right).replace(' ', '.')}"]

    assert check.verdict is Verdict.FAIL
    assert check.said == f"csm may not {right} in the Agents' namespace."
    assert f"verbs [{right.verb}]" in check.mend
    assert findings.status == 1


async def test_the_network_plugins_settings_that_may_not_be_read_are_a_warning(place: Place) -> None:
    place.cluster.plugin_rights.discard("get configmaps")
    check = faults(await place.examine())["target.cluster-a.rights.network_plugin"]
    assert check.verdict is Verdict.WARN
    assert "get configmaps in kube-system" in check.said


async def test_with_the_charts_roles_nothing_is_missing_and_nothing_is_too_much(tmp_path: Path) -> None:
    async with as_the_chart_allows(tmp_path) as executor:
        found = [check async for check in targets.look("cluster-a", executor, lambda _entry: None)]

    assert {check.verdict for check in found} == {Verdict.PASS}
    assert any(check.name == "target.cluster-a.rights" for check in found)


async def test_rights_that_csm_never_uses_are_a_warning(place: Place) -> None:
    place.cluster.rights.add("get secrets")
    check = faults(await place.examine())["target.cluster-a.rights.too_much"]
    assert (check.verdict, "get secrets" in check.said) == (Verdict.WARN, True)


async def test_a_cluster_that_refuses_the_account_is_a_fault_and_its_rights_are_unknown(place: Place) -> None:
    place.cluster.token = "another"
    found = faults(await place.examine())

    assert found["target.cluster-a.rights"].verdict is Verdict.UNKNOWN
    assert "401" in found["target.cluster-a.reachable"].said


async def test_a_target_without_agents_is_a_fault(place: Place) -> None:
    place.cluster.pods.clear()
    assert "namespace" in faults(await place.examine())["target.cluster-a.agents"].mend


async def test_agents_that_do_not_run_are_named_and_another_one_is_asked(place: Place) -> None:
    first = next(iter(place.cluster.pods.values()))
    place.cluster.pods[first.name] = replace(first, phase="Pending")
    findings = await place.examine()

    assert named(findings, "target.cluster-a.agents.phase").said == "Not running: node-1."
    assert "node-2" in named(findings, "target.cluster-a.command").said


async def test_a_command_that_does_not_run_is_a_fault(place: Place) -> None:
    for pod in place.cluster.pods.values():
        pod.fault = "http_500"
    assert "agent version" in faults(await place.examine())["target.cluster-a.command"].said


async def test_a_target_that_never_answers_is_unknown_and_delays_no_other(place: Place) -> None:
    for pod in place.cluster.pods.values():
        pod.fault = "never"
    findings = await place.examine(patience_s=1.5)

    assert named(findings, "target.cluster-a").verdict is Verdict.UNKNOWN
    assert named(findings, "target.cluster-a.agents").verdict is Verdict.PASS
    assert named(findings, "slack.bot_token").verdict is Verdict.PASS
    assert findings.status == 3


@pytest.mark.parametrize(
    "target",
    [
        {"docker": {"image": "("}},
        {"docker": {"base_url": "tcp://:x"}},
        {"kubernetes": {}},
        {"ssh": {"address": "127.0.0.1", "port": 99_999_999, "user": "u", "known_hosts": "/dev/null"}},
    ],
    ids=lambda target: next(iter(target)),
)
async def test_an_entry_that_nothing_can_be_made_of_is_no_pass_and_hides_no_other(
    place: Place, target: dict[str, Any]
) -> None:
    if "kubernetes" in target:
        (place.folder / "list.yaml").write_text("just words\n")
        target = {"kubernetes": {"kubeconfig": str(place.folder / "list.yaml")}}
    cluster = yaml.safe_load(place.config.read_text())["targets"]["cluster-a"]
    place.change(targets={"cluster-a": cluster, "odd": target})
    findings = await place.examine()

    assert [name for name in faults(findings) if name.startswith("target.odd")]
    assert named(findings, "target.cluster-a.command").verdict is Verdict.PASS


async def test_no_command_inherits_a_token(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    program = place.folder / "opt/datadog-agent/bin/agent/agent"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nenv | grep -c SLACK_.*TOKEN >&2\nexit 1\n")
    program.chmod(0o755)
    place.change(targets={"this-host": {"host": {"root": str(place.folder)}}})
    assert faults(await place.examine())["target.this-host.command"].said.endswith("ended with 1: 0\n")


async def test_a_host_without_an_agent_is_a_fault(place: Place) -> None:
    place.change(targets={"this-host": {"host": {"root": str(place.folder)}}})
    assert "No Datadog Agent was found" in faults(await place.examine())["target.this-host.agents"].said


# -- the program ----------------------------------------------------------------------------------------------------


async def test_the_program_prints_for_people_and_for_machines(place: Place) -> None:
    place.cluster.rights.discard("create pods/exec")

    async def csm(*arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bot",
            "doctor",
            "--config",
            str(place.config),
            *arguments,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode()

    status, text = await csm()
    assert status == 1
    assert "❌ target.cluster-a.rights.create.pods/exec: csm may not create pods/exec" in text
    assert "   → Add the rule to csm's role: verbs [create], resources [pods/exec]" in text

    status, text = await csm("--json")
    document = json.loads(text)
    assert (status, document["schema"], document["verdict"]) == (1, "csm.doctor/1", "fail")
    assert {"name", "verdict", "said", "mend"} == set(document["checks"][0])
