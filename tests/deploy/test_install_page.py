"""docs/install.md: nothing that it has people type is left out of the walks."""

from __future__ import annotations

from tests.deploy import page

WALKED = {"2.": ("yaml",), "3a.": ("sh",), "3b.": ("yaml", "sh"), "3c.": ("sh",)}
"""By chapter: what test_install.py, test_install_docker.py and test_install_kubernetes.py take from the page."""

NOT_WALKED = {
    "make image": "conftest.py makes the image so, from a Debian root file system; there is no registry to push it to",
}
"""What a block begins with, and why no walk takes it."""


def test_every_block_of_the_page_is_walked_or_says_why_not() -> None:
    walked = [
        block for chapter, languages in WALKED.items() for each in languages for block in page.blocks(chapter, each)
    ]
    walked.append(page.first_command("this-cluster"))
    left = [block for block in page.every_block() if block not in walked]

    assert len(left) == len(NOT_WALKED)
    assert all(any(block.startswith(start) for start in NOT_WALKED) for block in left), left
