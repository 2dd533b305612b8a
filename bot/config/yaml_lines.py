"""
Reads YAML with line numbers, without the implicit types of YAML 1.1.

`on` and `no` are strings, a date is a string, and tags construct nothing. Any file is read or refused in time
proportional to its size: aliases share a node, and never copy it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from handlers.errors import ConfigurationError

DEEPEST = 50
"""Maximum depth of nesting. No configuration has ten levels."""


@dataclass(frozen=True, slots=True)
class LocatedYaml:
    """The values of a file, with their line numbers."""

    values: Any
    root: yaml.MappingNode

    def line(self, place: tuple[int | str, ...]) -> int:
        """Return the line of a path of keys and indexes, or of the nearest parent that exists."""
        node: yaml.Node = self.root
        line = node.start_mark.line + 1
        for part in place:
            if isinstance(node, yaml.MappingNode):
                match = next(((key, value) for key, value in node.value if key.value == str(part)), None)
                if match is None:
                    return line
                line, node = match[0].start_mark.line + 1, match[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                return line
        return line

    def duplicates(self) -> Iterator[str]:
        """Yield a fault for each key that is given twice."""
        for mapping in _nodes(self.root):
            seen: dict[Any, int] = {}
            for key, _ in mapping.value if isinstance(mapping, yaml.MappingNode) else ():
                line = key.start_mark.line + 1
                if key.value in seen:
                    yield f"line {line}: `{key.value}` is given twice; it was given on line {seen[key.value]} already."
                seen.setdefault(key.value, line)


def read(text: str, *, source: str) -> LocatedYaml:
    """Read a file that holds a mapping. Raises `ConfigurationError` with the line of invalid or too deep YAML."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if faults := list(_tags(text)):
            raise ConfigurationError(faults, source=source)
        if not isinstance(root, yaml.MappingNode):
            raise ConfigurationError(
                ["it must hold keys such as `targets:`; it is empty, or not a mapping."], source=source
            )
        return LocatedYaml(loader.construct_document(root), root)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigurationError(
            [f"line {line}: there is a character that YAML does not allow."], source=source
        ) from error
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigurationError([f"{place}{error.problem or error}"], source=source) from error


class _Loader(yaml.SafeLoader):
    """
    Loader with the plain scalars of YAML 1.2. In 1.1 the policy's key `on` would be a boolean, 1:30 a number and 08
    an error; and `<<` would copy a node that an alias only shares.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as its base has it

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """See the base class. Refuses deep nesting, which would exceed Python's recursion limit and end the program."""
        self._depth = getattr(self, "_depth", 0) + 1
        if self._depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem="it is nested too deeply.", problem_mark=self.get_mark())
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", ["n", "~", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", "-+0123456789"),
    ("float", r"[-+]?[0-9]+\.[0-9]*", "-+0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def _tags(text: str) -> Iterator[str]:
    for token in yaml.scan(text, Loader=_Loader):
        if isinstance(token, yaml.TagToken):
            yield f"line {token.start_mark.line + 1}: tags (`!…`) have no meaning here; put a text that begins with `!` in quotes."


def _nodes(root: yaml.Node) -> Iterator[yaml.Node]:
    """Yield every node once, however many aliases refer to it, in the order of the file."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        inner = [child for pair in node.value for child in pair] if isinstance(node, yaml.MappingNode) else node.value
        waiting += reversed(inner) if isinstance(node, yaml.MappingNode | yaml.SequenceNode) else ()
