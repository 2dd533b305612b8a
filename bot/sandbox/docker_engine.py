"""
Stand-in Agents in containers of a Docker engine, if one answers.

The containers carry a label and csm's target selects by that label, so real Agents on the same engine are not
touched. The image holds this machine's Python and the stand-in. Making it needs no network. It is removed when the
sandbox ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import docker
import requests
from docker.errors import DockerException

from bot.sandbox import image, orphans
from bot.sandbox.agent import Behaviour

LABEL = "csm.sandbox"
REPOSITORY = "csm-sandbox/datadog/agent"
LIFETIME_S = 12 * 3600
"""A container ends by itself after that time, in case no sandbox removes it."""
FLEET = (Behaviour("7.70.1", "docker"), Behaviour("7.60.1", "docker", fault="rule_failed"))


class Absent(Exception):
    """No Docker engine is available. The message is the reason."""


class ContainerAgent:
    """A stand-in Agent in a container."""

    def __init__(self, api: docker.APIClient, container: str, name: str, behaviour: Behaviour) -> None:
        self._api = api
        self.container = container
        self.name = name
        self.behaviour = behaviour

    async def play(self, behaviour: Behaviour) -> None:
        """See `StandIn.play`."""
        await asyncio.to_thread(
            self._api.put_archive, self.container, "/etc", image.behaviour_file(behaviour.to_json())
        )
        self.behaviour = behaviour


class Engine:
    """The stand-in containers on one Docker engine, from the sandbox's start to its end."""

    def __init__(self, api: docker.APIClient, url: str) -> None:
        self._api = api
        self.url = url
        self.name = orphans.new_name()
        self.label = f"{LABEL}={self.name}"
        self._token = self.name.rpartition("-")[2]
        self.agents: list[ContainerAgent] = []

    @classmethod
    async def find(cls) -> Engine:
        """Connect to the engine of `DOCKER_HOST`, or to this machine's. Raises `Absent`."""
        if not sys.platform.startswith("linux"):
            raise Absent("the stand-in's image can be made on Linux only")
        url = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        return await asyncio.to_thread(cls._connect, url)

    @classmethod
    def _connect(cls, url: str) -> Engine:
        try:
            if url.startswith("unix://"):
                # The SDK does not close its socket when the connection fails.
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
        self._api.import_image_from_data(image.root_file_system(), repository=REPOSITORY, tag=token, changes=label)
        for number, behaviour in enumerate(FLEET, 1):
            tag, name = f"{behaviour.version}-{token}", f"agent-{number}-{token}"
            self._api.tag(f"{REPOSITORY}:{token}", REPOSITORY, tag)
            container = self._run(f"{REPOSITORY}:{tag}", name)
            self._api.put_archive(container, "/etc", image.behaviour_file(behaviour.to_json()))
            self.agents.append(ContainerAgent(self._api, container, name, behaviour))

    def _run(self, reference: str, name: str) -> str:
        created = self._api.create_container(
            reference,
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
        """Remove orphans: containers and images of sandboxes that were killed."""
        labelled = [*self._api.containers(all=True, filters={"label": LABEL}), *self._images(LABEL)]
        for name in {str(each["Labels"][LABEL]) for each in labelled}:
            if orphans.is_left_behind(name):
                self._remove(name)

    def _remove(self, name: str) -> None:
        label = f"{LABEL}={name}"
        for container in self._api.containers(all=True, filters={"label": label}):
            with contextlib.suppress(DockerException):  # another sandbox may have removed it
                self._api.remove_container(container["Id"], force=True)
        for found in self._images(label):
            with contextlib.suppress(DockerException):
                self._api.remove_image(found["Id"], force=True)  # removes all its tags too

    def _images(self, label: str) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self._api.images(filters={"label": label})
        return found
