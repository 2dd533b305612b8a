"""The self-test's verdict, by Agent version and fault, over the real client and the stand-in cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from bot.runtime.clock import SystemClock
from bot.sandbox.agent import FAULTS, Behaviour
from bot.sandbox.kubernetes_api import KubernetesApi, Pod
from handlers.agent.commands import triggers_selftest
from handlers.agent.findings import KINDS
from handlers.executors.kubernetes import KubernetesExecutor
from handlers.executors.settings import KubernetesSettings
from handlers.model import Agent, AgentResult, Installation, Platform, Verdict
from handlers.remediation import remediate
from handlers.selftest import SelftestSettings, check_agent
from handlers.version import from_image, from_output, from_tag
from tests.verdicts import ERAS, agent_tests_itself, expected

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


async def checked(api: KubernetesApi, tmp_path: Path, behaviour: Behaviour, **pod: object) -> AgentResult:
    containers = ("agent", "security-agent", "system-probe") if behaviour.security_agent else ("agent", "system-probe")
    api.pods = {"datadog-1": Pod("datadog-1", "node-1", behaviour, **({"containers": containers} | pod))}  # type: ignore[arg-type]
    executor = KubernetesExecutor(
        "cluster-a", KubernetesSettings(kubeconfig=api.write_kubeconfig(tmp_path / "kubeconfig"))
    )
    try:
        (agent,) = await executor.agents()
        return await check_agent(agent, executor, Hasty(), settings=QUICK)
    finally:
        await executor.aclose()


@pytest.mark.parametrize(
    "fault", ["", "rule_failed", "all_failed", "disabled", "module_down", "refused", "hang", "ebpfless"]
)
@pytest.mark.parametrize(("version", "installation", "security_agent"), ERAS)
async def test_the_verdict_is_what_the_evidence_supports(
    cluster: KubernetesApi, tmp_path: Path, version: str, installation: str, security_agent: bool, fault: str
) -> None:
    result = await checked(cluster, tmp_path, Behaviour(version, installation, security_agent, fault))

    verdict, code = expected(version, fault)
    assert (result.verdict, [finding.code for finding in result.findings]) == (verdict, [code] if code else [])
    assert result.agent_version == version
    assert all(finding.evidence and finding.remediation for finding in result.findings)
    assert result.why
    triggered = any(triggers_selftest(argv) for _, argv in cluster.commands)
    assert triggered is not agent_tests_itself(version)


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
    result = await checked(cluster, tmp_path, Behaviour(version, fault=fault))

    assert result.verdict is Verdict.UNKNOWN
    if fault == "garbage":
        assert result.findings[0].code in {"selftest.no_block", "selftest.unreadable"}
    else:
        assert result.findings[0].code == code


@pytest.mark.parametrize("version", ["7.60.1", "7.70.1"])
@pytest.mark.parametrize("fault", ["noisy", "hostile"])
async def test_noise_around_the_answer_changes_nothing(
    cluster: KubernetesApi, tmp_path: Path, fault: str, version: str
) -> None:
    assert (await checked(cluster, tmp_path, Behaviour(version, fault=fault))).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("version", "verdict", "code"),
    [("7.60.1", Verdict.UNKNOWN, "selftest.disabled"), ("7.70.1", Verdict.FAIL, "selftest.not_enabled")],
)
async def test_not_enabled_is_never_a_pass(
    cluster: KubernetesApi, tmp_path: Path, version: str, verdict: Verdict, code: str
) -> None:
    result = await checked(cluster, tmp_path, Behaviour(version, fault="not_enabled"))

    assert (result.verdict, result.findings[0].code) == (verdict, code)


@pytest.mark.parametrize(("version", "code"), [("7.70.1", "selftest.no_block"), ("7.72.4", None)])
async def test_what_security_agent_does_not_tell_is_asked_of_the_agent_where_it_can_tell(
    cluster: KubernetesApi, tmp_path: Path, version: str, code: str | None
) -> None:
    result = await checked(cluster, tmp_path, Behaviour(version, fault="not_told"))

    assert [finding.code for finding in result.findings] == ([code] if code else [])


@pytest.mark.parametrize(
    ("version", "verdict", "code"),
    [
        ("7.50.3", Verdict.UNKNOWN, "selftest.no_block"),
        ("7.60.1", Verdict.UNKNOWN, "selftest.no_block"),
        ("7.70.1", Verdict.UNKNOWN, "selftest.socket_elsewhere"),
        ("7.72.4", Verdict.PASS, None),
    ],
)
async def test_a_socket_that_was_moved_is_not_a_module_that_is_down(
    cluster: KubernetesApi, tmp_path: Path, version: str, verdict: Verdict, code: str | None
) -> None:
    """The trigger reaches it before 7.65; security-agent, which looks elsewhere, tells no results."""
    result = await checked(cluster, tmp_path, Behaviour(version, fault="socket_moved"))

    assert (result.verdict, [finding.code for finding in result.findings]) == (verdict, [code] if code else [])
    if version == "7.60.1":
        assert "DD_RUNTIME_SECURITY_CONFIG_SOCKET=/run/moved/runtime-security.sock" in result.argv


@pytest.mark.parametrize("version", ["7.50.3", "7.60.1", "7.70.1", "7.78.0"])
async def test_a_module_that_is_starting_is_not_down(cluster: KubernetesApi, tmp_path: Path, version: str) -> None:
    result = await checked(cluster, tmp_path, Behaviour(version, fault="starting"))

    assert [finding.code for finding in result.findings] == ["selftest.module_starting"]


@pytest.mark.parametrize(("version", "verdict"), [("7.72.4", Verdict.PASS), ("7.73.0", Verdict.FAIL)])
async def test_events_that_come_late_look_like_a_failure_from_7_73(
    cluster: KubernetesApi, tmp_path: Path, version: str, verdict: Verdict
) -> None:
    result = await checked(cluster, tmp_path, Behaviour(version, fault="late_events"))

    assert result.verdict is verdict
    assert ("events that came late look like a failure" in result.limits) is (verdict is Verdict.FAIL)


@pytest.mark.parametrize(
    ("zone", "offset_h"), [("CST", -6), ("CST", 8), ("CDT", -5), ("IST", 5.5), ("BST", 1), ("MSK", 3)]
)
async def test_an_agent_gets_its_verdict_wherever_its_host_is(
    cluster: KubernetesApi, tmp_path: Path, zone: str, offset_h: float
) -> None:
    behaviour = Behaviour("7.70.1", zone=zone, utc_offset_s=int(offset_h * 3600))

    assert (await checked(cluster, tmp_path, behaviour)).verdict is Verdict.PASS


async def test_the_socket_is_set_where_the_chart_does_not(cluster: KubernetesApi, tmp_path: Path) -> None:
    containers = ("agent", "system-probe")
    helm = await checked(cluster, tmp_path, Behaviour("7.60.1", "helm"), containers=containers)
    operator = await checked(cluster, tmp_path, Behaviour("7.60.1", "operator"), containers=containers)

    assert helm.argv[:2] == ("env", "DD_RUNTIME_SECURITY_CONFIG_SOCKET=/var/run/sysprobe/runtime-security.sock")
    assert operator.argv == ("system-probe", "runtime", "self-test")


async def test_the_socket_is_set_after_the_agent_says_that_it_is_missing(
    cluster: KubernetesApi, tmp_path: Path
) -> None:
    """Neither the chart's nor the Operator's label: it is tried without first."""
    pod = Pod("datadog-1", "node-1", Behaviour("7.60.1", "helm"), containers=("agent", "system-probe"))
    unlabelled = pod.as_json
    cluster.pods = {pod.name: pod}

    def as_json() -> dict[str, object]:
        found = unlabelled()
        del found["metadata"]["labels"]["app.kubernetes.io/managed-by"]
        return found

    pod.as_json = as_json  # type: ignore[method-assign]
    executor = KubernetesExecutor("c", KubernetesSettings(kubeconfig=cluster.write_kubeconfig(tmp_path / "k")))
    (agent,) = await executor.agents()
    result = await check_agent(agent, executor, Hasty(), settings=QUICK)
    await executor.aclose()

    assert agent.installation is Installation.KUBERNETES
    assert [invocation.argv[0] for invocation in result.invocations][:2] == ["system-probe", "env"]
    assert result.invocations[1].exit_status == 0


async def test_a_container_that_is_not_ready_is_not_asked(cluster: KubernetesApi, tmp_path: Path) -> None:
    not_ready = {"system-probe": "CrashLoopBackOff"}
    result = await checked(
        cluster, tmp_path, Behaviour("7.60.1"), containers=("agent", "system-probe"), not_ready=not_ready
    )

    assert result.findings[0].code == "agent.container_not_ready"
    assert "CrashLoopBackOff" in result.findings[0].summary
    assert not cluster.commands


async def test_a_pod_that_does_not_run_is_not_asked(cluster: KubernetesApi, tmp_path: Path) -> None:
    result = await checked(cluster, tmp_path, Behaviour("7.70.1"), phase="Pending")

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
    result = await checked(cluster, tmp_path, Behaviour("7.70.1"), fault=fault)

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
