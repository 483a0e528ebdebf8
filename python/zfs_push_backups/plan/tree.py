"""Which datasets a recursive task covers.

Invariants: parents come before children; an excluded dataset takes all below it along; nothing outside the root is ever
covered. A pattern that matched nothing is reported, since a typo there silently loses data or sends too much.
Rationale: `*`, `?` and `[abc]` stay within one name and `**` crosses names, as in .gitignore: an exclusion that reaches
too far is the one mistake that a backup cannot undo.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from zfs_push_backups.errors import ConfigurationError
from zfs_push_backups.names import instead
from zfs_push_backups.record import Record

ROOT_PATTERN: Final = "."


class Tree(Record):
    """The datasets of a task (whole names, parents first), those left out, and patterns that matched nothing."""

    datasets: tuple[str, ...]
    left_out: tuple[str, ...]
    unmatched: tuple[str, ...]


def expand(root: str, existing: Iterable[str], include: Iterable[str] = (), exclude: Iterable[str] = ()) -> Tree:
    """The tree of a recursive task. `existing` are the filesystems and volumes of the machine, or of the root's tree.

    Patterns are for names relative to the root; `.` is the root itself. With `include`, only what it matches, and all
    below, is covered. Raises ConfigurationError if the root doesn't exist or nothing is left.
    """
    names = set(existing)
    if root not in names:
        raise ConfigurationError(f"the dataset {root} does not exist", hint=instead(root, names, "datasets"))
    below = sorted((name for name in names if name == root or name.startswith(f"{root}/")), key=_by_component)
    wanted, unwanted = tuple(include), tuple(exclude)
    hit: set[str] = set()
    covered = []
    for name in below:
        relative = name[len(root) + 1 :]
        excluded = _hits(relative, unwanted, hit)
        included = _hits(relative, wanted, hit) or not wanted
        if included and not excluded:
            covered.append(name)
    if not covered:
        raise ConfigurationError(
            f"include and exclude leave nothing of {root} to back up",
            hint=f"its {len(below)} datasets are all left out: correct the patterns",
        )
    unmatched = tuple(pattern for pattern in (*wanted, *unwanted) if pattern not in hit)
    chosen = set(covered)
    return Tree(tuple(covered), tuple(name for name in below if name not in chosen), unmatched)


def parents_first(names: Iterable[str]) -> tuple[str, ...]:
    """The names in an order in which they can be received."""
    return tuple(sorted(names, key=_by_component))


def matches(relative: str, pattern: str) -> bool:
    """Whether `pattern` matches the name relative to the root ("" is the root, whose pattern is `.`)."""
    if not relative:
        return pattern == ROOT_PATTERN
    return _compiled(pattern).fullmatch(relative) is not None


def _by_component(name: str) -> list[str]:
    return name.split("/")


def _hits(relative: str, patterns: tuple[str, ...], hit: set[str]) -> bool:
    """Whether a pattern matches the name or one above it, the root apart; notes which did."""
    steps = relative.split("/")
    above = ["/".join(steps[:count]) for count in range(1, len(steps) + 1)]
    found = {pattern for pattern in patterns for name in above if matches(name, pattern)}
    hit |= found
    return bool(found)


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    """`**/` is any number of names (none as well), `**` anything, `*` and `?` stay within a name."""
    out, rest = "", pattern.strip("/")
    while rest:
        if rest.startswith("**/"):
            out, rest = out + "(?:[^/]+/)*", rest[3:]
        elif rest.startswith("/**") and len(rest) == len("/**"):
            out, rest = out + "/.+", ""
        elif rest.startswith("**"):
            out, rest = out + ".*", rest[2:]
        elif rest[0] in "*?":
            out, rest = out + ("[^/]*" if rest[0] == "*" else "[^/]"), rest[1:]
        elif (group := re.match(r"\[(!?)([^\]/]+)\]", rest)) is not None:
            out, rest = out + _one_of(group[2], negated=bool(group[1])), rest[group.end() :]
        else:
            out, rest = out + re.escape(rest[0]), rest[1:]
    return re.compile(out, re.DOTALL)


def _one_of(letters: str, *, negated: bool) -> str:
    """`[a-z_]` as a regular expression; letters that form no range stand for themselves."""
    inside = re.sub(r"([\\^\[&~|])", r"\\\1", letters)
    try:
        re.compile(f"[{inside}]")
    except re.error:
        inside = re.escape(letters)
    return f"[^/{inside}]" if negated else f"[{inside}]"
