"""From pydantic's findings to lines an operator can act on: key, what was found, what is allowed.

Invariants: every finding becomes exactly one Problem; values are shown through `fields.show`, so secrets never are.
An unknown key always shows the nearest known one (difflib), or all of them.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from zfs_push_backups.config.document import Document, KeyPath, Problem
from zfs_push_backups.config.fields import URL_ALLOWED, looks_like_machine, show
from zfs_push_backups.config.models import FileModel
from zfs_push_backups.names import nearest

_ALLOWED: Final[Mapping[str, str]] = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "tuple_type": "a list",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
}
_FALLBACK_HINT: Final = "see the package's examples/config.yaml"
MACHINE_HINT: Final = (
    "a host is a store, not a machine to log in to: write under hosts: `{name}: {{url: s3://bucket/prefix}}`"
    " (or file:///mnt/folder)"
)


def problems_of(error: ValidationError, document: Document) -> list[Problem]:
    """One Problem for each finding."""
    return [_problem(finding, document) for finding in error.errors(include_url=False)]


def value_at(data: object, path: KeyPath) -> object:
    """The value that stands at `path`, or None."""
    for step in path:
        if isinstance(data, dict):
            data = data.get(step)
        elif isinstance(data, tuple) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return None
    return data


def _problem(finding: Any, document: Document) -> Problem:
    path: KeyPath = tuple(step for step in finding["loc"] if step != "[key]")
    return Problem(document.line_of(path), path, _text(finding, path, document))


def _text(finding: Any, path: KeyPath, document: Document) -> str:
    kind = str(finding["type"])
    context = finding.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(str(path[-1]), known_keys(path[:-1]))
    if kind == "missing":
        return _missing(path)
    if kind == "value_error":
        return str(context["error"])
    return f"found {_wrong(kind, show(value_at(document.data, path)), context)}"


def _wrong(kind: str, found: str, context: Mapping[str, Any]) -> str:
    if kind == "literal_error":
        return f"{found}; allowed: {context['expected']}"
    if kind == "greater_than_equal":
        return f"{found}; allowed: {context['ge']} or more"
    if kind == "too_short":
        return f"an empty list; allowed: at least {context['min_length']} entry"
    if allowed := _ALLOWED.get(kind):
        quotes = (
            " (put it in quotes)" if kind == "string_type" and found.startswith(("the number", "true", "f")) else ""
        )
        return f"{found}; allowed: {allowed}{quotes}"
    return f"{found}; not allowed here, {_FALLBACK_HINT}"


def _missing(path: KeyPath) -> str:
    if len(path) == 3 and path[0] == "hosts" and path[2] == "url":  # noqa: PLR2004
        name = str(path[1])
        if looks_like_machine(name):
            return f"{name!r} has no url and looks like a machine; {MACHINE_HINT.format(name=name)}"
        return f"missing; allowed: {URL_ALLOWED}"
    return "missing; it must be given"


def _unknown_key(key: str, known: tuple[str, ...]) -> str:
    if near := nearest(key, known):
        return f"unknown key; did you mean {near!r}?"
    return f"unknown key; allowed: {', '.join(known)}"


def known_keys(path: KeyPath) -> tuple[str, ...]:
    """The keys allowed in the section at `path`."""
    current: Any = FileModel
    for step in path:
        model = _model_in(current)
        if model is None:
            current = _item_type(current)
        else:
            info = model.model_fields.get(str(step))
            current = info.annotation if info else None
    model = _model_in(current)
    return tuple(model.model_fields) if model else ()


def _plain(annotation: Any) -> Any:
    """The annotation without Annotated and Optional."""
    while True:
        origin = typing.get_origin(annotation)
        arguments = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        if origin is typing.Annotated or (origin in {types.UnionType, typing.Union} and len(arguments) == 1):
            annotation = arguments[0]
        else:
            return annotation


def _model_in(annotation: Any) -> type[BaseModel] | None:
    plain = _plain(annotation)
    return plain if isinstance(plain, type) and issubclass(plain, BaseModel) else None


def _item_type(annotation: Any) -> Any:
    plain = _plain(annotation)
    arguments = typing.get_args(plain)
    if not arguments:
        return None
    return arguments[1] if typing.get_origin(plain) is dict else arguments[0]
