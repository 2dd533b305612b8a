"""
Programs that tests need, and the Debian packages that bring them: the one place that decides what is left out.

A test says what it needs by `@pytest.mark.needs("clang", "bpftool")`, a fixture by `need("dockerd")`. Where nothing may
be left out (CSM_TESTS_REQUIRE_ALL), what is missing is a failure (`tests/conftest.py`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin", str(ROOT / "build" / "tools"))
POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path(), key=lambda path: int(path.parent.name))
"""Where Debian keeps the newest PostgreSQL's programs."""
_PATH = os.pathsep.join((os.environ.get("PATH", ""), *_FOLDERS, str(POSTGRES)))

_BROUGHT_BY = {
    "bpftool": "Debian: bpftool",
    "busybox": "Debian: busybox-static",
    "chromium": "Debian: chromium",
    "clang": "Debian: clang",
    "curl": "Debian: curl",
    "docker": "Debian: docker.io",
    "docker-compose": "`make build/tools/docker-compose` builds it with Go",
    "dockerd": "Debian: docker.io",
    "helm": "`make build/tools/helm` builds it with Go",
    "ip": "Debian: iproute2",
    "kubectl": "Debian: kubernetes-client",
    "llvm-mc": "Debian: llvm",
    "llvm-objcopy": "Debian: llvm",
    "mmdebstrap": "Debian: mmdebstrap",
    "node": "Debian: nodejs",
    "postgres": "Debian: postgresql",
    "prometheus": "Debian: prometheus",
    "promtool": "Debian: prometheus",
    "setpriv": "Debian: util-linux",
    "ssh-keygen": "Debian: openssh-client",
    "sshd": "Debian: openssh-server",
    "strip": "Debian: binutils",
    "sudo": "Debian: sudo",
    "systemd-analyze": "Debian: systemd",
    "tc": "Debian: iproute2",
    "unshare": "Debian: util-linux",
    "visudo": "Debian: sudo",
}


def find(program: str) -> str | None:
    """Where a program is; also in the folders of administrators, and among the tools that `make` builds."""
    return shutil.which(program, path=_PATH)


def need(*programs: str, root: bool = False) -> None:
    """Leave the test out unless all of these are here, and say what brings those that are not."""
    if missing := [why_missing(program) for program in programs if not find(program)]:
        pytest.skip(f"there is no {', no '.join(missing)}")
    if root and os.geteuid() != 0:
        pytest.skip("it needs root")


def need_mount_namespace() -> None:
    """Leave the test out where no mount namespace can be made: without root, in some containers, in a chroot."""
    need("unshare", root=True)
    if subprocess.run([str(find("unshare")), "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")


def why_missing(program: str) -> str:
    """`clang (Debian: clang)`."""
    return f"{program} ({_BROUGHT_BY.get(program, 'not among what tests use')})"


def is_known(program: str) -> bool:
    """Whether a program is among what tests may do without."""
    return program in _BROUGHT_BY
