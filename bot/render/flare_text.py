"""A flare's review as plain text: what would be uploaded, where to, for whom, and what in it looks sensitive."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from bot.render.formatting import one_line, plain
from handlers.model import FlareFile, FlareReview


def review_text(review: FlareReview, where: str, expires_at: float) -> str:
    """The whole review, including the list of files. Ends with a newline."""
    return "\n".join(_lines(review, where, expires_at)) + "\n"


def alarm(review: FlareReview) -> tuple[str, ...]:
    """Warnings to show first, if the archive does not go to Datadog or its destination is unknown: plain sentences."""
    if host := review.foreign_host:
        return (
            f"NOT DATADOG: this archive would go to {host}, which is none of Datadog's hosts.",
            "Whoever runs that host gets everything that is in it. To approve it, the host must be named.",
        )
    if not review.site:
        return (
            f"It is not known where this archive would go: {one_line(review.destination_source, 300)}.",
            "Look at site and dd_url in the Agent's settings, and at DD_SITE and DD_URL in its environment, before it is approved.",
        )
    return ()


def file_list(review: FlareReview) -> str:
    """All files in the archive, with what looks sensitive in each. Ends with a newline."""
    return "\n".join([*_head(review), "", *_files(review)]) + "\n"


def size(review: FlareReview) -> str:
    """`3.9 KB, 8 files, 44.7 KB unpacked`."""
    return f"{in_bytes(review.size)}, {files(review.file_count)}, {in_bytes(review.unpacked)} unpacked"


def files(number: int) -> str:
    """`1 file`, `8 files`."""
    return f"{number} file" if number == 1 else f"{number} files"


def in_bytes(number: int) -> str:
    """`41 B`, `3.9 KB`, `1.2 GB`."""
    amount = float(number)
    for unit in ("B", "KB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def kinds(found: Mapping[str, int]) -> str:
    """`2 api_key, 1 password`: most frequent first, at most eight; plain text."""
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{number} {one_line(kind, 60)}" for kind, number in ranked[:8])


def _lines(review: FlareReview, where: str, expires_at: float) -> Iterator[str]:
    yield from alarm(review)
    yield f"Look at this archive before it leaves {one_line(where)}"
    yield from _head(review)
    yield f"Goes to: {one_line(review.destination)}, as {one_line(review.email, 320)}"
    if review.host:
        yield f"  {one_line(review.host, 300)}, by {one_line(review.destination_source, 300)}"
    inside = f"in container {one_line(review.container)}" if review.container else "on the host"
    yield f"Command: {plain(shlex.join(one_line(part, 500) for part in review.argv), 1000)}"
    yield f"  run {inside}" + (f": {one_line(review.why)}" if review.why else "")
    for warning in review.warnings:
        yield f"Warning: {one_line(warning, 500)}"
    sensitive = kinds(review.sensitive)
    yield f"Looks sensitive: {sensitive}" if sensitive else "Nothing in it looks like a secret, as far as it was read."
    yield f"It may be approved until {datetime.fromtimestamp(expires_at, UTC):%H:%M} UTC."
    yield ""
    yield from _files(review)


def _head(review: FlareReview) -> Iterator[str]:
    yield f"Archive: {plain(review.path, 500)}, {size(review)}"
    yield f"SHA-256: {review.sha256}"


def _files(review: FlareReview) -> Iterator[str]:
    yield from map(_file, review.files)
    if review.file_count > len(review.files):
        yield f"… and {review.file_count - len(review.files)} more"
    if review.unscanned:
        yield ""
        yield f"Not looked into ({review.unscanned_count or len(review.unscanned)}):"
        yield from (one_line(each, 500) for each in review.unscanned)


def _file(file: FlareFile) -> str:
    found = kinds(file.sensitive)
    return f"{in_bytes(file.size):>10}  {one_line(file.name, 500)}" + (f"   looks sensitive: {found}" if found else "")
