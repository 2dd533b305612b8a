"""docs/install.md as people follow it: its chapters' code blocks, word by word."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.deploy.conftest import ROOT

PAGE = (ROOT / "docs" / "install.md").read_text("utf-8")


def blocks(chapter: str, language: str) -> list[str]:
    """The code blocks of the chapter whose heading begins so (`3a.`), in their order."""
    (section,) = [each for each in re.split(r"^## ", PAGE, flags=re.MULTILINE) if each.startswith(f"{chapter} ")]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)


def configuration(*chapters: str, without: Sequence[str] = ()) -> str:
    """What `csm.yaml` holds when the chapters' blocks are written into it, a later one's keys over an earlier one's."""
    keys: dict[str, str] = {}
    for chapter in chapters:
        for block in blocks(chapter, "yaml"):
            for part in re.split(r"^(?=\w)", block, flags=re.MULTILINE)[1:]:
                keys[part.partition(":")[0]] = part
    return "".join(part for key, part in keys.items() if key not in without)


def first_command(target: str) -> str:
    """What the page has people type in Slack, with the name of their target."""
    (line,) = re.findall(r"^    (/csm .*)$", PAGE, flags=re.MULTILINE)
    return line.replace("this-cluster", target)


def every_block() -> Sequence[str]:
    """All that the page shows as code to be copied, fenced or indented."""
    fenced = re.findall(r"```\w*\n(.*?)```", PAGE, flags=re.DOTALL)
    return [*fenced, *re.findall(r"^    (\S.*)$", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL), flags=re.MULTILINE)]
