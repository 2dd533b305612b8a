"""The stand-in cluster for the bench, in a process of its own so that only the client is measured."""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection
from pathlib import Path

from bot.sandbox.agent import Behaviour
from bot.sandbox.kubernetes_api import KubernetesApi, Pod


def serve(agents: int, delay_s: float, kubeconfig: str, pipe: Connection) -> None:
    """Serve that many Agents until anything comes through the pipe."""

    async def main() -> None:
        pods = [Pod(f"datadog-{n}", f"node-{n}", Behaviour(delay_s=delay_s)) for n in range(agents)]
        async with KubernetesApi(pods) as api:
            api.write_kubeconfig(Path(kubeconfig))
            pipe.send((api.url, api.token))
            await asyncio.to_thread(pipe.recv)

    asyncio.run(main())
