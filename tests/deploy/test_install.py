"""
docs/install.md for a host, walked through word by word on a copy of this machine, to a self-test in Slack.

The copy is an overlay in a mount namespace of its own: whatever the document installs is gone with the process. Only
`systemctl` is stood in for, since there is no systemd in it; what the unit says to start is started by hand.
"""

from __future__ import annotations

import asyncio
import configparser
import os
import re
import shlex
import stat
from pathlib import Path

import pytest
import yaml

from bot.sandbox.driver import Driver
from bot.sandbox.fleet import fleet
from bot.sandbox.kubernetes_api import KubernetesApi
from bot.sandbox.slack.server import LocalSlack
from bot.slack.client import MANIFEST
from tests.deploy.conftest import ROOT
from tests.programs import need, need_mount_namespace

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("image")]
NEEDED = ("unshare", "chroot", "runuser", "useradd", "make")
OVERLAY = """\
set -eu
mount -t tmpfs tmpfs "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work" "$PLACE/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$PLACE/upper,workdir=$PLACE/work" "$PLACE/root"
mount --rbind /proc "$PLACE/root/proc"
mount --rbind /dev "$PLACE/root/dev"
exec chroot "$PLACE/root" bash "$1"
"""
SYSTEMCTL = '#!/bin/sh\necho systemctl "$@"\n'


def host_steps() -> list[str]:
    """The shell blocks of the section on hosts, as people copy them."""
    text = (ROOT / "docs" / "install.md").read_text("utf-8")
    section = text.split("## 3c. On a host")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)


def started_by_the_unit() -> list[str]:
    unit = configparser.RawConfigParser(strict=False)
    unit.read(ROOT / "deploy" / "systemd" / "csm.service")
    return shlex.split(unit["Service"]["ExecStart"])


def script(folder: Path) -> str:
    """Everything, from the document's first line to the bot that runs."""
    install, doctor = host_steps()
    return "\n".join(
        [
            "set -eux",
            f"export PATH={folder}/stand-ins:$PATH",
            "chmod a+x /root",  # where this machine's Python may be
            f"cd {ROOT}",
            f"cp {folder}/csm.yaml csm.yaml",
            f"install -D --mode=0644 {folder}/kubeconfig /srv/csm-kubeconfig",
            install,
            "mkdir -p /var/lib/csm && chown csm /var/lib/csm",  # the unit's StateDirectory
            f"( {doctor.strip()} )",
            "set -a; . /etc/csm/environment; set +a",
            f"cd /var/lib/csm && exec runuser -u csm -- {shlex.join(started_by_the_unit())}",
        ]
    )


async def test_installed_word_by_word_it_runs_a_self_test(tmp_path: Path) -> None:
    need(*NEEDED)
    need_mount_namespace()
    for name in ("place", "stand-ins"):
        (tmp_path / name).mkdir()
    (tmp_path / "stand-ins" / "systemctl").write_text(SYSTEMCTL)
    (tmp_path / "stand-ins" / "systemctl").chmod(stat.S_IRWXU)
    async with LocalSlack(MANIFEST) as slack, KubernetesApi(fleet(3)) as cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        config = {
            "targets": {"cluster-a": {"kubernetes": {"kubeconfig": "/srv/csm-kubeconfig"}}},
            "policy": [{"who": ["@sre"], "may": ["*"], "on": ["*"], "in": ["*"]}],
            "approvals": {"flare": {"by": ["@security"]}},
        }
        (tmp_path / "csm.yaml").write_text(yaml.safe_dump(config))
        (tmp_path / "steps").write_text(script(tmp_path))
        environment = {
            **os.environ,
            "PLACE": str(tmp_path / "place"),
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_APP_TOKEN": slack.app_token,
            "SLACK_API_URL": slack.api_url,
        }
        with (tmp_path / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                "unshare", "--mount", "bash", "-c", OVERLAY, "-", str(tmp_path / "steps"),
                env=environment, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            await connected(slack, process, tmp_path / "log")
            ana = Driver(slack)
            await ana.type("/csm selftest cluster-a")
            root = await ana.finished(within_s=120)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()

    assert "pass" in root["text"] or "✅" in root["text"]
    said = text_of(tmp_path / "log")
    assert "✅ target.cluster-a.command" in said
    assert "systemctl enable --now csm" in said


async def connected(slack: LocalSlack, process: asyncio.subprocess.Process, log: Path) -> None:
    """Until the bot is there to stay: the doctor's connection comes first, and goes."""
    async with asyncio.timeout(500):
        while "bot.ready" not in text_of(log):
            assert process.returncode is None, text_of(log)[-3000:]
            await asyncio.sleep(0.2)


def text_of(log: Path) -> str:
    return log.read_text("utf-8", "replace")
