"""A Docker engine of the tests' own: Debian's dockerd on a private socket and data root, without networks."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import docker

DOCKERD = shutil.which("dockerd", path="/usr/sbin:/usr/bin:/usr/local/bin")
BUSYBOX = Path("/bin/busybox")
IMAGE = "datadog/agent"
AGENT = Path(__file__).resolve().parent.parent / "bot" / "sandbox" / "agent.py"
EMBEDDED = "opt/datadog-agent/embedded/bin/python3"


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
    assert DOCKERD, "needs docker.io"
    # A short path: a socket's may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="csm-dockerd-"))
    client = Engine(folder, storage, own_machine=own_machine)
    try:
        client.import_image_from_data(_root_file_system(), repository=IMAGE, tag="stand-in")
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
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("stand-in-agent.json")
        entry.size = len(behaviour.encode())
        tar.addfile(entry, io.BytesIO(behaviour.encode()))
    client.put_archive(container, "/etc", buffer.getvalue())


def _wait_for(path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
            return
        time.sleep(0.1)
    raise RuntimeError(f"the engine did not come up:\n{log.read_text('utf-8', 'replace')[-3000:]}")


def _root_file_system() -> bytes:
    """A busybox, this machine's Python where the Agent has its own, and the stand-in Agent as its binaries."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(BUSYBOX, "bin/busybox")
        for name in ("sh", "env", "sleep", "test", "cat", "true", "sha256sum", "rm"):
            _link(tar, f"bin/{name}", "busybox")
        interpreter = Path(os.path.realpath(sys.executable))
        _with_libraries(tar, interpreter)
        tar.add(interpreter, str(interpreter).lstrip("/"))
        standard = Path(sysconfig.get_path("stdlib"))
        tar.add(standard, str(standard).lstrip("/"), filter=_small)
        for extension in (standard / "lib-dynload").glob("*.so"):
            if extension.name.split(".")[0] in {
                "_ctypes",
                "_socket",
                "_struct",
                "_blake2",
                "_md5",
                "_sha1",
                "_sha256",
                "_sha3",
                "_sha512",
                "binascii",
                "zlib",
                "_posixsubprocess",
                "select",
                "math",
                "_random",
                "_json",
                "_bisect",
                "_datetime",
            }:
                _with_libraries(tar, extension)
        _link(tar, EMBEDDED, str(interpreter))
        tar.add(AGENT, "usr/bin/agent")
        tar.add(AGENT.with_name("flare_agent.py"), "usr/bin/flare_agent.py")
        for name in ("security-agent", "system-probe"):
            _link(tar, f"usr/bin/{name}", "agent")
        _link(tar, "usr/bin/python3", str(interpreter))
        _link(tar, "usr/bin/env", "/bin/busybox")
        for folder in ("tmp", "proc", "dev", "sys", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
    return buffer.getvalue()


def _small(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    left_out = {
        "test",
        "idlelib",
        "tkinter",
        "site-packages",
        "__pycache__",
        "ensurepip",
        "lib2to3",
        "pydoc_data",
        "distutils",
        "unittest",
    }
    return None if left_out & set(entry.name.split("/")) or "/config-3" in entry.name else entry


def _with_libraries(tar: tarfile.TarFile, binary: Path) -> None:
    present = set(tar.getnames())
    for line in subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout.splitlines():
        words = line.split()
        path = next((word for word in words if word.startswith("/")), None)
        if path and path.lstrip("/") not in present:
            tar.add(os.path.realpath(path), path.lstrip("/"))
            present.add(path.lstrip("/"))


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)
