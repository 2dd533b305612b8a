"""OpenSSH's own server, started for a test on a free loopback port with keys made for it."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh

from handlers.executors.settings import SshSettings

PROGRAM = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")


@contextlib.asynccontextmanager
async def sshd(folder: Path) -> AsyncIterator[SshSettings]:
    """A running server, and how to reach it."""
    assert PROGRAM, "needs openssh-server"
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
    )
    await asyncio.to_thread(Path("/run/sshd").mkdir, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "-D", "-e", "-f", str(folder / "sshd_config"), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    while b"listening" not in (line := await asyncio.wait_for(process.stderr.readline(), 10)):
        assert line, "sshd ended instead of listening"
    known = folder / "known_hosts"
    known.write_bytes(f"[127.0.0.1]:{port} ".encode() + host.export_public_key())
    try:
        yield SshSettings(
            address="127.0.0.1", port=port, user=getpass.getuser(), known_hosts=known, client_keys=(folder / "person",)
        )
    finally:
        process.terminate()
        await process.wait()
