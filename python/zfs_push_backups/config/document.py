"""A YAML text as plain values, with the line every key came from.

Invariants: mappings become dicts with text keys, lists become tuples, scalars become text, bool, int, float or None;
nothing else can come out, whatever the tags say. A duplicate key is a problem, never "the last one wins".
Rationale: values are built here from ruamel's node graph (YAML 1.2), since its constructors would turn the snapshot
name 2026-11-21 into a date, and stop at the first problem where an operator wants to see all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from zfs_push_backups.errors import ConfigurationError
from zfs_push_backups.record import Record

Value: TypeAlias = "str | bool | int | float | tuple[Value, ...] | dict[str, Value] | None"
KeyPath: TypeAlias = tuple[str | int, ...]

_TAG: Final = "tag:yaml.org,2002:"
_MOST_NODES: Final = 100_000
_DEEPEST: Final = 50


class Problem(Record):
    """One thing that is wrong: the line (1 is the first, 0 the whole file), the key it is about, and the text."""

    line: int
    path: KeyPath
    text: str


@dataclass(slots=True)
class Document:
    """What a file says: its top mapping, the line of each key path, and what could not be read."""

    data: dict[str, Value] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, path: KeyPath) -> int:
        """The line of the key, or of the nearest section around it."""
        for length in range(len(path), 0, -1):
            if (line := self.lines.get(path[:length])) is not None:
                return line
        return 1


def shown_path(path: KeyPath) -> str:
    """`hosts.backup1.url`, `tasks[2].name`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def read_document(text: str, name: str) -> Document:
    """The document in `text`; `name` is the file as errors show it. Raises ConfigurationError if it's no mapping."""
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        # Only the problem is shown: ruamel's own text quotes the line, and a line may hold a secret.
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{name}:{line}: not valid YAML: {error.problem or error.context}") from None
    except RecursionError:
        raise ConfigurationError(f"{name}: not usable YAML: nested too deeply") from None
    except (YAMLError, ValueError, AttributeError, TypeError, KeyError, IndexError, AssertionError) as error:
        # Besides its own errors, ruamel's pure reader lets plain ones escape on malformed input.
        raise ConfigurationError(f"{name}: not valid YAML ({type(error).__name__})") from None
    if root is None or (isinstance(root, ScalarNode) and root.tag == f"{_TAG}null"):
        raise ConfigurationError(
            f"{name}: the file is empty", hint="examples/config.yaml of the package shows every key"
        )
    if not isinstance(root, MappingNode):
        line = root.start_mark.line + 1
        raise ConfigurationError(f"{name}:{line}: found {_kind(root)} at the top; allowed: a mapping (key: value)")
    document = Document()
    document.data = _Reader(document).mapping(root, ())
    return document


def _kind(node: Node) -> str:
    return "a list" if isinstance(node, SequenceNode) else "a mapping" if isinstance(node, MappingNode) else "text"


class _Reader:
    """Turns nodes into values; counts them, so that aliases upon aliases cannot eat the memory."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes_left = _MOST_NODES
        self.depth = 0
        self.gave_up = False

    def problem(self, node: Node, path: KeyPath, text: str) -> None:
        self.document.problems.append(Problem(node.start_mark.line + 1, path, text))

    def value(self, node: Node, path: KeyPath) -> Value:
        self.nodes_left -= 1
        # The depth of the calls, not of the path: `<<` descends without a new key, in a loop if the file says so.
        if self.depth > _DEEPEST or self.nodes_left < 0:
            if not self.gave_up:
                self.problem(node, (), "nested too deeply, or too many aliases")
            self.gave_up = True
            return None
        self.depth += 1
        try:
            return self.plain_value(node, path)
        finally:
            self.depth -= 1

    def plain_value(self, node: Node, path: KeyPath) -> Value:
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self.document.lines.setdefault((*path, index), item.start_mark.line + 1)
            return tuple(self.value(item, (*path, index)) for index, item in enumerate(node.value))
        return self.scalar(node, path)

    def mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Value]:
        found: dict[str, Value] = {}
        merged: list[dict[str, Value]] = []
        first_lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                self.problem(key_node, path, f"found {_kind(key_node)} as a key; allowed: text")
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key_node.tag == f"{_TAG}merge":
                merged.extend(self.merged(value_node, path))
                continue
            if key in first_lines:
                self.problem(key_node, here, f"duplicate key; it stands in line {first_lines[key]} already")
                continue
            first_lines[key] = line
            self.document.lines[here] = line
            found[key] = self.value(value_node, here)
        for other in merged:
            for key, value in other.items():
                found.setdefault(key, value)
        return found

    def merged(self, node: Node, path: KeyPath) -> list[dict[str, Value]]:
        """The mappings of `<<: *defaults` or `<<: [*one, *two]`; their lines count where the key itself is absent."""
        known = dict(self.document.lines)
        sources = node.value if isinstance(node, SequenceNode) else [node]
        values = [self.value(source, path) for source in sources]
        self.document.lines.update(known)
        if not all(isinstance(value, dict) for value in values):
            self.problem(node, path, "found something else than a mapping after '<<'; allowed: a mapping")
        return [value for value in values if isinstance(value, dict)]

    def scalar(self, node: Node, path: KeyPath) -> Value:
        text = str(node.value)
        tag = str(node.tag).removeprefix(_TAG)
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() in {"true", "yes", "on", "y"}
        if tag in {"int", "float"}:
            return self.number(node, path, tag, text.replace("_", ""))
        if tag not in {"str", "timestamp", "value"}:
            self.problem(node, path, f"found the YAML tag {str(node.tag)[:60]!r}; allowed: plain values without tags")
        return text

    def number(self, node: Node, path: KeyPath, tag: str, digits: str) -> Value:
        try:
            if tag == "float":
                return float(digits.replace(".inf", "inf").replace(".nan", "nan").replace(".Inf", "inf"))
            prefix = digits.lstrip("+-")[:2].lower()
            return int(digits, {"0x": 16, "0o": 8, "0b": 2}.get(prefix, 10))
        except ValueError:
            self.problem(node, path, f"found {digits[:60]!r}, which reads as a number but is none; put it in quotes")
            return None
