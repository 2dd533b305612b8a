"""Parse Agent versions, from image tags and from the output of `agent version`."""

from __future__ import annotations

import re
from typing import NamedTuple

_TAG = re.compile(r"^v?(\d+)\.(\d+)\.(\d+)(?:[-+].*)?$")
_PRINTED = re.compile(r"\b(?:Agent|Security agent|System Probe)\s+(\d+)\.(\d+)\.(\d+)", re.IGNORECASE)


class AgentVersion(NamedTuple):
    """A release of the Agent. 6.x has the same minor numbers as 7.x, so versions are compared by `era`."""

    major: int
    minor: int
    patch: int

    @property
    def era(self) -> tuple[int, int]:
        """Minor and patch, on which behaviour depends."""
        return (self.minor, self.patch)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def from_tag(tag: str) -> AgentVersion | None:
    """Parse an image tag: `7.70.1`, `7.70.1-jmx`, `7.70.1-rc.2-full`; `None` for `7`, `latest` and the like."""
    return _version(_TAG.match(tag.strip()))


def from_image(image: str) -> AgentVersion | None:
    """The version in the tag of an image reference; `None` without a full version, as for a digest."""
    name = image.split("@", 1)[0].rsplit("/", 1)[-1]
    return from_tag(name.partition(":")[2])


def from_output(text: str) -> AgentVersion | None:
    """
    The version that `agent version` printed (DataDog/datadog-agent:pkg/cli/subcommands/version/command.go@15d68ebc).
    """
    return _version(_PRINTED.search(text))


def _version(match: re.Match[str] | None) -> AgentVersion | None:
    if match is None or any(len(part) > 6 for part in match.groups()):
        return None
    return AgentVersion(*map(int, match.groups()))
