"""What an archive is said to hold: counts and names, never a value, within bounds, whatever it is made of."""

from __future__ import annotations

import io
import random
import resource
import struct
import time
import warnings
import zipfile
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.sandbox.flare_agent import members, pack
from handlers.agent.flare_archive import PIECE, Bounds, Contents, Stopped, UnreadableArchive, read_contents

MIB = 1024 * 1024
LARGE = Bounds()
SMALL = Bounds(most_files=50, listed=10, file_bytes=MIB, total_bytes=2 * MIB, notes=5)
PASSWORD = "db_" + "password: correct-horse-battery\n"


def packed(files: Mapping[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer


def look(files: Mapping[str, bytes | str], bounds: Bounds = LARGE) -> Contents:
    return read_contents(packed(files), bounds)


def test_secrets_are_counted_by_kind_and_file() -> None:
    found = look({"a.log": PASSWORD * 3 + "fine\n", "b.log": "fine\n"})

    assert [(file.name, dict(file.sensitive)) for file in found.files] == [("a.log", {"password": 3}), ("b.log", {})]
    assert "correct-horse" not in repr(found)


@pytest.mark.parametrize(
    "line",
    [
        'api_key: "****************************abcd"',
        "api_key=****************************abcd",
        "password: ********",
        'community_string: "********"',
        "https://csm:********@proxy.example/x",
        "Authorization: Bearer ***********************************************************abcde",
        "Authorization: ********",
    ],
)
def test_what_the_agents_scrubber_has_blanked_is_no_secret(line: str) -> None:
    assert not look({"a.yaml": line + "\n"}).files[0].sensitive


@pytest.mark.parametrize(
    "line", ["password: ********correct-horse", "password: *******", "password: hunter2-x ********"]
)
def test_stars_around_a_value_do_not_hide_it(line: str) -> None:
    assert look({"a.yaml": line + "\n"}).files[0].sensitive


@pytest.mark.parametrize("place", [0, PIECE - 30, PIECE - 10, PIECE, 3 * PIECE - 15])
def test_a_secret_is_found_wherever_the_pieces_are_cut(place: int) -> None:
    filler = "a line of a log\n" * (place // 16)
    assert look({"a.log": filler + "x" * (place % 16) + "\n" + PASSWORD + filler}).files[0].sensitive == {"password": 1}


def test_a_private_key_is_one_secret() -> None:
    key = "-----BEGIN RSA " + "PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA\n" * 20 + "-----END RSA " + "PRIVATE KEY-----\n"
    assert look({"a.pem": key}).files[0].sensitive == {"private_key": 1}


def test_what_is_no_text_is_said_not_to_have_been_scanned() -> None:
    found = look({"a.bin": bytes(range(256)), "b.log": "text\n" * MIB + "\0", "c.log": "text\n"})

    assert found.unscanned == ("a.bin: binary", "b.log: binary from its middle on")
    assert found.unscanned_count == 2
    assert found.warnings == ("2 files could not be scanned for secrets, or not to the end.",)


def test_a_file_that_is_too_large_is_looked_at_as_far_as_it_may_be() -> None:
    found = look({"a.log": PASSWORD + "x\n" * MIB, "b.log": "x\n" * MIB, "c.log": "x\n" * MIB}, SMALL)

    assert found.files[0].sensitive == {"password": 1}
    assert found.unscanned == (
        "a.log: only its first 1 MiB",
        "b.log: only its first 1 MiB",
        "c.log: the archive is too large to look at all of it",
    )


def test_only_so_many_files_are_listed_and_the_rest_is_counted() -> None:
    found = look({f"{number}.bin": b"\0" for number in range(30)} | {"z.log": PASSWORD}, SMALL)

    assert (len(found.files), found.file_count, len(found.unscanned), found.unscanned_count) == (10, 31, 5, 30)
    assert found.files[0].name == "z.log", "what looks sensitive is listed in any case"
    assert found.warnings[0] == "It holds 31 files; only 10 of them are listed here."


def test_names_are_stripped_and_those_that_lead_elsewhere_are_told() -> None:
    names = ["../../etc/passwd", "/etc/passwd", "C:\\x", "..\\x", "a\nb", "\x1b[31mred", "\u202egnp.exe", "x" * 500]
    found = look(dict.fromkeys(names, "x\n"))

    assert found.warnings[0] == "4 files with a name that leads out of the folder it is unpacked in."
    for file in found.files:
        assert not {"\n", "\x1b", "\u202e"} & set(file.name)
        assert len(file.name) < 250


def test_two_files_of_one_name_are_told() -> None:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("a.log", "fine\n")
            archive.writestr("a.log", PASSWORD)
    found = read_contents(buffer)

    assert found.warnings == ("1 file with a name that another one has too.",)
    assert sum(sum(file.sensitive.values()) for file in found.files) == 1


def test_the_destination_is_read_from_the_hosts_own_files_and_from_no_other() -> None:
    assert look({"node/runtime_config_dump.yaml": "a: b\nsite: datadoghq.eu\n"}).destination.site == "datadoghq.eu"
    assert look({"etc/datadog.yaml": 'site: "us3.datadoghq.com"\n'}).destination.site == "us3.datadoghq.com"
    for path in (
        "x.log",
        "node/etc/confd/etc/datadog.yaml",
        "node/logs/runtime_config_dump.yaml",
        "node/old-envvars.log",
    ):
        assert not look({path: "site: datadoghq.eu\nDD_SITE=datadoghq.eu\n"}).destination.site


def test_the_dump_counts_however_the_files_are_sorted() -> None:
    files = {"n/etc/datadog.yaml": "site: datadoghq.eu\n", "n/runtime_config_dump.yaml": "site: us5.datadoghq.com\n"}
    assert look(files).destination.site == "us5.datadoghq.com"
    assert look(dict(reversed(files.items()))).destination.site == "us5.datadoghq.com"


@pytest.mark.parametrize("dump", [b"\0" * (4 * 1024**2 + 1), "site: datadoghq.eu\n"])
def test_a_dump_that_cannot_be_read_whole_or_is_there_twice_says_nothing(dump: bytes | str) -> None:
    found = look(
        {"a/runtime_config_dump.yaml": dump, "b/runtime_config_dump.yaml": "site: datadoghq.com\n"}
    ).destination
    assert (found.site, found.host) == ("", "")
    assert found.source.startswith("runtime_config_dump.yaml ")


def test_many_dumps_cost_no_more_than_a_few() -> None:
    files = {f"{number}/runtime_config_dump.yaml": "site: datadoghq.com\n" for number in range(50)}
    assert look(files).destination.source == "runtime_config_dump.yaml cannot be unpacked, or is too large"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        b"PK\x05\x06",
        b"PK\x05\x06" + bytes(18),
        pack(members("agent"))[:-30],
        pack(members("agent"), "flare_many_files"),
        b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 9999, 9999, 0xFFFFFFF0, 0, 0),
        b"PK\x06\x07" + bytes(16) + b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 1, 1, 46, 0, 0),
    ],
)
def test_what_cannot_be_listed_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableArchive):
        read_contents(io.BytesIO(data))


def test_a_damaged_file_does_not_hide_the_others() -> None:
    data = bytearray(packed({"a.log": random.Random(1).randbytes(5000).hex(), "b.log": PASSWORD}).getvalue())
    data[200:300] = bytes(100)
    found = read_contents(io.BytesIO(bytes(data)))

    assert found.unscanned[0].startswith("a.log: damaged")
    assert found.files[0].sensitive == {"password": 1}


def test_a_large_archive_costs_neither_its_memory_nor_much_time() -> None:
    line = b"2026-11-24 10:00:00 UTC | CORE | INFO | (pkg/collector/runner.go:1 in work) | Running\n" * 12_000
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("a.log", "w") as log,
    ):
        for _ in range(256):
            log.write(line)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = read_contents(buffer, Bounds(file_bytes=64 * MIB))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    assert found.unpacked > 250 * MIB
    assert found.unscanned == ("a.log: only its first 64 MiB",)
    assert grown < 64 * 1024, "kilobytes"
    assert time.process_time() - began < 10


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_what_no_agent_packs_is_not_unpacked(method: int) -> None:
    found = read_contents(packed({"a.log": PASSWORD}, method))
    assert found.unscanned == ("a.log: packed in a way that no Agent uses",)


def test_what_takes_too_long_is_left_and_said() -> None:
    line = "the key of the token is a secret of the pass community https://x.example/path cookie\n"
    began = time.process_time()
    found = read_contents(packed({"a.log": line * 50_000, "b.log": PASSWORD}), Bounds(processor_s=0.2))

    assert found.unscanned[0].startswith("a.log: it took too long to look at all of it after its first")
    assert found.unscanned[1] == "b.log: it took too long to look at all of it"
    assert time.process_time() - began < 5


def test_nobody_waiting_any_more_stops_it() -> None:
    looks = iter([False, False, True])
    with pytest.raises(Stopped):
        read_contents(packed({"a.log": "x\n" * 4 * MIB}), stop=lambda: next(looks))


WHOLE = pack(members("agent", "flare_secrets"))


@settings(deadline=None)  # other processes may have the processor
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=20), st.integers(0, len(WHOLE))
)
def test_whatever_was_done_to_an_archive_it_is_listed_or_refused(changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = read_contents(io.BytesIO(bytes(data[: length if length % 3 == 0 else None])), SMALL)
        except UnreadableArchive:
            return
    assert found.file_count >= len(found.files) > 0
    assert "hunter2" not in repr(found)


@given(st.binary(max_size=500))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableArchive):
        read_contents(io.BytesIO(data), SMALL)
