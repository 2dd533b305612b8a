"""Trigger a self-test on an Agent before 7.65: choose the command, and find the socket on which the module listens."""

from __future__ import annotations

from handlers.agent.commands import (
    CONTAINER_SOCKET,
    AgentCommand,
    selftest_commands,
    with_socket,
)
from handlers.agent.selftest_output import AnswerKind, SelftestAnswer, read_answer
from handlers.errors import ExecError
from handlers.model import Platform
from handlers.redaction import clean_lines, decode
from handlers.selftest.diagnosis import ask_settings, is_starting
from handlers.selftest.judge import Judgement
from handlers.selftest.runner import CommandRunner, Finished, is_missing
from handlers.version import AgentVersion

_CODES: dict[AnswerKind, str] = {
    AnswerKind.DISABLED: "selftest.disabled",
    AnswerKind.EBPFLESS: "selftest.ebpfless",
    AnswerKind.ALREADY_RUNNING: "selftest.already_running",
    AnswerKind.FAILED: "selftest.rule_failed",
    AnswerKind.ERRORED: "selftest.errored",
    AnswerKind.UNKNOWN_COMMAND: "selftest.unknown_command",
    AnswerKind.SOCKET_NOT_SET: "selftest.socket_dead",
    AnswerKind.SOCKET_DEAD: "selftest.socket_dead",
    AnswerKind.SOCKET_REFUSED: "selftest.socket_refused",
    AnswerKind.PERMISSION_DENIED: "selftest.permission_denied",
    AnswerKind.STARTING: "selftest.module_starting",
    AnswerKind.UNREADABLE: "selftest.unreadable",
}
_MODULE_DOWN = {"selftest.socket_dead", "selftest.socket_refused"}


async def trigger_selftest(runner: CommandRunner, version: AgentVersion) -> SelftestAnswer:
    """
    Trigger one self-test. The next command is tried only when the one before certainly triggered nothing.

    Raises `Finished` when no command could be run to its end.
    """
    choices = selftest_commands(runner.agent, version)
    if not choices:
        names = ", ".join(container.name for container in runner.agent.containers)
        raise Finished(Judgement("selftest.no_command", evidence=(f"containers: {names}",)))
    unknown: SelftestAnswer | None = None
    for choice in choices:
        answer = await _trigger_wherever(runner, choice, is_last=choice is choices[-1])
        if answer is not None and answer.answer is not AnswerKind.UNKNOWN_COMMAND:
            return answer
        unknown = answer or unknown
    assert unknown is not None, "the last command answers, or raises"
    return unknown


async def _trigger_wherever(runner: CommandRunner, choice: AgentCommand, *, is_last: bool) -> SelftestAnswer | None:
    """
    Trigger with one command, at every socket on which the module may listen; `None` when there is no such program.

    A container of the chart that is reached through its node's Docker engine has its socket where the chart puts it.
    system-probe.yaml may name another path, which the command does not see, because it reads the core configuration
    only.
    """
    try:
        answer = await _trigger_once(runner, choice)
        if _has_no_socket(answer) and _may_lack_its_socket(runner, choice, answer):
            moved = with_socket(choice, CONTAINER_SOCKET, "its container did not have the socket set")
            answer = await _trigger_once(runner, moved)
        if _has_no_socket(answer):
            settings = await ask_settings(runner)
            if settings and settings.socket and settings.socket not in answer.message:
                moved = with_socket(choice, settings.socket, "the Agent's configuration has the socket there")
                answer = await _trigger_once(runner, moved)
    except ExecError as error:
        if is_missing(error) and not is_last:
            return None
        raise runner.cut_short(runner.decisive or choice, error) from error
    return answer


async def _trigger_once(runner: CommandRunner, choice: AgentCommand) -> SelftestAnswer:
    completed = await runner.trigger(choice)
    return read_answer(decode(completed.output.stdout), decode(completed.output.stderr), completed.exit_status)


def _may_lack_its_socket(runner: CommandRunner, choice: AgentCommand, answer: SelftestAnswer) -> bool:
    """Whether a command in a container used another socket than the one of the chart and the Operator."""
    return (
        runner.agent.platform is not Platform.HOST
        and choice.argv[-3] == "system-probe"
        and CONTAINER_SOCKET not in answer.message
    )


def _has_no_socket(answer: SelftestAnswer) -> bool:
    return answer.answer in {AnswerKind.SOCKET_NOT_SET, AnswerKind.SOCKET_DEAD}


def judge_answer(runner: CommandRunner, answer: SelftestAnswer) -> Judgement:
    """The judgement for an answer other than OK."""
    code = _CODES[answer.answer]
    if code in _MODULE_DOWN and is_starting(runner.agent, runner.clock.now()):
        code = "selftest.module_starting"
    lines = answer.message.splitlines()
    return Judgement(code, lines[0][:200] if lines else "it said nothing", clean_lines(answer.message))
