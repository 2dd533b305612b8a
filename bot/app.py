"""Composition root of `csm serve`: creates every part, in order, and closes them in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Mapping

import aiohttp
import structlog
from aiohttp import web
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.error import BoltError
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.access.directory import SlackDirectory
from bot.access.policy import Policy
from bot.commands.registry import commands, flaring
from bot.config.settings import Secrets, Settings
from bot.config.targets import described, executors
from bot.listeners import flare_review as flare_listeners
from bot.listeners import run_buttons as action_listeners
from bot.listeners import slash_command as command_listeners
from bot.listeners.agent_choices import AgentChoices
from bot.listeners.context import ListenerContext
from bot.runs.check import CheckLimits
from bot.runs.engine import RunEngine
from bot.runs.pruning import kept, pruning_loop
from bot.runtime import metrics
from bot.runtime.ack_gate import AckGate
from bot.runtime.background_tasks import BackgroundTasks
from bot.runtime.clock import SystemClock
from bot.runtime.health import Health, HealthServer
from bot.runtime.tracing import traced
from bot.slack.bolt_app import InstrumentedApp
from bot.slack.client import check_app_token, check_bot, create_client, required_scopes
from bot.slack.messenger import Messenger
from bot.slack.socket_mode import DEAD_S, QUIET_S, SocketModeConnection
from bot.storage.instance_lock import hold_instance_lock
from bot.storage.store import Store
from handlers.executors.base import Executor

log = structlog.get_logger(__name__)


async def serve(settings: Settings, secrets: Secrets) -> None:
    """Run the bot until SIGINT or SIGTERM. Raises `ConfigurationError` only before the bot has started."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with bot(settings, secrets):
        log.info("bot.ready", targets=len(settings.targets), transport=settings.slack.transport)
        await stopping.wait()
        log.info("bot.stopping")


@contextlib.asynccontextmanager
async def bot(settings: Settings, secrets: Secrets) -> AsyncIterator[AsyncApp]:
    """Start the bot, yield its Bolt app, and stop the bot when the block ends."""
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(traced())
        health = await _healthy(stack, settings)
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)))
        client = create_client(secrets.bot_token.get_secret_value(), secrets.api_url, session)
        identity = await check_bot(client, required=required_scopes())
        store = await Store.open(settings.database_url)
        stack.enter_context(hold_instance_lock(settings.database_url))
        stack.push_async_callback(store.aclose)
        health.ready_if(store.fault)
        targets = await stack.enter_async_context(_closing(executors(settings)))
        messenger = Messenger(client, store)
        background_tasks = BackgroundTasks()
        stack.push_async_callback(background_tasks.aclose)
        policy = Policy(settings.rules, settings.approvers)
        for glob in policy.pointless(settings.targets):
            log.warning("policy.matches_no_target", on=glob, targets=sorted(settings.targets))
        directory = SlackDirectory(client, team_id=identity.team_id, groups=policy.groups_named)
        ack_gate = AckGate()
        runs = RunEngine(
            store=store,
            messenger=messenger,
            targets=targets,
            commands=commands(settings),
            clock=SystemClock(),
            check_limits=CheckLimits(
                settings.limits.per_target, settings.limits.overall, settings.limits.min_interval.total_seconds()
            ),
            flaring=flaring(settings),
            ack_gate=ack_gate,
            replica=os.environ.get("CSM_REPLICA", ""),
        )
        stack.push_async_callback(runs.aclose)
        await runs.launch(settings.database_url)
        health.alive_if(runs.fault)
        context = ListenerContext(
            runs=runs,
            store=store,
            policy=policy,
            directory=directory,
            messenger=messenger,
            background_tasks=background_tasks,
            targets=described(settings),
            slash=settings.slack.command,
            platforms={name: executor.platform for name, executor in targets.items()},
            agent_choices=AgentChoices(targets, store),
        )
        background_tasks.run(directory.warm(), name="warm the directory")
        await stack.enter_async_context(pruning_loop(store, kept(settings.retention), messenger.remove_file))
        app = _bolt(client, secrets, context, ack_gate)
        if settings.slack.transport == "socket":
            app_token = secrets.app_token.get_secret_value()
            await check_app_token(client, app_token)
            socket = await stack.enter_async_context(SocketModeConnection(app, app_token))
            health.alive_if(lambda: socket.fault(DEAD_S))
            health.ready_if(lambda: socket.fault(QUIET_S))
            health.measure(socket.measure)
        else:
            await stack.enter_async_context(_http(app, settings))
        health.measure(lambda: metrics.RUNS_OPEN.set(runs.open))
        health.measure(lambda: metrics.APPROVALS_OPEN.set(runs.approvals.waiting()))
        health.serving = True
        try:
            yield app
        finally:
            health.serving = False


async def _healthy(stack: contextlib.AsyncExitStack, settings: Settings) -> Health:
    """Start the health server, if configured. It starts first and stops last, so that it also reports a slow start."""
    if settings.health is None:
        return Health()
    health = Health()
    await stack.enter_async_context(HealthServer(health, settings.health.host, settings.health.port))
    return health


def _bolt(client: AsyncWebClient, secrets: Secrets, context: ListenerContext, ack_gate: AckGate) -> AsyncApp:
    signing_secret = secrets.signing_secret.get_secret_value() or None
    log_as = logging.getLogger("slack_bolt")
    app = InstrumentedApp(ack_gate=ack_gate, client=client, signing_secret=signing_secret, logger=log_as)
    command_listeners.register(app, context)
    action_listeners.register(app, context)
    flare_listeners.register(app, context)

    @app.error
    async def failed(error: Exception, response: BoltResponse | None) -> BoltResponse | None:
        log.error("listener.failed", exc_info=error)
        if response is None or isinstance(error, BoltError):
            return None
        text = "csm failed to read this, and nothing was started. Try again; its log has the details."
        return BoltResponse(status=200, body={"response_type": "ephemeral", "text": text})

    return app


@contextlib.asynccontextmanager
async def _closing(targets: Mapping[str, Executor]) -> AsyncIterator[Mapping[str, Executor]]:
    try:
        yield targets
    finally:
        outcomes = await asyncio.gather(*(executor.aclose() for executor in targets.values()), return_exceptions=True)
        for name, outcome in zip(targets, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                log.warning("target.not_closed", target=name, error=type(outcome).__name__)


@contextlib.asynccontextmanager
async def _http(app: AsyncApp, settings: Settings) -> AsyncIterator[None]:
    """The HTTP transport: serve Slack's signed requests at /slack/events while the block runs."""
    runner = web.AppRunner(app.web_app("/slack/events"), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.slack.host, settings.slack.port).start()
        host, port = runner.addresses[0][:2]
        log.info("bot.listening", host=host, port=port)
        yield
    finally:
        await runner.cleanup()
