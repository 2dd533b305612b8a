"""
Read a flare's archive: its files, and the number of suspected secrets in each.

The Agent that built the archive may be broken or hostile: any claim in the archive costs bounded time and memory, and
every file that was not scanned is reported. Secrets are counted, never kept. Text that the Agent's own scrubber has
blanked (DataDog/datadog-agent:pkg/util/scrubber/default.go@0370fdff: eight stars or more, then up to five characters of
a key) does not count as a secret.
"""

from __future__ import annotations

import io
import re
import struct
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, BinaryIO

from handlers.agent.flare_destination import SOURCES, Destination, read_destination
from handlers.model import FlareFile
from handlers.redaction import clean, redact
from handlers.version import AgentVersion

MIB = 1024 * 1024
PIECE = 512 * 1024
"""Bytes of text that are scanned at once; cut between lines."""

_END, _END_OF_64, _TAIL = b"PK\x05\x06", b"PK\x06\x07", 22 + 0xFFFF
_SCRUBBED_URL = re.compile(r"(?<=://)[^\s/@:]{0,256}:\*{8,}@")
_SCRUBBED = re.compile(r"(?:(?:bearer|basic)[ \t]+)?[\"']?\*{8,}\w{0,5}[\"']?(?!\w)", re.IGNORECASE)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Compression methods that Go's archive/zip writes. Others may ask for gigabytes of memory before the first byte."""
_TOO_LONG = "it took too long to look at all of it"
_MOST_SETTINGS = 4 * MIB
"""Largest settings file that is read, in bytes; the Agent's own dump has some hundred thousand."""
_MOST_ALIKE = 4
"""Number of files of one name that are read for their settings."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits for reading one archive."""

    most_files: int = 20_000
    """An archive with more files is refused."""
    listed: int = 2_000
    directory_bytes: int = 8 * MIB
    """Size of the archive's own list of files."""
    file_bytes: int = 64 * MIB
    """Text that is scanned in one file."""
    total_bytes: int = 1024 * MIB
    """Text that is scanned in the whole archive."""
    processor_s: float = 30.0
    """
    Processor time for the whole archive. Text in which every line may contain a secret takes a second per megabyte.
    """
    notes: int = 100
    """Number of unscanned files that are named."""


class UnreadableArchive(Exception):
    """The archive cannot be listed. `str(error)` says why, for people."""


class Stopped(Exception):
    """The caller asked to stop."""


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of an archive."""

    files: tuple[FlareFile, ...]
    file_count: int
    unpacked: int
    unscanned: tuple[str, ...]
    unscanned_count: int
    warnings: tuple[str, ...]
    destination: Destination
    """Where the Agent sends the archive, according to its own settings."""


def read_contents(
    file: BinaryIO,
    bounds: Bounds = Bounds(),
    *,
    version: AgentVersion | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Contents:
    """
    List an archive, scan its text for secrets, and find its destination. `version` is the Agent's.

    Raises `UnreadableArchive`, and `Stopped` soon after `stop` returns True. It uses the processor for seconds on a
    large archive and never waits, so call it in a thread.
    """
    return _Reading(file, bounds, version, stop).contents()


class _Reading:
    def __init__(self, file: BinaryIO, bounds: Bounds, version: AgentVersion | None, stop: Callable[[], bool]) -> None:
        self._file = file
        self._bounds = bounds
        self._version = version
        self._stop = stop
        self._left = bounds.total_bytes
        self._began = time.thread_time()
        self._unscanned: list[str] = []
        self._warnings: list[str] = []

    def contents(self) -> Contents:
        _check_directory(self._file, self._bounds)
        try:
            with zipfile.ZipFile(self._file) as archive:
                return self._read(archive)
        except (Stopped, UnreadableArchive):
            raise
        except Exception as error:  # zipfile raises nearly any exception on a malicious archive
            raise UnreadableArchive(f"it is not a readable zip archive ({clean(str(error), max_chars=100)})") from error

    def _read(self, archive: zipfile.ZipFile) -> Contents:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if not members:
            raise UnreadableArchive("it is empty")
        self._look_at_names(members)
        found = [self._file_of(archive, member) for member in members]
        found.sort(key=lambda file: (-sum(file.sensitive.values()), file.name))
        if len(found) > self._bounds.listed:
            self._warnings.append(f"It holds {len(found)} files; only {self._bounds.listed} of them are listed here.")
        if self._unscanned:
            self._warnings.append(
                f"{_files(len(self._unscanned))} could not be scanned for secrets, or not to the end."
            )
        return Contents(
            files=tuple(found[: self._bounds.listed]),
            file_count=len(found),
            unpacked=sum(member.file_size for member in members),
            unscanned=tuple(self._unscanned[: self._bounds.notes]),
            unscanned_count=len(self._unscanned),
            warnings=tuple(self._warnings),
            destination=read_destination(_settings(archive, members), self._version),
        )

    def _look_at_names(self, members: list[zipfile.ZipInfo]) -> None:
        names = [member.filename for member in members]
        if repeated := len(names) - len(set(names)):
            self._warnings.append(f"{_files(repeated)} with a name that another one has too.")
        if outside := sum(_leads_outside(name) for name in names):
            self._warnings.append(f"{_files(outside)} with a name that leads out of the folder it is unpacked in.")
        if encrypted := sum(bool(member.flag_bits & 1) for member in members):
            self._warnings.append(f"{_files(encrypted)} encrypted: nobody can see what is in there.")
        packed = sum(member.compress_size for member in members) or 1
        unpacked = sum(member.file_size for member in members)
        if unpacked > self._bounds.total_bytes and unpacked > 100 * packed:
            self._warnings.append(
                f"It unpacks to {unpacked // MIB} MiB, which no flare does: it may be meant to do harm."
            )

    def _file_of(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> FlareFile:
        counts: Counter[str] = Counter()
        name = _shown(member.filename)
        why = self._scan(archive, member, counts)
        if why:
            self._unscanned.append(f"{name}: {why}")
        return FlareFile(name=name, size=member.file_size, sensitive=dict(counts.most_common()))

    def _scan(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, counts: Counter[str]) -> str:
        """Count the secrets of one file. Returns why it was not scanned, or not completely; else an empty text."""
        if member.flag_bits & 1:
            return "encrypted"
        if member.compress_type not in _METHODS:
            return "packed in a way that no Agent uses"
        if self._took_too_long():
            return _TOO_LONG
        allowed = min(self._bounds.file_bytes, self._left)
        if allowed <= 0:
            return "the archive is too large to look at all of it"
        try:
            with archive.open(member) as opened:
                return self._scan_text(opened, allowed, counts)
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            return f"damaged ({clean(str(error), max_chars=80)})"

    def _scan_text(self, opened: IO[bytes], allowed: int, counts: Counter[str]) -> str:
        read = 0
        for piece in _pieces(opened, allowed):
            if self._stop():
                raise Stopped
            if self._took_too_long():
                return f"{_TOO_LONG} after its first {read // MIB} MiB"
            read += len(piece)
            self._left -= len(piece)
            if b"\0" in piece:
                return "binary" if read == len(piece) else "binary from its middle on"
            counts.update(_secrets(piece.decode("utf-8", "replace")))
        return f"only its first {read // MIB} MiB" if opened.read(1) else ""

    def _took_too_long(self) -> bool:
        return time.thread_time() - self._began > self._bounds.processor_s


def _settings(archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo]) -> Mapping[str, Sequence[str | None]]:
    """
    The texts of the settings files that name the destination, by file name; `None` for a file that cannot be read.
    """
    found: dict[str, list[str | None]] = {}
    for member in members:
        name = next((name for name in SOURCES if _is(member.filename, name)), "")
        texts = found.setdefault(name, []) if name else []
        if name and len(texts) <= _MOST_ALIKE:
            texts.append(_text_of(archive, member) if len(texts) < _MOST_ALIKE else None)
    return found


def _is(path: str, name: str) -> bool:
    """Whether `path` is the file `name`, at the archive's top or in the host's folder there."""
    return path == name or (path.endswith(f"/{name}") and path.count("/") == name.count("/") + 1)


def _text_of(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str | None:
    if member.flag_bits & 1 or member.compress_type not in _METHODS:
        return None
    try:
        with archive.open(member) as opened:
            data = opened.read(_MOST_SETTINGS + 1)
    except Exception:  # noqa: BLE001 - as above
        return None
    return data.decode("utf-8", "replace") if len(data) <= _MOST_SETTINGS else None


def _secrets(text: str) -> Mapping[str, int]:
    if "********" in text:
        text = _SCRUBBED.sub("none", _SCRUBBED_URL.sub("", text))
    return redact(text).counts


def _pieces(opened: IO[bytes], allowed: int) -> Iterator[bytes]:
    """The first `allowed` bytes, in pieces that end with a line unless a line is longer than `PIECE`."""
    rest = b""
    while allowed > 0 and (data := opened.read(min(PIECE, allowed))):
        allowed -= len(data)
        whole, newline, tail = data.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = tail
        elif len(rest) + len(data) > PIECE:
            yield rest + data
            rest = b""
        else:
            rest += data
    if rest:
        yield rest


def _check_directory(file: BinaryIO, bounds: Bounds) -> None:
    """
    Refuse an archive whose list of files is too long, before the list is read into memory. Raises `UnreadableArchive`.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _TAIL))
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) < at + 22:
        raise UnreadableArchive("it is not a zip archive, or its end is missing")
    entries, directory = struct.unpack("<HL", tail[at + 10 : at + 16])
    beyond = tail[max(0, at - 20) : at].startswith(_END_OF_64)
    if beyond or entries > bounds.most_files or directory > bounds.directory_bytes:
        raise UnreadableArchive(f"it claims to hold more than {bounds.most_files} files")


def _leads_outside(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or re.match(r"[A-Za-z]:", name) is not None


def _shown(name: str) -> str:
    return (
        clean(name.replace("\n", " ").replace("\r", " ").replace("\t", " "), max_chars=200).replace("\n", " ")
        or "(no name)"
    )


def _files(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"
