"""What goes wrong on the way to a host over SSH: told as what it was, by a real sshd, within its deadline."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncssh
import pytest

from handlers.errors import (
    ConnectionLost,
    DeadlineExceeded,
    Denied,
    ExecError,
    TargetDenied,
    TargetUnreachable,
    Throttled,
    Unreachable,
)
from handlers.executors import ssh
from handlers.executors.base import Completed, Limits, converse, run
from handlers.executors.settings import SshSettings
from handlers.executors.ssh import SshExecutor
from handlers.model import Agent, Installation, Platform
from handlers.remediation import remediate
from tests import sshd as servers
from tests.relay import Relay, tcp_relay

AGENT = Agent(target="db-1", name="db-1", platform=Platform.HOST, installation=Installation.HOST)
SLEEP = ("sh", "-c", "echo begun; exec sleep 60")
QUICK = Limits(deadline_s=20, grace_s=0.5)

pytestmark = pytest.mark.needs("sshd", "ssh-keygen")


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


async def server(stack: AsyncExitStack, folder: Path, *options: str) -> servers.Sshd:
    return await stack.enter_async_context(servers.sshd(folder, *options))


def reached(stack: AsyncExitStack, settings: SshSettings, **changes: object) -> SshExecutor:
    executor = SshExecutor("db-1", settings.model_copy(update=changes))
    stack.push_async_callback(executor.aclose)
    return executor


async def relayed(stack: AsyncExitStack, folder: Path, settings: SshSettings) -> tuple[Relay, SshExecutor]:
    relay = await stack.enter_async_context(tcp_relay(settings.port))
    known = folder / "known_by_relay"
    known.write_text(settings.known_hosts.read_text().replace(f":{settings.port} ", f":{relay.port} "))
    return relay, reached(stack, settings, port=relay.port, known_hosts=known)


async def begin(executor: SshExecutor, limits: Limits, fault: asyncio.Event, begun: asyncio.Event) -> Completed:
    """Run a command that would last; `fault` is awaited once it has begun."""
    async with converse(executor, AGENT, SLEEP, limits=limits, stdin=False) as talk:
        await talk.expect(re.compile(b"begun"))
        begun.set()
        await fault.wait()
        return Completed(SLEEP, await talk.finish(), talk.output, 0.0)


async def says(executor: SshExecutor, word: str) -> bytes:
    return (await run(executor, AGENT, ("echo", word), limits=QUICK)).output.stdout


async def test_a_connection_cut_in_the_middle_is_told_and_the_next_command_has_a_new_one(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    settings = (await server(stack, tmp_path)).settings
    relay, executor = await relayed(stack, tmp_path, settings)
    neighbour, fault, begun = reached(stack, settings), asyncio.Event(), asyncio.Event()
    there = asyncio.create_task(run(neighbour, AGENT, ("sh", "-c", "sleep 1; echo here"), limits=QUICK))
    cut = asyncio.create_task(begin(executor, QUICK, fault, begun))
    await begun.wait()
    relay.cut()
    fault.set()

    with pytest.raises(ConnectionLost, match="db-1") as caught:
        await cut
    assert caught.value.output.stdout == b"begun\n"
    assert caught.value.ended, "over a new connection"
    assert await says(executor, "again") == b"again\n"
    assert (await there).output.stdout == b"here\n"


async def test_a_connection_that_went_silent_costs_its_deadline_and_is_replaced(
    stack: AsyncExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "OPEN_S", 0.5)
    relay, executor = await relayed(stack, tmp_path, (await server(stack, tmp_path)).settings)
    fault, begun = asyncio.Event(), asyncio.Event()
    silent = asyncio.create_task(begin(executor, Limits(deadline_s=2, grace_s=0.5), fault, begun))
    began = time.monotonic()
    await begun.wait()
    relay.hush()
    fault.set()

    with pytest.raises(DeadlineExceeded) as caught:
        await silent
    assert time.monotonic() - began < 10
    assert not caught.value.ended, "nothing says that it is gone"
    relay.flow_anew()
    assert await says(executor, "again") == b"again\n"


async def test_a_killed_sshd_is_told_as_a_lost_connection_and_then_as_unreachable(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    sshd = await server(stack, tmp_path)
    executor, fault, begun = reached(stack, sshd.settings), asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(begin(executor, QUICK, fault, begun))
    await begun.wait()
    await sshd.kill()
    fault.set()

    with pytest.raises(ConnectionLost) as caught:
        await running
    assert not caught.value.ended
    with pytest.raises(Unreachable, match=re.escape("127.0.0.1")):
        await says(executor, "again")
    with pytest.raises(TargetUnreachable):
        await executor.agents()


async def test_a_host_whose_key_changed_is_refused_and_said_to_be_dangerous(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    settings = (await server(stack, tmp_path)).settings
    another = asyncssh.generate_private_key("ssh-ed25519").export_public_key()
    settings.known_hosts.write_bytes(f"[127.0.0.1]:{settings.port} ".encode() + another)
    executor = reached(stack, settings)

    with pytest.raises(Denied, match="in between"):
        await says(executor, "anything")
    with pytest.raises(TargetDenied, match="in between"):
        await executor.agents()


async def test_a_user_who_is_not_let_in_is_named(stack: AsyncExitStack, tmp_path: Path) -> None:
    settings = (await server(stack, tmp_path)).settings

    with pytest.raises(Denied, match="does not let nobody in"):
        await says(reached(stack, settings, user="nobody"), "anything")
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "other")
    with pytest.raises(TargetDenied, match=f"does not let {settings.user} in"):
        await reached(stack, settings, client_keys=(tmp_path / "other",)).agents()


async def test_a_server_with_one_session_a_connection_still_runs_many_commands(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    executor = reached(stack, (await server(stack, tmp_path, "MaxSessions 1")).settings)
    said = await asyncio.gather(*(says(executor, str(number)) for number in range(5)))
    with pytest.raises(DeadlineExceeded) as caught:
        await run(executor, AGENT, SLEEP, limits=Limits(deadline_s=1.5, grace_s=0.5))

    assert said == [f"{number}\n".encode() for number in range(5)]
    assert caught.value.ended, "the ending found a place of its own"


async def test_a_server_that_opens_no_session_is_told_with_the_setting(stack: AsyncExitStack, tmp_path: Path) -> None:
    executor = reached(stack, (await server(stack, tmp_path, "MaxSessions 0")).settings)

    with pytest.raises(Throttled, match="MaxSessions"):
        await says(executor, "anything")


@pytest.mark.needs("sudo", "setpriv", root=True)
async def test_sudo_that_wants_a_password_is_told_as_such(stack: AsyncExitStack, tmp_path: Path) -> None:
    # Whoever logs in here is root, of whom sudo asks nothing; so it is asked as somebody else.
    real = shlex.join(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(shutil.which("sudo"))])
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "sudo").write_text(f'#!/bin/sh\nexec {real} "$@"\n')
    (programs / "sudo").chmod(0o755)
    settings = (await server(stack, tmp_path, f"SetEnv PATH={programs}:/usr/bin:/bin")).settings
    executor = reached(stack, settings, sudo=True)

    with pytest.raises(Denied, match="password") as caught:
        await says(executor, "anything")
    assert isinstance(caught.value, ExecError)
    assert "echo" in str(caught.value)


HANGS = """#!/bin/sh
id -u
exec sleep 60
"""


@pytest.mark.needs("sudo", "unshare", root=True)
async def test_an_account_with_no_more_rights_than_csm_advises_finds_asks_and_ends(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    there = tmp_path / "there"  # what the sessions see in the place of this machine's own
    rights, keys = there / "sudoers.d", there / "keys"
    for folder in (rights, keys, there / "opt/datadog-agent/embedded/bin"):
        folder.mkdir(parents=True)
    probe = there / "opt/datadog-agent/embedded/bin/system-probe"
    probe.write_text(HANGS)
    probe.chmod(0o755)
    advice = "".join(step.snippet for step in remediate("agent.denied", AGENT, None).steps)
    (rights / "csm").write_text(advice.replace("csm ALL=", "nobody ALL="))
    (rights / "csm").chmod(0o440)
    users = await asyncio.to_thread(Path("/etc/passwd").read_text)
    (there / "passwd").write_text(re.sub(r"(?m)^(nobody:.*):[^:]*$", r"\1:/bin/sh", users))
    seen = {"/opt": there / "opt", "/etc/sudoers.d": rights, "/etc/passwd": there / "passwd", "/mnt": keys}
    sshd = await stack.enter_async_context(
        servers.sshd(tmp_path, "Match User nobody", "AuthorizedKeysFile /mnt/authorized", seen=seen)
    )
    shutil.copy(tmp_path / "authorized", keys)
    executor = reached(stack, sshd.settings, user="nobody", sudo=True)

    assert [agent.name for agent in await executor.agents()] == ["db-1"]
    with pytest.raises(DeadlineExceeded) as caught:
        await run(
            executor,
            AGENT,
            ("/opt/datadog-agent/embedded/bin/system-probe", "runtime", "self-test"),
            limits=Limits(deadline_s=3, grace_s=2),
        )
    assert caught.value.output.stdout == b"0\n", "it ran as root"
    assert caught.value.ended, "sudo was asked to end, and passed it on"
    with pytest.raises(Denied, match="sudo"):
        await says(executor, "anything")
