"""OpenSSH's own server, started for a test on a free loopback port with keys made for it."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from handlers.executors.settings import SshSettings
from tests.programs import find, need

PROGRAM = find("sshd")


@dataclass(frozen=True)
class Sshd:
    """A server that runs."""

    settings: SshSettings
    """How to reach it."""
    process: asyncio.subprocess.Process

    async def kill(self) -> None:
        """Kill it with all its connections, which are its children. What they run lives on."""
        if self.process.returncode is None:
            for child in _children(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            self.process.kill()
        await self.process.wait()


def _seeing(seen: Mapping[str, Path]) -> tuple[str, ...]:
    """What starts a program in a mount namespace of its own."""
    mounts = "".join('mount --bind "$1" "$2" && shift 2 && ' for _ in seen)
    places = [word for place, path in seen.items() for word in (str(path), place)]
    return ("unshare", "--mount", "sh", "-c", f'{mounts}exec "$@"', "sh", *places)


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


@contextlib.asynccontextmanager
async def sshd(folder: Path, *options: str, seen: Mapping[str, Path] | None = None) -> AsyncIterator[Sshd]:
    """A running server, with more lines of its configuration; `seen` is what its sessions see in those places."""
    need("sshd", "ssh-keygen")
    host, person = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    host.write_private_key(folder / "host")
    person.write_private_key(folder / "person")
    for name in ("host", "person"):
        (folder / name).chmod(0o600)
    (folder / "authorized").write_bytes(person.export_public_key())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'authorized'}\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n"
        + "".join(f"{option}\n" for option in options)
    )
    await asyncio.to_thread(Path("/run/sshd").mkdir, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *(_seeing(seen) if seen else ()),
        PROGRAM,
        "-D",
        "-e",
        "-f",
        str(folder / "sshd_config"),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    while b"listening" not in (line := await asyncio.wait_for(process.stderr.readline(), 10)):
        assert line, "sshd ended instead of listening"
    known = folder / "known_hosts"
    known.write_bytes(f"[127.0.0.1]:{port} ".encode() + host.export_public_key())
    settings = SshSettings(
        address="127.0.0.1", port=port, user=getpass.getuser(), known_hosts=known, client_keys=(folder / "person",)
    )
    server = Sshd(settings, process)
    try:
        yield server
    finally:
        await server.kill()
