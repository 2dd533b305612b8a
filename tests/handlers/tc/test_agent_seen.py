"""What the collector makes of an Agent's processes, environment and files, in a `/proc` made for it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from handlers.tc import collector
from handlers.tc.collector import Processes, read_yaml
from handlers.tc.evidence import AgentSeen

SECTIONS = ("runtime_security_config", "event_monitoring_config")


class Proc:
    """A `/proc` with the processes that a test needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.roots = folder.with_name("roots")

    def process(self, pid: int, name: str, *words: str, environment: dict[str, str] | None = None) -> Path:
        """Add a process. Returns the root that it sees."""
        place, root = self.folder / str(pid), self.roots / str(pid)
        (place / "ns").mkdir(parents=True)
        root.mkdir(parents=True)
        (place / "comm").write_text(f"{name}\n")
        (place / "cmdline").write_text("\0".join((name, *words)) + "\0")
        (place / "environ").write_text("".join(f"{key}={value}\0" for key, value in (environment or {}).items()))
        (place / "ns" / "net").symlink_to(f"net:[{4026531840 + pid}]")
        (place / "root").symlink_to(root)
        return root

    def agent(self) -> AgentSeen:
        """The Agent that the collector sees here."""
        return AgentSeen.model_validate(collector.agent(Processes(str(self.folder), [])))


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    (tmp_path / "proc").mkdir()
    return Proc(tmp_path / "proc")


def write(root: Path, path: str, content: str) -> None:
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content)


def test_settings_come_from_the_file_that_the_running_process_was_given(proc: Proc) -> None:
    root = proc.process(7, "system-probe", "run", "--config=/etc/other/system-probe.yaml", "--pid=/run/x.pid")
    write(root, "/etc/other/system-probe.yaml", "event_monitoring_config:\n  network:\n    classifier_priority: 4\n")
    write(root, "/etc/datadog-agent/system-probe.yaml", "event_monitoring_config: {network.enabled: false}\n")

    seen = proc.agent()

    assert seen.settings_seen is True
    assert not seen.unseen
    (name, setting), *others = seen.settings.items()
    assert (name, setting.value, setting.source) == ("network.classifier_priority", "4", "/etc/other/system-probe.yaml")
    assert setting.key == "event_monitoring_config.network.classifier_priority"
    assert not others


@pytest.mark.parametrize(
    ("environment", "old", "new", "expected"),
    [
        ({}, None, "5", ("5", "event_monitoring_config.network.classifier_priority")),
        ({}, "4", "5", ("4", "runtime_security_config.network.classifier_priority")),
        ({"EVENT_MONITORING": "3"}, None, "5", ("3", "DD_EVENT_MONITORING_CONFIG_NETWORK_CLASSIFIER_PRIORITY")),
        # An old key counts wherever it is set, also against an environment with the new one.
        ({"EVENT_MONITORING": "3"}, "4", "5", ("4", "runtime_security_config.network.classifier_priority")),
        (
            {"EVENT_MONITORING": "3", "RUNTIME_SECURITY": "2"},
            "4",
            "5",
            ("2", "DD_RUNTIME_SECURITY_CONFIG_NETWORK_CLASSIFIER_PRIORITY"),
        ),
        ({"RUNTIME_SECURITY": ""}, None, "5", ("5", "event_monitoring_config.network.classifier_priority")),
        ({}, "null", "5", ("5", "event_monitoring_config.network.classifier_priority")),
    ],
)
def test_the_key_that_counts_is_told(
    proc: Proc, environment: dict[str, str], old: str | None, new: str, expected: tuple[str, str]
) -> None:
    variables = {f"DD_{name}_CONFIG_NETWORK_CLASSIFIER_PRIORITY": value for name, value in environment.items()}
    root = proc.process(7, "system-probe", environment=variables)
    section = "  network:\n    classifier_priority: {}\n".format
    content = f"runtime_security_config:\n{section(old)}" if old else ""
    content += f"event_monitoring_config:\n{section(new)}"
    write(root, "/etc/datadog-agent/system-probe.yaml", content)

    setting = proc.agent().settings["network.classifier_priority"]

    assert (setting.value, setting.key) == expected


def test_policies_of_the_fleet_are_stronger_than_the_environment(proc: Proc) -> None:
    variables = {"DD_FLEET_POLICIES_DIR": "/etc/managed", "DD_RUNTIME_SECURITY_CONFIG_ENABLED": "false"}
    root = proc.process(7, "system-probe", environment=variables)
    write(root, "/etc/managed/system-probe.yaml", "runtime_security_config:\n  enabled: true\n")

    setting = proc.agent().settings["runtime_security.enabled"]

    assert (setting.value, setting.source) == ("true", "/etc/managed/system-probe.yaml")


def test_without_a_system_probe_nothing_is_known_of_settings(proc: Proc) -> None:
    proc.process(7, "security-agent")

    seen = proc.agent()

    assert seen.settings_seen is False
    assert "system-probe" in seen.unseen[0]
    assert dict(seen.running) == {"security-agent": 7}


def test_a_process_is_an_agent_by_more_than_a_common_name(proc: Proc) -> None:
    proc.process(7, "agent", "run")
    proc.process(8, "agent", "run")
    for pid, program in ((7, "/usr/bin/agent"), (8, "/opt/datadog-agent/bin/agent/agent")):
        (proc.folder / str(pid) / "exe").symlink_to(program)

    assert dict(proc.agent().running) == {"agent": 8}


def test_an_environment_that_may_not_be_read_is_said(proc: Proc, monkeypatch: pytest.MonkeyPatch) -> None:
    proc.process(7, "system-probe")

    def refused(*_: Any) -> dict[str, str]:
        raise PermissionError(13, "no")

    monkeypatch.setattr(Processes, "environment", refused)

    assert proc.agent().unseen == ("The environment of system-probe could not be read: Permission denied.",)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(proc: Proc) -> None:
    root = proc.process(7, "system-probe")
    (root / "etc" / "datadog-agent").mkdir(parents=True)
    os.mkfifo(root / "etc" / "datadog-agent" / "system-probe.yaml")

    assert proc.agent().unseen == ("/etc/datadog-agent/system-probe.yaml could not be read: Invalid argument.",)


def test_two_system_probes_are_said(proc: Proc) -> None:
    proc.process(7, "system-probe")
    proc.process(9, "system-probe")

    seen = proc.agent()

    assert seen.running["system-probe"] == 7
    assert "2 system-probes" in seen.unseen[0]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("version-manifest.json", '{"manifest_format": 2, "build_version": "7.70.1", "software": {}}'),
        ("version-manifest.txt", "agent 7.70.1\n\nComponent  Installed Version\n"),
    ],
)
def test_the_version_is_what_the_package_says(proc: Proc, path: str, content: str) -> None:
    root = proc.process(7, "system-probe")
    write(root, f"/opt/datadog-agent/{path}", content)

    assert proc.agent().version == "7.70.1"


def test_no_secret_of_the_environment_or_the_file_is_told(proc: Proc) -> None:
    lookalike = "abcdef" * 5 + "01"
    root = proc.process(7, "system-probe", environment={"DD_API_KEY": lookalike})
    write(root, "/etc/datadog-agent/system-probe.yaml", f"api_key: {lookalike}\nruntime_security_config:\n  x: 1\n")

    assert lookalike not in proc.agent().model_dump_json()


def test_yaml_is_read_as_far_as_it_is_plain() -> None:
    values, unread = read_yaml(
        """\
# comment
api_key: abc
Runtime_Security_Config:   # sections in any case
  enabled: true   # why
  'quoted': "a # b"
  policies:
    dir: /etc/x#y
  socket: |
    enabled: false
      deeper: 1
  network:
      lazy_interface_prefixes:
      - tap
      - "dummy"   # c
      - {a: b}
      ingress: {enabled: false}
      flow: [a, 'b']
      nothing: ~
event_monitoring_config:
    network:
        enabled: no
""",
        SECTIONS,
    )

    section = "runtime_security_config."
    assert values == {
        section + "enabled": "true",
        section + "quoted": "a # b",
        section + "policies.dir": "/etc/x#y",
        section + "network.lazy_interface_prefixes": "tap, dummy",
        section + "network.ingress.enabled": "false",
        section + "network.flow": "a, b",
        section + "network.nothing": "",
        "event_monitoring_config.network.enabled": "no",
    }
    assert unread == []


@pytest.mark.parametrize(
    "line",
    [
        "  enabled: *alias",
        "  enabled: &anchor true",
        "  <<: *base",
        "  enabled: !!bool true",
        '  enabled: "a\\x41"',
        '  enabled: "over two',
        "  network: {enabled: {deep: 1}}",
        "\tenabled: true",
        "  just words",
        "{runtime_security_config: {enabled: true}}",
        "  enabled: |\n    true",
        "---\nruntime_security_config:\n  enabled: true",
    ],
)
def test_yaml_that_is_not_plain_is_said_and_not_guessed_at(line: str) -> None:
    values, unread = read_yaml(f"runtime_security_config:\n{line}\n", SECTIONS)

    assert values == {}
    assert unread == [2]


def test_yaml_that_is_not_plain_elsewhere_does_not_matter() -> None:
    values, unread = read_yaml("logs:\n  a: *b\n  just words\nruntime_security_config:\n  enabled: true\n", SECTIONS)

    assert (values, unread) == ({"runtime_security_config.enabled": "true"}, [])


@given(st.text(alphabet=" \t\n:#-[]{}'\"&*!|>ab<~,.\x00é", max_size=300))
def test_any_text_is_read_without_a_fault(content: str) -> None:
    values, unread = read_yaml("runtime_security_config:\n" + content, SECTIONS)

    assert all(isinstance(value, str) for value in values.values())
    assert unread == sorted(unread)


WORDS = st.one_of(
    st.sampled_from(
        ["true", "10", "", "~", "null", "a: b", "- x", "#", "it's", 'say "x"', "{}", "[a]", "&a", "*b", "!c", "x #y"]
    ),
    st.text(alphabet="ab -:#'\"{}[],&*!|>%@`\n\t\\\\é~", max_size=30),
)
SCALARS = st.one_of(st.booleans(), st.integers(-5, 70000), st.none(), WORDS)
KEYS = st.sampled_from(["enabled", "network", "classifier_priority", "ingress", "a b", "x-y", "policies"])
TREES = st.recursive(
    st.one_of(SCALARS, st.lists(SCALARS, max_size=3)),
    lambda inner: st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from([*SECTIONS, "logs"]), st.dictionaries(KEYS, TREES, max_size=4)),
    st.sampled_from([None, False]),
    st.sampled_from([80, 10_000]),
)
def test_what_is_read_is_what_a_whole_parser_reads_or_else_is_said(
    document: dict[str, Any], flow: bool | None, width: int
) -> None:
    text = yaml.safe_dump(document, default_flow_style=flow, width=width, allow_unicode=True)

    values, unread = read_yaml(text, SECTIONS)

    if not unread:
        expected = {key: value for section in SECTIONS for key, value in leaves(section, document.get(section))}
        assert {key: value for key, value in values.items() if value} == expected, text


def leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Scalars and lists of scalars by their keys, without those that set nothing."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(f"{path}.{key}", inner)
        return
    shown = ", ".join(map(word, value)) if isinstance(value, list) else word(value)
    if shown:
        yield path, shown


def word(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def test_long_lines_cost_no_more_than_their_length() -> None:
    hostile = "runtime_security_config:\n" + "\n".join("  a" + " " * 50_000 for _ in range(20))

    started = time.monotonic()
    read_yaml(hostile, SECTIONS)

    assert time.monotonic() - started < 2
