"""
docs/install.md for a cluster, walked through word by word with Helm and without, to a self-test in Slack.

There is no cluster here. `kubectl create` and Helm are the real ones, told to print what they would send, and what they
print is applied to the stand-in API, which has RBAC and TLS; the pod is run from it as `kubelet` says, in csm's image on a
real Docker engine, and `kubectl exec` runs in that container. Two values are told to Helm beside those of the page: a port
that is free here, and the address of the sandbox's Slack.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from bot.sandbox.driver import Driver
from bot.sandbox.fleet import fleet
from bot.sandbox.kubernetes_api import KubernetesApi
from bot.sandbox.slack.server import LocalSlack
from bot.slack.client import MANIFEST
from tests import engine as engines
from tests.deploy import page
from tests.deploy.conftest import ROOT
from tests.deploy.kubelet import Cluster
from tests.programs import find, need

HELM = """\
#!/bin/sh
test "$1" = install && shift && exec "$HELM" template "$@" --kube-version 1.31.0 \\
    --set health.port="$PORT" --set 'extraEnv[0].name=SLACK_API_URL' --set "extraEnv[0].value=$SLACK_API_URL" > "$APPLIED"
"""
KUBECTL = """\
#!/bin/sh
case " $* " in
    *" exec "*) test "$1 $2 $3 $4 $5" = "--namespace csm exec statefulset/csm --" && shift 5 && exec docker exec csm-0 "$@";;
    *" create "*) exec "$KUBECTL" "$@" --dry-run=client --output=json > "$APPLIED";;
    " apply --filename "*) test $# = 3 && exec cp "$3" "$APPLIED";;
    " --namespace csm rollout status statefulset/csm ") exec docker inspect --format '{{.State.Status}}' csm-0;;
    *) echo "what is kubectl to do: $*"; exit 1;;
esac
"""

pytestmark = [pytest.mark.needs("dockerd", root=True), pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def engine(image: Path) -> Iterator[engines.Engine]:
    with engines.engine(storage="overlay2") as engine:
        with image.open("rb") as file:
            engine.load_image(file)
        yield engine


def with_helm() -> list[str]:
    """The page's lines, as they are."""
    return page.blocks("3a.", "sh")[0].splitlines()


def without_helm() -> list[str]:
    """The same, with the second block instead of the line that the page says."""
    first, second = page.blocks("3a.", "sh")
    lines = first.splitlines()
    assert lines[2].startswith("helm install")
    return [*lines[:2], *second.splitlines(), *lines[3:]]


def edited(manifests: str, config: str, slack: str, port: int) -> str:
    """The plain manifests with the image and the ConfigMap made the reader's, and what is this machine's."""
    documents = [document for document in yaml.safe_load_all(manifests) if document]
    for document in documents:
        if document["kind"] == "ConfigMap":
            kept = document["data"]["csm.yaml"].splitlines()[:2]
            assert [line.partition(":")[0] for line in kept] == ["database_url", "health"]
            document["data"]["csm.yaml"] = "\n".join(kept).replace("9090", str(port)) + "\n" + config
        if document["kind"] == "StatefulSet":
            (container,) = document["spec"]["template"]["spec"]["containers"]
            container["image"] = "csm:test"
            container["env"].append({"name": "SLACK_API_URL", "value": slack})
            container["ports"] = [{"name": "health", "containerPort": port}]
    return yaml.safe_dump_all(documents)


@pytest.mark.parametrize("lines", [with_helm, without_helm])
async def test_installed_word_by_word_in_a_cluster_it_runs_a_self_test(
    lines: Callable[[], list[str]], engine: engines.Engine, helm: str, tmp_path: Path
) -> None:
    need("kubectl", "docker")
    kubectl = str(find("kubectl"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = page.configuration("2.")
    (tmp_path / "csm.yaml").write_text(config)
    (tmp_path / "deploy" / "manifests").mkdir(parents=True)
    (tmp_path / "deploy" / "chart").symlink_to(ROOT / "deploy" / "chart")
    for name, text in (("helm", HELM), ("kubectl", KUBECTL)):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    applied = tmp_path / "applied.yaml"
    said = ""
    async with LocalSlack(MANIFEST) as slack, KubernetesApi(fleet(3), tls=True) as api:
        plain = (ROOT / "deploy" / "manifests" / "csm.yaml").read_text()
        (tmp_path / "deploy" / "manifests" / "csm.yaml").write_text(edited(plain, config, slack.api_url, port))
        api.objects.create("namespaces", "", {"metadata": {"name": "datadog"}})
        api.install_network_plugin("cilium", "cilium/cilium:v1.16.2", cilium={"enable-tcx": "true"})
        cluster = Cluster(api, engine, tmp_path / "node")
        environment = {
            **os.environ,
            "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
            "HELM": helm,
            "KUBECTL": kubectl,
            "APPLIED": str(applied),
            "PORT": str(port),
            "DOCKER_HOST": engine.csm_url,
            "SLACK_API_URL": slack.api_url,
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_APP_TOKEN": slack.app_token,
            "IMAGE": "csm",
            "TAG": "test",
        }
        try:
            for line in lines():
                process = await asyncio.create_subprocess_exec(
                    "bash", "-c", line, cwd=tmp_path, env=environment,
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                )  # fmt: skip
                said = (await process.communicate())[0].decode()
                assert process.returncode == 0, f"{shlex.split(line)[:4]}: {said}"
                if applied.exists():
                    await cluster.apply(document for document in yaml.safe_load_all(applied.read_text()) if document)
                    applied.unlink()
            ana = Driver(slack)
            await ana.type(page.first_command("this-cluster"))
            root = await ana.finished(within_s=120)
        finally:
            if cluster.pod:
                await asyncio.to_thread(engine.remove_container, cluster.pod, force=True)

    assert "✅ target.this-cluster" in said  # the last line is the doctor's
    assert "✅ 3 pass" in root["text"]
