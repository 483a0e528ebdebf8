"""Records do what frozen dataclasses do: each promise is asked of both."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, replace
from typing import Any, Generic, TypeVar

import pytest

from zfs_push_backups.record import Record

T = TypeVar("T")


class OurPoint(Record):
    """Ours."""

    name: str
    guid: int = 0
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TheirPoint:
    """The same, by the standard library."""

    name: str
    guid: int = 0
    tags: list[str] = field(default_factory=list)


class OurOptions(Record, kw_only=True):
    """Ours."""

    host: str = "a"
    level: int

    def __post_init__(self) -> None:
        """Refuse."""
        if self.level < 0:
            raise ValueError("below zero")


@dataclass(frozen=True, kw_only=True)
class TheirOptions:
    """The same, by the standard library."""

    host: str = "a"
    level: int

    def __post_init__(self) -> None:
        """Refuse."""
        if self.level < 0:
            raise ValueError("below zero")


class OurMore(OurOptions, kw_only=True):
    """A subclass."""

    more: tuple[int, ...] = ()


class OurBox(Record, Generic[T]):
    """Of something."""

    content: T


POINTS = pytest.mark.parametrize("point", [OurPoint, TheirPoint])
OPTIONS = pytest.mark.parametrize("options", [OurOptions, TheirOptions])


@POINTS
def test_values_come_by_position_by_name_and_by_default(point: Any) -> None:
    made = point("a", tags=["x"])
    assert (made.name, made.guid, made.tags) == ("a", 0, ["x"])
    assert point("a").tags is not point("a").tags
    assert repr(made).removeprefix(type(made).__name__) == "(name='a', guid=0, tags=['x'])"
    assert asdict(made) == {"name": "a", "guid": 0, "tags": ["x"]}
    assert dataclasses.is_dataclass(made)
    match made:
        case OurPoint(name, guid) | TheirPoint(name, guid):
            assert (name, guid) == ("a", 0)
        case _:
            pytest.fail("no match")


@POINTS
@pytest.mark.parametrize(
    ("given", "named"), [((), {}), (("a", 1, [], 2), {}), (("a",), {"name": "b"}), (("a",), {"gid": 1})]
)
def test_what_is_missing_too_much_twice_or_unknown_is_refused(
    point: Any, given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        point(*given, **named)


@POINTS
def test_nothing_changes_but_a_copy(point: Any) -> None:
    made = point("a", 1)
    with pytest.raises(FrozenInstanceError):
        made.name = "b"
    with pytest.raises(FrozenInstanceError):
        made.other = "b"
    with pytest.raises(FrozenInstanceError):
        del made.name
    changed = replace(made, guid=2)
    assert (made.guid, changed.guid, changed.tags is made.tags) == (1, 2, True)
    with pytest.raises(TypeError):
        replace(made, gid=2)
    assert copy.deepcopy(made) == copy.copy(made) == pickle.loads(pickle.dumps(made)) == made  # noqa: S301


@POINTS
def test_only_the_same_values_of_the_same_class_are_equal(point: Any) -> None:
    assert point("a", 1, []) == point("a", guid=1)
    assert point("a", 1) != point("a", 2)
    assert OurPoint("a") != TheirPoint("a")
    assert OurPoint("a") != ("a", 0, [])
    with pytest.raises(TypeError):
        hash(point("a"))


@OPTIONS
def test_by_name_only(options: Any) -> None:
    assert options(level=1) == options(level=1, host="a")
    assert hash(options(level=1)) == hash(options(host="a", level=1))
    assert len({options(level=1), options(host="a", level=1), options(level=2)}) == 2
    with pytest.raises(TypeError):
        options("a", level=1)
    with pytest.raises(TypeError):
        options(host="a")
    with pytest.raises(ValueError, match="below zero"):
        options(level=-1)


def test_a_subclass_has_the_fields_of_both() -> None:
    assert repr(OurMore(level=1, more=(2,))) == "OurMore(host='a', level=1, more=(2,))"
    assert OurMore(level=1) != OurOptions(level=1)
    with pytest.raises(ValueError, match="below zero"):
        OurMore(level=-1)


def test_generic_records_hold_what_they_are_of() -> None:
    assert OurBox[int](3).content == 3
    assert OurBox("x") == OurBox[str]("x")
