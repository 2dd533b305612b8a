"""
Writes the pages that follow from the code: `make docs`. A test fails when one of them is stale.

Configuration from the settings' model, commands from the grammar and the program's parser, troubleshooting from the
table of findings and their remediations, refusals from the messages in the source, metrics from the registry, layers
from the contracts that `make check` enforces.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args, get_origin

from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bot.cli import main as program
from bot.commands.parser import USAGE
from bot.config import settings
from bot.listeners.slash_command import AVAILABLE
from bot.runtime import metrics
from handlers.agent.findings import KINDS
from handlers.model import Agent, Installation, Platform
from handlers.remediation import remediate
from handlers.version import AgentVersion

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
NOTE = "<!-- Written by `make docs` from the code. Do not edit; a test fails when it is stale. -->\n\n"


# -- configuration ------------------------------------------------------------------------------------------------


def configuration() -> str:
    """Every key of csm.yaml, with its type, its default and what it means."""
    parts = [
        "# Configuration\n",
        (
            "One YAML file, `--config FILE`, `$CSM_CONFIG` or `csm.yaml`. A faulty file is refused with every fault at once, each with its line and the nearest\n"
            "valid key; `csm doctor` says the same and looks at what is behind it. Durations are `90s`, `30m`, `1h30m` or `90d`. `csm.example.yaml` is a\n"
            "file to begin with.\n"
        ),
        *_model("The file", settings.Settings, ""),
        "## Environment\n",
        "Secrets come from the environment only, and a file that holds one is refused.\n",
        "| variable | what it is |\n|---|---|",
        *(f"| `{name}` | {words} |" for name, words in _environment()),
    ]
    return "\n".join(parts) + "\n"


def _environment() -> Iterator[tuple[str, str]]:
    where = {
        "SLACK_BOT_TOKEN": "The bot's token, `xoxb-…`. Always.",
        "SLACK_APP_TOKEN": "The app-level token with `connections:write`, `xapp-…`. For `transport: socket`.",
        "SLACK_SIGNING_SECRET": "The app's signing secret. For `transport: http`.",
        "SLACK_API_URL": "Another address than Slack's; only one of this machine is taken. For the sandbox.",
    }
    for field in settings.Secrets.model_fields.values():
        secret = " Secret." if field.annotation is SecretStr else ""
        yield str(field.validation_alias), where[str(field.validation_alias)] + secret
    yield "CSM_CONFIG", "The configuration file, where `--config` does not say."
    yield "CSM_REPLICA", "A name for this process in logs, where several share a database."
    yield (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "Where traces go (OTLP over HTTP); nothing is traced without it. Needs `csm[otel]`, which the image has.",
    )
    yield "HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "The way to Slack and to API servers, as usual."


def _model(title: str, model: type[BaseModel], prefix: str) -> Iterator[str]:
    words = inspect.getdoc(model) or ""
    yield f"## {title}\n\n{words}\n\n| key | type | default | |\n|---|---|---|---|"
    inner: list[tuple[str, type[BaseModel]]] = []
    told = _told(model)
    for name, field in model.model_fields.items():
        key = field.alias or name
        yield f"| `{key}` | {_type(field.annotation)} | {_default(field)} | {told.get(name, '')} |"
        if found := _within(field.annotation):
            inner.append((f"{prefix}{key}{_steps(field.annotation)}", found))
    yield ""
    for place, found in inner:
        yield from _model(f"`{place}`", found, f"{place}.")


def _told(model: type[BaseModel]) -> Mapping[str, str]:
    """The docstrings under a class's fields."""
    (tree,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(model))).body
    assert isinstance(tree, ast.ClassDef)
    told: dict[str, str] = {}
    for field, after in zip(tree.body, tree.body[1:], strict=False):
        is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            told[field.target.id] = " ".join(str(after.value.value).split())  # type: ignore[attr-defined]
    return told


def _within(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _within(each))), None)


def _steps(annotation: Any) -> str:
    origin = get_origin(annotation)
    return "[]" if origin is tuple else ".<name>" if origin is not None and _is_a(origin, Mapping) else ""


def _is_a(origin: Any, kind: Any) -> bool:
    """Whether a generic's origin is a class of this kind."""
    return isinstance(origin, type) and issubclass(origin, kind)


def _type(annotation: Any) -> str:
    text = str(annotation)
    if "Literal" in text:
        return " or ".join(f"`{word}`" for word in re.findall(r"'([^']*)'", text))
    if "timedelta" in text:
        return "duration"
    if found := _within(annotation):
        kind = {"[]": "list of mappings", ".<name>": "mapping by name"}.get(_steps(annotation), "mapping")
        return kind if found else ""
    words = {"bool": "`true` or `false`", "int": "number", "float": "seconds", "Path": "path", "tuple": "list"}
    return next((said for word, said in words.items() if word in text), "text")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*must be given*"
    value = field.default
    if value is PydanticUndefined or value is None or isinstance(value, BaseModel) or value in ((), ""):
        return ""
    if isinstance(value, timedelta):
        return f"`{_duration(value)}`"
    return f"`{json.dumps(value, default=str)}`".replace('"', "").replace("|", "\\|")


def _duration(value: timedelta) -> str:
    left, said = int(value.total_seconds()), ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, size)
        said += f"{number}{unit}" if number else ""
    return said or "0s"


# -- commands -----------------------------------------------------------------------------------------------------


ABOUT = {
    "selftest": "Run the self-test on every Agent of the target, or on one; the verdict rests on the results, not on what the command says.",
    "flare": "Have an Agent build a flare, show in the thread what is about to leave, and upload it when somebody who may approves that very archive.",
    "tc": "Ask every node's kernel which classifiers run before the Agent's, what each can return, and what to change.",
    "targets": "The targets that you may use here.",
    "runs": "The latest runs, of all targets or of one.",
    "show": "One run: its verdict, and where its thread is.",
    "cancel": "Stop a run; what was found so far is kept.",
    "help": "The command language.",
}


def commands() -> str:
    """The command language, and the program."""
    lines = [
        "# Commands\n",
        "The same in Slack (`/csm <line>`) and in a terminal (`csm <line>`). Smart quotes and dashes that phones type are read as plain ones.\n",
        "| line | what it does |\n|---|---|",
        *(f"| `{USAGE[word]}` | {ABOUT[word]} |" for word in AVAILABLE),
        "\n`<target>` is a name of the configuration, `<agent>` a node, a container or a host of it, `<run>` what a run's message shows (`r-…`).\n",
        "## The program\n",
        "`--config FILE` names the configuration. Exit status: 0 pass (warn included), 1 fail, 2 usage or configuration, 3 unknown. Errors go to stderr.\n",
    ]
    for words, parser in _parsers(program._parser(), "csm"):  # noqa: SLF001 - the program's own page
        usage = " ".join(parser.format_usage().split()).removeprefix("usage: ")
        lines.append(f"### `{words}`\n\n{_sentence(parser, words)}\n\n    {usage}\n")
        options = [action for action in parser._actions if action.help and action.dest != "help"]  # noqa: SLF001
        lines += [f"- `{'`, `'.join(action.option_strings) or action.dest}`: {action.help}" for action in options]
        lines += [""] if options else []
    return "\n".join(lines).rstrip() + "\n"


def _sentence(parser: argparse.ArgumentParser, words: str) -> str:
    word = words.rsplit(maxsplit=1)[-1]
    text = (
        parser.description
        or ABOUT.get(word)
        or {"serve": "the bot", "sandbox": "a local Slack workspace to try it in"}.get(word, "")
    )
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "." if text else ""


def _parsers(parser: argparse.ArgumentParser, words: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    choices = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]  # noqa: SLF001
    if not choices:
        yield words, parser
    for word, inner in (item for each in choices for item in each.items()):
        if word in AVAILABLE or word not in USAGE:
            yield from _parsers(inner, f"{words} {word}")


# -- troubleshooting ----------------------------------------------------------------------------------------------


def troubleshooting() -> str:
    """Every finding code, and every refusal."""
    parts = [
        "# Troubleshooting\n",
        (
            "Begin with `csm doctor`. What follows is everything that a run may find, and every way in which csm may refuse a line; each run's thread has the\n"
            "same advice with snippets for the Agent's own installation and version.\n"
        ),
        "## Findings\n",
    ]
    for code, kind in sorted(KINDS.items()):
        advice, before = remediate(code, _AGENT, None), remediate(code, _AGENT, _TRIGGERED)
        text = advice.summary if advice == before else f"From Agent 7.65: {advice.summary}\n\nBefore: {before.summary}"
        summary = re.sub(r"\{(\w+)\}", r"‹\1›", kind.summary)
        parts.append(
            f"### `{code}`\n\n{summary} Severity {kind.severity}; makes the verdict `{kind.verdict}`.\n\n{text}\n"
        )
        parts += [f"See <{link}>\n" for link in advice.docs[:2]]
    parts.append(
        "## Refusals\n\nWhat is refused is told to its author alone, and is in the audit. ‹…› stands for what was typed or configured.\n"
    )
    parts += [f"- {message}" for message in _refusals()]
    return "\n".join(parts).rstrip() + "\n"


_TRIGGERED = AgentVersion(7, 60, 0)
"""A version on which csm triggers self-tests."""
_AGENT = Agent(
    target="cluster-a",
    name="node-1",
    platform=Platform.KUBERNETES,
    installation=Installation.HELM,
    node="node-1",
    namespace="datadog",
    handle="datadog-1",
)


def _refusals() -> list[str]:
    """The messages of `Decision(False, …)` and `UsageError(…)` in the source, with ‹names› for what they are filled with."""
    found: set[str] = set()
    for file in [
        ROOT / "bot" / "access" / "policy.py",
        ROOT / "bot" / "commands" / "parser.py",
        *sorted((ROOT / "bot" / "listeners").glob("*.py")),
    ]:
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                message = {"Decision": 1, "UsageError": 0}.get(call.func.id)
                if message is not None and len(call.args) > message and (text := _text(call.args[message])):
                    found.add(text)
    return sorted(found, key=str.lower)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else f"‹{_name(part)}›" for part in node.values)  # type: ignore[misc]
    return ""


def _name(part: ast.expr) -> str:
    assert isinstance(part, ast.FormattedValue)
    words = re.findall(r"[a-zA-Z_]+", ast.unparse(part.value))
    return words[-1].strip("_").replace("_", " ") if words else "…"


# -- metrics ------------------------------------------------------------------------------------------------------


def monitoring() -> str:
    """Health, metrics, logs and traces."""
    rows = []
    for made in (each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)):
        (metric,) = made.describe()
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = ", ".join(f"`{label}`" for label in made._labelnames)  # noqa: SLF001 - there is no public way
        rows.append(f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |")
    return (
        "\n".join(
            [
                (DOCS / "monitoring.in.md").read_text("utf-8").rstrip(),
                "",
                "| metric | type | labels | |\n|---|---|---|---|",
                *sorted(rows),
            ]
        )
        + "\n"
    )


# -- architecture -------------------------------------------------------------------------------------------------


def architecture() -> str:
    """The layers, as import-linter enforces them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    parts = [(DOCS / "architecture.in.md").read_text("utf-8").rstrip(), "", "## What `make check` enforces\n"]
    for contract in contracts:
        parts.append(f"### {contract['name'][:1].upper()}{contract['name'][1:]}\n")
        if contract["type"] == "layers":
            parts.append("Each may import what is below it, never what is above or beside it:\n")
            parts += [f"    {layer}" for layer in contract["layers"]]
        else:
            sources, forbidden = (
                ", ".join(f"`{name}`" for name in contract[key]) for key in ("source_modules", "forbidden_modules")
            )
            parts.append(f"{sources} may not import {forbidden}, nor anything that does.")
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "commands.md": commands,
    "troubleshooting.md": troubleshooting,
    "monitoring.md": monitoring,
    "architecture.md": architecture,
}


def page(name: str) -> str:
    """The text that a page must have."""
    return NOTE + PAGES[name]()


def main() -> None:
    """Write all pages."""
    for name in PAGES:
        (DOCS / name).write_text(page(name), "utf-8")


if __name__ == "__main__":
    main()
