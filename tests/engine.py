"""A Docker engine of the tests' own: Debian's dockerd on a private socket and data root, without networks."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import docker

from bot.sandbox import image
from tests.programs import find, need

DOCKERD = find("dockerd")
BUSYBOX = Path("/bin/busybox")
IMAGE = "datadog/agent"
EXTENSIONS = ("_ctypes", "_socket", "_sha3")
"""What the evidence collector imports, and the stand-in does not."""


class Engine(docker.APIClient):
    """
    A running engine with the image `datadog/agent:stand-in`, and the client for it.

    The storage `vfs` works everywhere and copies every layer; `overlay2` is for building images.

    `own_machine`: it runs in a mount namespace with a /run and a /srv of its own, and is reached there where people
    find an engine, at /var/run/docker.sock; `csm_inside` is what a command in there begins with.
    """

    def __init__(self, folder: Path, storage: str, *, own_machine: bool = False) -> None:
        self.csm_folder = folder
        self.csm_storage = storage
        self.csm_own_machine = own_machine
        self.csm_url = f"unix://{folder}/docker.sock"
        self.csm_process: subprocess.Popen[bytes] | None = None
        self.csm_start()
        super().__init__(base_url=self.csm_url, timeout=60)

    def csm_start(self) -> None:
        """Start it, for the first time or again."""
        folder = self.csm_folder
        arguments = [
            str(DOCKERD), "--host", self.csm_url, "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"),
            "--pidfile", str(folder / "pid"), "--bridge=none", "--iptables=false", "--ip6tables=false", f"--storage-driver={self.csm_storage}",
        ]  # fmt: skip
        if self.csm_own_machine:
            places = 'mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /srv && exec "$@"'
            arguments = [
                "unshare",
                "--mount",
                "sh",
                "-c",
                places,
                "-",
                *arguments,
                "--host=unix:///var/run/docker.sock",
            ]
        with (folder / "log").open("ab") as log:
            self.csm_process = subprocess.Popen(arguments, stdout=log, stderr=log)
        _wait_for(folder / "docker.sock", self.csm_process, folder / "log")

    @property
    def csm_inside(self) -> list[str]:
        """What a command line begins with to be run where the engine runs."""
        assert self.csm_process is not None
        return ["nsenter", f"--mount=/proc/{self.csm_process.pid}/ns/mnt"]

    def csm_stop(self) -> None:
        """Stop it in good order."""
        assert self.csm_process is not None
        self.csm_process.terminate()
        self.csm_process.wait(30)


@contextlib.contextmanager
def engine(storage: str = "vfs", *, own_machine: bool = False) -> Iterator[Engine]:
    """An engine for a while. Nothing of it is left afterwards."""
    need("dockerd", "busybox", root=True)
    # A short path: a socket's may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="csm-dockerd-"))
    client = Engine(folder, storage, own_machine=own_machine)
    try:
        client.import_image_from_data(
            image.root_file_system(_busybox, extensions=EXTENSIONS), repository=IMAGE, tag="stand-in"
        )
        yield client
        for container in client.containers(all=True):
            client.remove_container(container["Id"], force=True)
        client.close()
    finally:
        client.csm_stop()
        for left in (folder / "exec" / "netns").glob("*"):  # it keeps the namespace of containers without a network
            subprocess.run(["umount", str(left)], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def start(
    client: docker.APIClient,
    name: str,
    behaviour: str = "{}",
    *,
    tag: str = "stand-in",
    command: Sequence[str] = ("/bin/busybox", "sleep", "3600"),
    **host: Any,
) -> str:
    """Start a container of the image that sleeps; commands are run in it. `host`: rights and places. Returns its id."""
    if not client.images(f"{IMAGE}:{tag}"):
        client.tag(f"{IMAGE}:stand-in", IMAGE, tag)
    created = client.create_container(
        f"{IMAGE}:{tag}",
        list(command),
        name=name,
        stop_timeout=1,
        environment={"PATH": "/usr/bin:/bin:/opt/datadog-agent/embedded/bin"},
        host_config=client.create_host_config(network_mode="none", init=False, **host),
    )
    client.start(created["Id"])
    behave(client, created["Id"], behaviour)
    return str(created["Id"])


def behave(client: docker.APIClient, container: str, behaviour: str) -> None:
    """Make the container's stand-in Agent another one, from its next command on."""
    client.put_archive(container, "/etc", image.behaviour_file(behaviour))


def _wait_for(path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
            return
        time.sleep(0.1)
    raise RuntimeError(f"the engine did not come up:\n{log.read_text('utf-8', 'replace')[-3000:]}")


def _busybox(tar: tarfile.TarFile) -> None:
    """What the tests run in containers beside Python."""
    tar.add(BUSYBOX, "bin/busybox")
    for name in ("sh", "sleep", "test", "cat", "true", "sha256sum", "rm", "ls", "date"):
        image.link(tar, f"bin/{name}", "busybox")
