"""A YAML document that remembers its lines. Pure.

Wraps PyYAML's node tree so that each refusal names file, line and key. Owns what a reader of any strict format needs (unknown
keys, doubled keys, wrong types); knows nothing of topologies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from topology.errors import TopologyError

VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::(?P<how>[-=])(?P<default>[^}]*))?\})")


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """Replace variables as containerlab does.

    | text       | result                                          |
    | ---------- | ----------------------------------------------- |
    | `${A}`     | the value, or nothing                           |
    | `${A:-x}`  | the value, or `x` if A is unset or empty        |
    | `${A:=x}`  | the same                                        |
    | `$$`       | `$`                                             |
    """

    def value(found: re.Match[str]) -> str:
        name = found["name"]
        return "$" if name is None else environment.get(name) or found["default"] or ""

    return VARIABLE.sub(value, text)


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the document: where it stands, and how to read it as a type."""

    file: str
    key: str
    node: yaml.Node

    def error(self, rule: str) -> TopologyError:
        """A refusal of this value."""
        return TopologyError(f"{self.file}:{self.node.start_mark.line + 1}: {self.key}: {rule}")

    def text(self) -> str:
        """A scalar as text; containerlab reads numbers and booleans in text fields so too."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.error("a list or mapping stands where one value belongs; write one value")
        return str(self.node.value)

    def number(self) -> int:
        """A whole number of at least 0."""
        text = self.text()
        if not text.isdecimal():
            raise self.error(f"{text!r} is no whole number; write digits only")
        return int(text)

    def boolean(self) -> bool:
        """True or false."""
        text = self.text()
        if text not in {"true", "false"}:
            raise self.error(f"{text!r} is neither true nor false; write one of them")
        return text == "true"

    def items(self) -> list[Value]:
        """The values of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("no list; write `- item` lines or [a, b]")
        return [Value(self.file, f"{self.key}[{n}]", one) for n, one in enumerate(self.node.value)]

    def texts(self) -> tuple[str, ...]:
        """A list of scalars."""
        return tuple(one.text() for one in self.items())

    def pairs(self) -> dict[str, str]:
        """A mapping from text to text."""
        return {name: one.text() for name, one in self.entries().items()}

    def entries(self, known: frozenset[str] | None = None) -> dict[str, Value]:
        """The values of a mapping by key; an unknown or doubled key is an error. An empty value is an empty mapping."""
        if isinstance(self.node, yaml.ScalarNode) and self.node.value in {"", "null", "~"}:
            return {}
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("no mapping; write `key: value` lines")
        found: dict[str, Value] = {}
        for name_node, value in self.node.value:
            name = str(name_node.value)
            entry = Value(self.file, f"{self.key}.{name}".removeprefix("."), value)
            at_name = Value(self.file, entry.key, name_node)
            if name in found:
                raise at_name.error("the key stands here a second time; keep one")
            if known is not None and name not in known:
                raise at_name.error(f"unknown key; known here: {', '.join(sorted(known))}")
            found[name] = entry
        return found


def parse(text: str, file: str) -> Value:
    """The document's top value; TopologyError if it is no YAML or empty."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise TopologyError(f"{file}:{line}: no YAML: {error.problem}; correct the line") from error
    if node is None:
        raise TopologyError(f"{file}:1: the file is empty; it needs `name` and `topology`")
    return Value(file, "", node)
