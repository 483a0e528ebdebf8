"""Dataset and snapshot names as people type them, checked before they can reach a command line.

Invariant: a name that passes here can't be taken for an option and has no empty component; whether zfs likes its
characters is for zfs to say, since the permitted set differs between versions.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import UsageError

MAX_NAME_BYTES = 255


def check_dataset(name: str) -> str:
    """Returns `name` if it can be a dataset's name; raises `UsageError` saying what is wrong with it."""
    _check(name, "dataset")
    for mark, meaning in (("@", "a snapshot"), ("#", "a bookmark")):
        if mark in name:
            raise UsageError(f"'{name}' names {meaning}, not a dataset", hint=f"leave out '{mark}' and what follows")
    return name


def split_snapshot(name: str) -> tuple[str, str]:
    """Splits `pool/dataset@snapshot`; raises `UsageError` when one half is missing."""
    dataset, mark, snapshot = name.partition("@")
    if not mark or not dataset or not snapshot or "@" in snapshot:
        raise UsageError(f"'{name}' isn't a snapshot's name", hint="write POOL/DATASET@SNAPSHOT")
    _check(name, "snapshot")
    check_dataset(dataset)
    if "/" in snapshot:
        raise UsageError(f"'{name}' isn't a snapshot's name: '/' after '@'", hint="write POOL/DATASET@SNAPSHOT")
    return dataset, snapshot


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The candidate that `name` was most likely meant to be, or an empty string."""
    import difflib

    found = difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.5)
    return found[0] if found else ""


def _check(name: str, kind: str) -> None:
    if not name or any(not part for part in name.split("@")[0].split("/")):
        raise UsageError(f"'{name}' isn't a {kind}'s name: it has an empty component", hint="write POOL/DATASET")
    if name.startswith("-"):
        raise UsageError(f"'{name}' isn't a {kind}'s name: it begins with '-'", hint="name the pool first")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise UsageError(f"{name!r} isn't a {kind}'s name: it holds a control character")
    length = len(name.encode("utf-8", "surrogateescape"))
    if length > MAX_NAME_BYTES:
        raise UsageError(f"a {kind}'s name has at most {MAX_NAME_BYTES} bytes, this one has {length}: {name[:60]}...")
