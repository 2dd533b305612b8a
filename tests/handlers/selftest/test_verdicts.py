"""The self-test's verdict, by Agent version and fault, over the real client and the stand-in cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from bot.clock import SystemClock
from bot.sandbox.agent import FAULTS, RULES, Behaviour
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from handlers.agent.findings import KINDS
from handlers.agent.status import NEVER, read_status
from handlers.executors.kubernetes import KubernetesExecutor
from handlers.executors.settings import KubernetesSettings
from handlers.model import Agent, AgentResult, Installation, Platform, Verdict
from handlers.remediation import remediate
from handlers.selftest import SelftestSettings, examine
from handlers.version import from_image, from_output, from_tag
from tests.verdicts import ERAS, expected

QUICK = SelftestSettings(deadline_s=1.0, status_deadline_s=1.0)


class Hasty(SystemClock):
    """Waits no longer than a moment, so that awaited results are given up soon."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        self._ahead += seconds


@pytest.fixture
async def cluster() -> AsyncIterator[KubernetesApi]:
    async with KubernetesApi() as api:
        yield api


async def examined(api: KubernetesApi, tmp_path: Path, behaviour: Behaviour, **pod: object) -> AgentResult:
    containers = ("agent", "security-agent", "system-probe") if behaviour.security_agent else ("agent", "system-probe")
    api.pods = {"datadog-1": Pod("datadog-1", "node-1", behaviour, **({"containers": containers} | pod))}  # type: ignore[arg-type]
    executor = KubernetesExecutor(
        "cluster-a", KubernetesSettings(kubeconfig=api.write_kubeconfig(tmp_path / "kubeconfig"))
    )
    try:
        (agent,) = await executor.agents()
        return await examine(agent, executor, Hasty(), settings=QUICK)
    finally:
        await executor.aclose()


@pytest.mark.parametrize(
    "fault", ["", "rule_failed", "all_failed", "disabled", "module_down", "refused", "hang", "ebpfless"]
)
@pytest.mark.parametrize(("version", "installation", "security_agent"), ERAS)
async def test_the_verdict_is_what_the_evidence_supports(
    cluster: KubernetesApi, tmp_path: Path, version: str, installation: str, security_agent: bool, fault: str
) -> None:
    result = await examined(cluster, tmp_path, Behaviour(version, installation, security_agent, fault))

    verdict, code = expected(version, fault)
    assert (result.verdict, [finding.code for finding in result.findings]) == (verdict, [code] if code else [])
    assert result.agent_version == version
    assert all(finding.evidence and finding.remediation for finding in result.findings)
    assert result.why


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("stale", "selftest.stale"),
        ("future", "selftest.future"),
        ("never_finished", "selftest.never_finished"),
        ("contradiction", "selftest.contradiction"),
        ("missing_rule", "selftest.incomplete"),
        ("no_block", "selftest.no_block"),
        ("garbage", "selftest.no_block"),
        ("status_hangs", "agent.timeout"),
        ("starting", "selftest.module_starting"),
        ("permission_denied", "selftest.permission_denied"),
    ],
)
@pytest.mark.parametrize("version", ["7.50.3", "7.60.1", "7.70.1"])
async def test_evidence_that_does_not_hold_is_never_a_pass(
    cluster: KubernetesApi, tmp_path: Path, version: str, fault: str, code: str
) -> None:
    result = await examined(cluster, tmp_path, Behaviour(version, fault=fault))

    assert result.verdict is Verdict.UNKNOWN
    if fault == "garbage":
        assert result.findings[0].code in {"selftest.no_block", "selftest.unreadable"}
    else:
        assert result.findings[0].code == code


@pytest.mark.parametrize("fault", ["noisy", "hostile"])
async def test_noise_around_the_answer_changes_nothing(cluster: KubernetesApi, tmp_path: Path, fault: str) -> None:
    assert (await examined(cluster, tmp_path, Behaviour("7.70.1", fault=fault))).verdict is Verdict.PASS


async def test_not_enabled_is_a_failure_with_the_patch_that_enables_it(cluster: KubernetesApi, tmp_path: Path) -> None:
    result = await examined(cluster, tmp_path, Behaviour("7.70.1", fault="not_enabled"))

    assert result.verdict is not Verdict.PASS
    assert result.findings[0].code == "selftest.disabled"


async def test_the_socket_is_set_where_the_chart_does_not(cluster: KubernetesApi, tmp_path: Path) -> None:
    helm = await examined(cluster, tmp_path, Behaviour("7.70.1", "helm"))
    operator = await examined(cluster, tmp_path, Behaviour("7.70.1", "operator"))

    assert helm.argv[:2] == ("env", "DD_RUNTIME_SECURITY_CONFIG_SOCKET=/var/run/sysprobe/runtime-security.sock")
    assert operator.argv == ("system-probe", "runtime", "self-test")


async def test_the_socket_is_set_after_the_agent_says_that_it_is_missing(
    cluster: KubernetesApi, tmp_path: Path
) -> None:
    """Neither the chart's nor the Operator's label: it is tried without first."""
    pod = Pod("datadog-1", "node-1", Behaviour("7.70.1", "helm"))
    unlabelled = pod.as_json
    cluster.pods = {pod.name: pod}

    def as_json() -> dict[str, object]:
        found = unlabelled()
        del found["metadata"]["labels"]["app.kubernetes.io/managed-by"]
        return found

    pod.as_json = as_json  # type: ignore[method-assign]
    executor = KubernetesExecutor("c", KubernetesSettings(kubeconfig=cluster.write_kubeconfig(tmp_path / "k")))
    (agent,) = await executor.agents()
    result = await examine(agent, executor, Hasty(), settings=QUICK)
    await executor.aclose()

    assert agent.installation is Installation.KUBERNETES
    assert result.verdict is Verdict.PASS
    assert [invocation.argv[0] for invocation in result.invocations][:2] == ["system-probe", "env"]


async def test_a_container_that_is_not_ready_is_not_asked(cluster: KubernetesApi, tmp_path: Path) -> None:
    result = await examined(cluster, tmp_path, Behaviour("7.70.1"), not_ready={"system-probe": "CrashLoopBackOff"})

    assert result.findings[0].code == "agent.container_not_ready"
    assert "CrashLoopBackOff" in result.findings[0].summary
    assert not cluster.commands


async def test_a_pod_that_does_not_run_is_not_asked(cluster: KubernetesApi, tmp_path: Path) -> None:
    result = await examined(cluster, tmp_path, Behaviour("7.70.1"), phase="Pending")

    assert result.findings[0].code == "agent.not_running"
    assert not cluster.execs


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("vanish", "agent.vanished"),
        ("cut", "agent.connection_lost"),
        ("no_status", "agent.no_exit_status"),
        ("http_401", "agent.denied"),
        ("http_403", "agent.denied"),
        ("http_404", "agent.vanished"),
        ("http_410", "agent.vanished"),
        ("http_429", "agent.throttled"),
        ("http_500", "agent.unreachable"),
        ("never", "agent.timeout"),
    ],
)
async def test_each_way_in_which_the_platform_breaks_is_a_finding_of_its_own(
    cluster: KubernetesApi, tmp_path: Path, fault: str, code: str
) -> None:
    result = await examined(cluster, tmp_path, Behaviour("7.70.1"), fault=fault)

    assert result.verdict is Verdict.UNKNOWN
    assert [finding.code for finding in result.findings] == [code]


@pytest.mark.parametrize("installation", list(Installation))
@pytest.mark.parametrize("code", sorted(KINDS))
def test_every_finding_has_advice_whose_yaml_is_valid(code: str, installation: Installation) -> None:
    agent = Agent(
        target="t",
        name="node-1",
        platform=Platform.KUBERNETES,
        installation=installation,
        namespace="datadog",
        handle="pod-1",
    )
    advice = remediate(code, agent, from_tag("7.70.1"))

    assert advice.summary.endswith(".")
    for step in advice.steps:
        assert step.title
        if step.language == "yaml":
            assert isinstance(yaml.safe_load(step.snippet), dict)


def test_every_fault_of_the_stand_in_is_described() -> None:
    assert all(description and not description.endswith(".") for description in FAULTS.values())


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("gcr.io/datadoghq/agent:7.70.1", "7.70.1"),
        ("gcr.io/datadoghq/agent:7.70.1-jmx", "7.70.1"),
        ("registry:5000/agent:7.78.0-rc.2-full", "7.78.0"),
        ("registry:5000/agent", None),
        ("agent:7", None),
        ("agent:latest", None),
        ("agent@sha256:" + "0" * 64, None),
        ("agent:7.70.1@sha256:" + "0" * 64, "7.70.1"),
    ],
)
def test_a_version_is_read_from_an_image(image: str, version: str | None) -> None:
    found = from_image(image)
    assert (str(found) if found else None) == version


def test_a_version_is_read_from_what_the_agent_prints() -> None:
    printed = "Agent 7.60.1 - Commit: abc - Serialization version: v5.0.1 - Go version: go1.22.8"
    assert str(from_output(printed)) == "7.60.1"


BLOCK = f"""
  Self Tests
  ==========
    Last execution: 02 Jan 24 15:04 CET
    Succeeded:
      - {RULES[0]}
      - {RULES[1]}
    Failed: none

  Policies
  ========
"""


def test_a_block_is_read_in_any_zone_and_line_ending() -> None:
    for text in (BLOCK, BLOCK.replace("\n", "\r\n"), BLOCK.replace("    ", "\t")):
        block = read_status(text).block
        assert block is not None
        assert block.last_execution == datetime(2024, 1, 2, 14, 4, tzinfo=UTC)
        assert (block.succeeded, block.failed) == (RULES[:2], ())


def test_the_zero_time_means_never() -> None:
    block = read_status(BLOCK.replace("02 Jan 24 15:04 CET", "01 Jan 01 00:00 UTC")).block
    assert block is not None
    assert block.last_execution == NEVER


@pytest.mark.parametrize("stamp", ["02 Jan 24 15:04 XYZ", "31 Feb 24 15:04 UTC", "yesterday", ""])
def test_a_time_that_cannot_be_read_is_a_fault(stamp: str) -> None:
    block = read_status(BLOCK.replace("02 Jan 24 15:04 CET", stamp)).block
    assert block is not None
    assert block.last_execution is None
    assert block.faults


def test_blocks_that_contradict_one_another_are_not_believed() -> None:
    block = read_status(BLOCK + BLOCK.replace(f"      - {RULES[1]}\n", "")).block
    assert block is not None
    assert block.succeeded is None
    assert block.faults
