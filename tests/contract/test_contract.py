"""What every executor must do, on every platform, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
import uuid
from pathlib import Path

import pytest

from handlers.errors import BinaryMissing, ConnectionLost, DeadlineExceeded, OutputLimitExceeded
from handlers.executors.base import Completed, Limits, converse, run
from tests.contract.harness import Harness

QUICK = Limits(deadline_s=20, grace_s=1)
MEBI = 1024 * 1024


async def python(harness: Harness, code: str, *arguments: str, limits: Limits = QUICK) -> Completed:
    return await run(
        harness.executor,
        harness.agent,
        (harness.python, "-c", code, *arguments),
        container=harness.container,
        limits=limits,
    )


async def alive(harness: Harness, marker: str) -> bool:
    """Whether a process with the marker in its arguments runs, seen from where the Agent is."""
    code = (
        "import os, sys\n"
        "for each in filter(str.isdigit, os.listdir('/proc')):\n"
        " try: seen = open('/proc/%s/cmdline' % each).read()\n"
        " except OSError: continue\n"
        " if sys.argv[1][::-1] in seen: print('alive')"
    )
    return b"alive" in (await python(harness, code, marker[::-1])).output.stdout


async def test_output_streams_and_exit_status_are_kept_apart(harness: Harness) -> None:
    done = await python(harness, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")

    assert (done.output.stdout, done.output.stderr, done.exit_status) == (b"out\n", b"err\n", 3)


@pytest.mark.parametrize("status", [0, 1, 255])
async def test_an_exit_status_is_passed_on(harness: Harness, status: int) -> None:
    assert (await python(harness, f"raise SystemExit({status})")).exit_status == status


async def test_a_process_that_dies_of_a_signal_has_a_status_above_127(harness: Harness) -> None:
    assert (await python(harness, "import os; os.kill(os.getpid(), 9)")).exit_status == 137


async def test_arguments_arrive_as_they_are(harness: Harness) -> None:
    arguments = ["a b", "'", '"', "$(id)", ";", "|", "", "*", "ü€", "line\nbreak", "\\", "--x=`id`", "~", "!"]
    done = await python(harness, "import sys; sys.stdout.buffer.write(chr(0).join(sys.argv[1:]).encode())", *arguments)

    assert done.output.stdout.decode().split("\0") == arguments


async def test_bytes_that_are_no_text_pass(harness: Harness) -> None:
    done = await python(harness, "import sys; sys.stdout.buffer.write(bytes(range(256)) * 4)")

    assert done.output.stdout == bytes(range(256)) * 4


async def test_one_line_of_twelve_megabytes_passes(harness: Harness) -> None:
    done = await python(harness, f"print('x' * {12 * MEBI})", limits=Limits(deadline_s=30, max_bytes=16 * MEBI))

    assert len(done.output.stdout) == 12 * MEBI + 1


async def test_a_hundred_megabytes_are_cut_at_the_limit_and_the_process_is_ended(harness: Harness) -> None:
    marker = uuid.uuid4().hex
    code = f"import sys\nfor _ in range(100): sys.stdout.write('x' * {MEBI})"
    with pytest.raises(OutputLimitExceeded) as caught:
        await python(harness, code, marker, limits=Limits(deadline_s=30, max_bytes=4 * MEBI, grace_s=1))

    assert len(caught.value.output.stdout) == 4 * MEBI
    assert caught.value.ended
    assert not await alive(harness, marker)


async def test_a_hundred_megabytes_pass_a_higher_limit_in_bounded_time_and_memory(harness: Harness) -> None:
    code = f"import sys\nfor n in range(100): sys.stdout.write(str(n % 10) * {MEBI})"
    limits = Limits(deadline_s=60, max_bytes=110 * MEBI)
    before = peak_mebi(from_here=True)
    done = await python(harness, code, limits=limits)

    assert len(done.output.stdout) == 100 * MEBI
    assert all(done.output.stdout[n * MEBI] == ord(str(n % 10)) for n in range(100))
    assert done.duration_s < 30
    # Once as it was received, once as it is handed out; what is on its way is bounded by the pipes.
    assert peak_mebi() - before < 350


def peak_mebi(*, from_here: bool = False) -> float:
    """This process's peak of memory, in MiB."""
    if from_here:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


async def test_a_process_without_input_sees_an_empty_one(harness: Harness) -> None:
    assert (await python(harness, "import sys; print(len(sys.stdin.read()))")).output.stdout == b"0\n"


async def test_the_deadline_ends_the_process_and_keeps_its_output(harness: Harness) -> None:
    marker, began = uuid.uuid4().hex, time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        await python(
            harness,
            "import time; print('begun', flush=True); time.sleep(60)",
            marker,
            limits=Limits(deadline_s=2, grace_s=1),
        )

    assert time.monotonic() - began < 8
    assert caught.value.output.stdout == b"begun\n"
    assert caught.value.ended
    assert not await alive(harness, marker)


async def test_a_process_that_ignores_the_end_is_killed(harness: Harness) -> None:
    marker = uuid.uuid4().hex
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    with pytest.raises(DeadlineExceeded) as caught:
        await python(harness, code, marker, limits=Limits(deadline_s=2, grace_s=0.5))

    assert caught.value.output.stdout == b"deaf\n"
    assert caught.value.ended
    assert not await alive(harness, marker)


async def test_cancelling_ends_the_process(harness: Harness) -> None:
    marker, started = uuid.uuid4().hex, asyncio.Event()

    async def ask() -> None:
        argv = (harness.python, "-c", "import time; print('begun', flush=True); time.sleep(60)", marker)
        async with converse(
            harness.executor, harness.agent, argv, container=harness.container, limits=QUICK, stdin=False
        ) as talk:
            await talk.expect(re.compile(b"begun"))
            started.set()
            await talk.finish()

    task = asyncio.create_task(ask())
    await asyncio.wait_for(started.wait(), 15)
    assert await alive(harness, marker)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not await alive(harness, marker)


async def test_questions_are_answered_in_turn(harness: Harness) -> None:
    code = "for word in ('first', 'second'):\n print(word + '? [y/N]', flush=True)\n print('got', input(), flush=True)"
    argv = (harness.python, "-c", code)
    async with converse(harness.executor, harness.agent, argv, container=harness.container, limits=QUICK) as talk:
        assert await talk.expect(re.compile(rb"first\? \[y/N\]"))
        await talk.write(b"y\n")
        assert await talk.expect(re.compile(rb"second\? \[y/N\]"))
        await talk.write(b"n\n")
        assert await talk.finish() == 0
        assert b"got y" in talk.output.stdout
        assert b"got n" in talk.output.stdout


async def test_a_prompt_that_never_comes_is_told_by_the_end_of_the_output(harness: Harness) -> None:
    argv = (harness.python, "-c", "print('something else')")
    async with converse(harness.executor, harness.agent, argv, container=harness.container, limits=QUICK) as talk:
        assert await talk.expect(re.compile(rb"\[y/N\]")) is None


async def test_closing_the_input_is_an_end_of_file(harness: Harness) -> None:
    argv = (harness.python, "-c", "import sys; print(len(sys.stdin.read()))")
    async with converse(harness.executor, harness.agent, argv, container=harness.container, limits=QUICK) as talk:
        await talk.write(b"abc")
        await talk.close_stdin()
        assert await talk.finish() == 0
        assert talk.output.stdout == b"3\n"


async def test_a_process_that_ends_without_reading_its_input_ends_in_good_order(harness: Harness) -> None:
    argv = (harness.python, "-c", "print('enough', flush=True)")
    async with converse(harness.executor, harness.agent, argv, container=harness.container, limits=QUICK) as talk:
        with contextlib.suppress(ConnectionLost):  # a pipe says so at once, a connection in between does not
            await talk.write(b"an answer that nobody waits for\n")
        assert await talk.finish() == 0
        assert talk.output.stdout == b"enough\n"


async def test_a_binary_that_does_not_exist_is_said_to_be_missing(harness: Harness) -> None:
    with pytest.raises(BinaryMissing, match="no-such-binary"):
        await run(harness.executor, harness.agent, ("no-such-binary", "x"), container=harness.container, limits=QUICK)


async def test_many_commands_at_once_do_not_mix(harness: Harness) -> None:
    done = await asyncio.gather(
        *(python(harness, "import sys; print(sys.argv[1])", str(number)) for number in range(20))
    )

    assert [each.output.stdout for each in done] == [f"{number}\n".encode() for number in range(20)]


async def test_closing_twice_does_no_harm(harness: Harness) -> None:
    await harness.executor.aclose()
    await harness.executor.aclose()
