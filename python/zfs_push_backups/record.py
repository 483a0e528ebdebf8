"""Frozen records: dataclasses whose methods are shared, instead of compiled for each class at every start.

A `dataclass(frozen=True)` compiles six methods; for all of the package's this was a fifth of a command's start. What
there are many of at once (backups, snapshots) stays a dataclass with slots: its class costs more, each of them less.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from typing import Any, ClassVar, NoReturn, dataclass_transform


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Record:
    """A base whose subclasses are what `dataclass(frozen=True)` makes of them, `replace` and `asdict` included.

    `class Name(Record, kw_only=True)` takes its fields by name only.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    _fields: ClassVar[tuple[Field[Any], ...]]

    def __init_subclass__(cls, *, kw_only: bool = False) -> None:
        """Collect the fields. No method of its own is asked for, so none is compiled."""
        super().__init_subclass__()
        dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
        cls._fields = fields(cls)

    def __init__(self, *given: Any, **named: Any) -> None:
        """Set each field. Raises TypeError for what is missing, unknown, or given twice."""
        values, left = vars(self), iter(given)
        for one in self._fields:
            if not one.kw_only and (value := next(left, MISSING)) is not MISSING:
                if one.name in named:
                    raise TypeError(f"{type(self).__name__} was given {one.name} twice")
                values[one.name] = value
            else:
                values[one.name] = named.pop(one.name) if one.name in named else self._default(one)
        if unknown := [*named, *map(repr, left)]:
            raise TypeError(f"{type(self).__name__} has no place for {', '.join(unknown)}")
        self.__post_init__()

    def __post_init__(self) -> None:
        """Look at a record that was just made; a subclass may refuse it."""

    def _default(self, one: Field[Any]) -> Any:
        if one.default is not MISSING:
            return one.default
        if one.default_factory is not MISSING:
            return one.default_factory()
        raise TypeError(f"{type(self).__name__} lacks {one.name}")

    def __eq__(self, other: object) -> bool:
        """Whether the other is of the same class and has the same values."""
        return vars(self) == vars(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        """Hash the values. Raises TypeError where one of them can't be hashed."""
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        """The values by name."""
        shown = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__qualname__}({shown})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Records don't change."""
        raise FrozenInstanceError(f"{type(self).__name__} is frozen: {name} can't be set")

    def __delattr__(self, name: str) -> NoReturn:
        """Records don't change."""
        raise FrozenInstanceError(f"{type(self).__name__} is frozen: {name} can't be removed")
