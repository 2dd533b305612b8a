"""Every library that csm is delivered with has a licence that lets it be."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FINE = re.compile(
    r"Apache[- ](?:Software )?(?:License )?|MIT(?:-0)?|BSD(?:-[23]-Clause)?|ISC|PSF-2\.0|Python Software Foundation"
    r"|MPL[- ]2\.0|Mozilla Public License 2\.0|LGPL-3\.0-only|EPL-2\.0"
)
"""
Permissive ones; MPL, EPL and LGPL ask for their own sources only, and these libraries are used as they are, as
packages of their own that anybody may replace.
"""


def delivered() -> list[str]:
    """The packages of requirements/run.txt, but those for other systems."""
    text = (ROOT / "requirements" / "run.txt").read_text("utf-8")
    return [
        name for name, marker in re.findall(r"^([\w.-]+)==\S+(.*)$", text, flags=re.MULTILINE) if "win32" not in marker
    ]


def licence(name: str) -> str:
    told = metadata(name)
    classified = [
        text.rsplit("::", 1)[-1].strip() for text in told.get_all("Classifier") or [] if text.startswith("License")
    ]
    return told.get("License-Expression") or told.get("License") or " ".join(classified)


@pytest.mark.parametrize("name", delivered())
def test_a_library_has_a_licence_that_is_fine(name: str) -> None:
    try:
        found = licence(name)
    except PackageNotFoundError:
        pytest.fail(f"{name} is in requirements/run.txt and is not installed")
    assert FINE.search(found), f"{name}: {found!r}"
    assert not re.search(r"(?<!L)GPL", found) or "EPL-2.0" in found, f"{name}: {found!r}"
