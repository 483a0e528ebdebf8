"""Names: what ZFS allows (the rules of zfs(8) and zpool(8)), what locks are called, what an unknown one probably meant.

Invariants: pure; a name that passes is never taken for an option by a command, and fits ZFS's limit of 255 bytes.
Rationale: it lies beside `errors` because the configuration, the planner and the zfs commands all need the same answer.
Errors are ValueError with one exact line, so that each caller can say in which file, option or store the name stood.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final

LONGEST_NAME_BYTES: Final = 255
_MOST_SHOWN: Final = 10
_ALLOWED: Final = "letters, digits, '-', '_', '.', ':' and blanks"
_FORBIDDEN: Final = re.compile(r"[^A-Za-z0-9_.: -]")
_NOT_IN_LOCK_NAMES: Final = re.compile(r"[^A-Za-z0-9.-]")
_RESERVED_POOLS: Final = re.compile(r"(?:mirror|raidz|draid|spare).*|log|c[0-9].*")


def check_component(component: str, kind: str) -> str:
    """One component (`kind`: pool, dataset, snapshot), unchanged. Raises ValueError."""
    if not component:
        raise ValueError(f"the {kind} name has an empty component")
    if component in {".", ".."}:
        raise ValueError(f"the {kind} name has the component {component!r}, which ZFS does not allow")
    if bad := _FORBIDDEN.search(component):
        raise ValueError(f"the {kind} name {component[:255]!r} contains {bad[0]!r}; allowed: {_ALLOWED}")
    if len(component) > LONGEST_NAME_BYTES:
        raise ValueError(f"the {kind} name has {len(component)} bytes; allowed: at most {LONGEST_NAME_BYTES}")
    return component


def check_pool_name(name: str) -> str:
    """A pool's name, unchanged. Raises ValueError."""
    check_component(name, "pool")
    if not name[0].isalpha():
        raise ValueError(f"the pool name {name!r} begins with {name[0]!r}; allowed: a letter first")
    if _RESERVED_POOLS.fullmatch(name):
        raise ValueError(f"the pool name {name!r} is reserved by ZFS")
    return name


def check_dataset_name(name: str) -> str:
    """A whole dataset name such as `tank/vm/disk`, unchanged. Raises ValueError."""
    pool, *rest = name.split("/")
    check_pool_name(pool)
    for component in rest:
        check_component(component, "dataset")
    if len(name) > LONGEST_NAME_BYTES:
        raise ValueError(f"the dataset name has {len(name)} bytes; allowed: at most {LONGEST_NAME_BYTES}")
    return name


def check_snapshot_name(name: str) -> str:
    """A whole snapshot name such as `tank/vm@daily`, unchanged. Raises ValueError."""
    dataset, at, snapshot = name.partition("@")
    if not at:
        raise ValueError(f"{name[:255]!r} names no snapshot; allowed: POOL/DATASET@SNAPSHOT")
    check_dataset_name(dataset)
    check_component(snapshot, "snapshot")
    if len(name) > LONGEST_NAME_BYTES:
        raise ValueError(f"the snapshot name has {len(name)} bytes; allowed: at most {LONGEST_NAME_BYTES}")
    return name


def lock_component(name: str) -> str:
    """The part of a lock's name that stands for a host: all but letters, digits, dot and hyphen becomes a hyphen."""
    return _NOT_IN_LOCK_NAMES.sub("-", name)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or an empty string."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def instead(wanted: str, known: Iterable[str], what: str) -> str:
    """The hint after an unknown name: the nearest one, and all there are (at most ten). `what` is their plural."""
    names = sorted(known)
    if not names:
        return f"there are no {what}"
    near = nearest(wanted, names)
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    guess = f"did you mean {near!r}? " if near else ""
    return f"{guess}the {what} are: {', '.join(names[:_MOST_SHOWN])}{more}"
