"""The systemd unit, its drop-in and the compose file are what systemd and Compose take, and what csm needs."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.conftest import ROOT
from tests.programs import find, need

UNIT = ROOT / "deploy" / "systemd" / "csm.service"
DROP_IN = ROOT / "deploy" / "systemd" / "csm.service.d" / "this-host.conf"
ANALYZE = find("systemd-analyze")
EXPOSURE = 2.0
"""systemd-analyze security: 0 is closed, 10 is open; services of distributions are mostly at 9."""

IMPLIES_NO_NEW_PRIVILEGES = {
    "NoNewPrivileges", "SystemCallFilter", "SystemCallArchitectures", "RestrictAddressFamilies", "RestrictNamespaces", "PrivateDevices",
    "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectClock", "MemoryDenyWriteExecute", "RestrictRealtime",
    "RestrictSUIDSGID", "DynamicUser", "LockPersonality", "ProtectHostname",
}  # fmt: skip
"""systemd.exec(5), NoNewPrivileges=, for a service with User=."""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The unit where systemd-analyze reads it, with a program that exists here."""
    need("systemd-analyze")
    (tmp_path / UNIT.name).write_text(UNIT.read_text().replace("/opt/csm/bin/csm", "/bin/true"))
    return tmp_path


def test_systemd_takes_the_unit_without_a_complaint(units: Path) -> None:
    done = subprocess.run([str(ANALYZE), "verify", units / UNIT.name], check=False, capture_output=True, text=True)

    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])


def test_systemd_takes_the_drop_in_without_a_complaint(units: Path) -> None:
    folder = units / f"{UNIT.name}.d"
    folder.mkdir()
    shutil.copy(DROP_IN, folder)
    done = subprocess.run([str(ANALYZE), "verify", units / UNIT.name], check=False, capture_output=True, text=True)

    assert (done.returncode, [line for line in done.stderr.splitlines() if DROP_IN.name in line]) == (0, [])


def test_the_service_is_exposed_to_little(units: Path) -> None:
    line = [str(ANALYZE), "security", "--offline=yes", "--no-pager", units / UNIT.name]
    said = subprocess.run(line, check=False, capture_output=True, text=True).stdout
    found = re.search(r"Overall exposure level for csm.service: ([0-9.]+)", said)

    assert found, said
    assert float(found[1]) <= EXPOSURE


def test_the_drop_in_undoes_whatever_would_keep_sudo_from_working() -> None:
    hardened, undone = set(_keys(UNIT)), set(_keys(DROP_IN))

    assert hardened & IMPLIES_NO_NEW_PRIVILEGES <= undone
    assert {"PrivateTmp", "CapabilityBoundingSet", "ProtectSystem", "ProtectProc"} <= undone


def test_compose_runs_it_with_nothing_that_it_does_not_need() -> None:
    (service,) = yaml.safe_load((ROOT / "deploy" / "compose" / "compose.yaml").read_text())["services"].values()

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert not [port for port in service["ports"] if not port.startswith("127.0.0.1:")]


def _keys(path: Path) -> list[str]:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text())
    return list(parser["Service"])
