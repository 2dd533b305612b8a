"""
A Docker engine to practise on, where one is at hand: stand-in Agents in containers of their own.

They carry a label, and csm is told to look at nothing else, so that real Agents on the same engine stay out of it. The
image holds this machine's Python and the stand-in, needs no network to be made, and goes away with the sandbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import socket
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import DockerException

from bot.sandbox import left_behind
from bot.sandbox.agent import Behaviour
from bot.sandbox.stand_ins import AGENT, FLARE

LABEL = "csm.sandbox"
REPOSITORY = "csm-sandbox/datadog/agent"
EMBEDDED = "opt/datadog-agent/embedded/bin/python3"
LIFETIME_S = 12 * 3600
"""A container ends by itself after that, should nobody be left to remove it."""
FLEET = (Behaviour("7.70.1", "docker"), Behaviour("7.60.1", "docker", fault="rule_failed"))
EXTENSIONS = {
    "_struct", "_posixsubprocess", "select", "math", "_random", "_json", "_bisect", "_datetime", "zlib", "binascii", "array", "fcntl", "grp",
    "resource", "termios", "_heapq", "_md5", "_sha1", "_sha2", "_sha256", "_sha512", "_blake2", "_opcode", "unicodedata",
}  # fmt: skip
LEFT_OUT = {
    "test", "idlelib", "tkinter", "site-packages", "dist-packages", "__pycache__", "ensurepip", "lib2to3", "pydoc_data",
    "distutils", "unittest", "turtledemo", "lib-dynload", "asyncio", "email", "multiprocessing", "xml", "xmlrpc", "wsgiref", "curses", "dbm", "sqlite3",
}  # fmt: skip
ENV = """#!{python}
import os, sys
line = sys.argv[1:]
while line and "=" in line[0]:
    name, _, value = line.pop(0).partition("=")
    os.environ[name] = value
try:
    os.execvp(line[0], line)
except OSError as error:
    sys.stderr.write("env: %s: %s\\n" % (line[0], error.strerror))
    sys.exit(127)
"""


class Absent(Exception):
    """There is no engine to practise on. The message says why."""


class ContainerAgent:
    """A stand-in Agent in a container."""

    def __init__(self, api: docker.APIClient, container: str, name: str, behaviour: Behaviour) -> None:
        self._api = api
        self.container = container
        self.name = name
        self.behaviour = behaviour

    async def play(self, behaviour: Behaviour) -> None:
        """See `StandIn.play`."""
        await asyncio.to_thread(self._api.put_archive, self.container, "/etc", _behaviour(behaviour))
        self.behaviour = behaviour


class Engine:
    """The stand-ins on one engine, from the sandbox's start to its end."""

    def __init__(self, api: docker.APIClient, url: str) -> None:
        self._api = api
        self.url = url
        self.name = left_behind.new_name()
        self.label = f"{LABEL}={self.name}"
        self._token = self.name.rpartition("-")[2]
        self.agents: list[ContainerAgent] = []

    @classmethod
    async def find(cls) -> Engine:
        """The engine of `DOCKER_HOST`, or the one of this machine. Raises `Absent`."""
        if not sys.platform.startswith("linux"):
            raise Absent("the stand-in's image can be made on Linux only")
        url = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        return await asyncio.to_thread(cls._connect, url)

    @classmethod
    def _connect(cls, url: str) -> Engine:
        try:
            if url.startswith("unix://"):
                # The SDK leaves a socket open when nobody answers.
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(url.removeprefix("unix://"))
            api = docker.APIClient(base_url=url, version="auto", timeout=60)
        except (DockerException, requests.RequestException, OSError):
            raise Absent(f"no Docker engine answers at {url}") from None
        return cls(api, url)

    async def start(self) -> None:
        """Make the image and start the containers. Raises `Absent`."""
        try:
            await asyncio.to_thread(self._start)
        except (DockerException, requests.RequestException, OSError) as error:
            raise Absent(f"the engine at {self.url} does not run the stand-ins: {str(error)[:200]}") from error

    async def stop(self) -> None:
        """Remove the containers and the image."""
        with contextlib.suppress(DockerException, requests.RequestException, OSError):
            await asyncio.to_thread(self._stop)

    def _start(self) -> None:
        self._remove_left_behind()
        token = self._token
        # Containers inherit the label.
        label = [f"LABEL {self.label}"]
        self._api.import_image_from_data(root_file_system(), repository=REPOSITORY, tag=token, changes=label)
        for number, behaviour in enumerate(FLEET, 1):
            tag, name = f"{behaviour.version}-{token}", f"agent-{number}-{token}"
            self._api.tag(f"{REPOSITORY}:{token}", REPOSITORY, tag)
            container = self._run(f"{REPOSITORY}:{tag}", name)
            self._api.put_archive(container, "/etc", _behaviour(behaviour))
            self.agents.append(ContainerAgent(self._api, container, name, behaviour))

    def _run(self, image: str, name: str) -> str:
        created = self._api.create_container(
            image,
            ["/usr/bin/python3", "-c", f"import time; time.sleep({LIFETIME_S})"],
            name=name,
            environment={"PATH": "/usr/bin:/opt/datadog-agent/embedded/bin"},
            host_config=self._api.create_host_config(network_mode="none", init=False),
        )
        self._api.start(created["Id"])
        return str(created["Id"])

    def _stop(self) -> None:
        self._remove(self.name)
        self._api.close()

    def _remove_left_behind(self) -> None:
        """What sandboxes that were killed could not remove."""
        labelled = [*self._api.containers(all=True, filters={"label": LABEL}), *self._images(LABEL)]
        for name in {str(each["Labels"][LABEL]) for each in labelled}:
            if left_behind.is_left_behind(name):
                self._remove(name)

    def _remove(self, name: str) -> None:
        label = f"{LABEL}={name}"
        for container in self._api.containers(all=True, filters={"label": label}):
            with contextlib.suppress(DockerException):  # another sandbox may have been quicker
                self._api.remove_container(container["Id"], force=True)
        for image in self._images(label):
            with contextlib.suppress(DockerException):
                self._api.remove_image(image["Id"], force=True)  # with all its tags

    def _images(self, label: str) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self._api.images(filters={"label": label})
        return found


def _behaviour(behaviour: Behaviour) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _write(tar, "stand-in-agent.json", behaviour.to_json().encode())
    return buffer.getvalue()


def root_file_system() -> bytes:
    """An image as a tar: this machine's Python where the Agent has its own, and the stand-in as the Agent's programs."""
    buffer = io.BytesIO()
    interpreter = Path(os.path.realpath(sys.executable))
    standard = Path(sysconfig.get_path("stdlib"))
    extensions = [each for each in (standard / "lib-dynload").glob("*.so") if each.name.split(".")[0] in EXTENSIONS]
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in _with_libraries([interpreter, *extensions]):
            tar.add(os.path.realpath(path), str(path).lstrip("/"))
        tar.add(standard, str(standard).lstrip("/"), filter=_small)
        for name in (EMBEDDED, "usr/bin/python3"):
            _link(tar, name, str(interpreter))
        tar.add(AGENT, "usr/bin/agent")
        tar.add(FLARE, f"usr/bin/{FLARE.name}")
        for name in ("usr/bin/security-agent", "usr/bin/system-probe"):
            _link(tar, name, "agent")
        _write(tar, "usr/bin/env", ENV.format(python=interpreter).encode(), mode=0o755)
        for folder in ("tmp", "proc", "dev", "sys", "etc"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(entry)
    return buffer.getvalue()


def _with_libraries(binaries: Sequence[Path]) -> Iterable[Path]:
    """Programs, and what they are linked with."""
    found = dict.fromkeys(binaries)
    for binary in binaries:
        said = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False).stdout
        paths = (next((word for word in line.split() if word.startswith("/")), None) for line in said.splitlines())
        found |= dict.fromkeys(Path(path) for path in paths if path)
    return found


def _small(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = set(entry.name.split("/"))
    return None if LEFT_OUT & parts or any(part.startswith("config-3") for part in parts) else entry


def _write(tar: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)
