"""Holds and bookmarks: `zfs hold`, `zfs release`, who holds what, and all of it in few commands.

Invariants: a hold that is there already and one that is gone already are no failures; one snapshot a command, because
a command over several does nothing at all when one of them fails. Words of zfs are read only where the exit status says
too little: zfs-fuse and OpenZFS share the phrases used here.
"""

from __future__ import annotations

import os
import pwd
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import field
from datetime import datetime
from typing import Final

from zfs_push_backups.errors import ZfsError
from zfs_push_backups.record import Record
from zfs_push_backups.zfs.command import ZfsCommand, failure, without_names
from zfs_push_backups.zfs.datasets import exists
from zfs_push_backups.zfs.names import check_dataset
from zfs_push_backups.zfs.snapshots import BATCH, LISTING_ATTEMPTS, Snapshot, in_order

_SURVEYED: Final = "guid,createtxg,creation,userrefs"
_NOT_ABOUT_RIGHTS: Final = frozenset({"zfs.not_found", "zfs.not_running"})


class Surveyed(Record):
    """One dataset with its own guid, its snapshots and bookmarks, oldest first, and each snapshot's holds by guid."""

    name: str
    guid: str | None
    snapshots: tuple[Snapshot, ...]
    bookmarks: tuple[Snapshot, ...] = ()
    references: dict[int, int] = field(default_factory=dict)


def hold(zfs: ZfsCommand, tag: str, snapshot: str) -> bool:
    """Hold one snapshot; False if this tag holds it already. Raises `ZfsError` with the rights that it takes."""
    arguments = ("hold", tag, snapshot)
    status, _, err = zfs.attempt(*arguments)
    if status == 0:
        return True
    if "tag already exists" in without_names(err):
        return False
    error = failure(arguments, err, status)
    if error.code in _NOT_ABOUT_RIGHTS:
        raise error
    allow = f"zfs allow {_user()} hold,release {snapshot.partition('@')[0]}"
    raise ZfsError(error.message, hint=f"nothing is sent unheld; as root, or with: {allow}", code=error.code)


def release(zfs: ZfsCommand, tag: str, snapshot: str) -> bool:
    """Release one snapshot; False if this tag doesn't hold it, or it is gone."""
    arguments = ("release", tag, snapshot)
    status, _, err = zfs.attempt(*arguments)
    if status == 0:
        return True
    error = failure(arguments, err, status)
    if "no such tag" in without_names(err) or error.code == "zfs.not_found":
        return False
    raise error


def guid_of(zfs: ZfsCommand, name: str) -> int | None:
    """The guid of a snapshot or bookmark, None if it isn't there."""
    status, out, _ = zfs.attempt("get", "-Hp", "-o", "value", "guid", name)
    text = out.strip()
    return int(text) if status == 0 and text.isdigit() else None


def holders(zfs: ZfsCommand, snapshots: Sequence[str]) -> dict[str, dict[str, datetime | None]]:
    """By snapshot: the tags that hold it, and since when. For a zfs that has `zfs holds` only."""
    found: dict[str, dict[str, datetime | None]] = {}
    for start in range(0, len(snapshots), BATCH):
        batch = snapshots[start : start + BATCH]
        status, out, err = zfs.attempt("holds", "-H", *batch)
        if status != 0:
            raise failure(("holds", "-H", *batch), err, status)
        for line in out.split("\n"):
            name, _, rest = line.partition("\t")
            tag, _, since = rest.rpartition("\t")
            if tag:
                found.setdefault(name, {})[tag] = _moment(since)
    return found


def survey(zfs: ZfsCommand, root: str, *, tree: bool, bookmarks: bool) -> dict[str, Surveyed]:
    """The dataset, or the whole tree below it, with all snapshots; empty if there is no such dataset.

    `bookmarks`: this zfs has them, and they are wanted as well. Raises `ZfsError` when zfs can't be asked.
    """
    check_dataset(root)
    depth = () if tree else ("-d", "1")
    types = ("-t", "filesystem,volume,snapshot,bookmark") if bookmarks else ()
    arguments = ("get", "-Hp", "-r", *depth, *types, _SURVEYED, root)
    status, out, err = zfs.attempt(*arguments)
    for _ in range(LISTING_ATTEMPTS):
        if status == 0:
            break
        # Only a snapshot that vanished meanwhile is worth another try.
        if failure(arguments, err, status).code != "zfs.not_found":
            break
        if not exists(zfs, root):
            return {}
        status, out, err = zfs.attempt(*arguments)
    if status != 0:
        raise failure(arguments, err, status)
    found = parse_survey(out)
    return found if tree else {name: one for name, one in found.items() if name == root}


def parse_survey(text: str) -> dict[str, Surveyed]:
    """The output of `zfs get` for datasets, snapshots and bookmarks; what vanished half-way is left out."""
    values: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for line in text.split("\n"):
        columns = line.split("\t")
        if len(columns) == 4:  # noqa: PLR2004  # name, property, value, source
            values[columns[0]][columns[1]] = columns[2]
    points: dict[str, defaultdict[str, list[Snapshot]]] = {"@": defaultdict(list), "#": defaultdict(list)}
    references: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for full_name, one in values.items():
        mark = "@" if "@" in full_name else "#"
        dataset, _, name = full_name.partition(mark)
        numbers = [one.get(key, "") for key in ("guid", "createtxg", "creation")]
        if name and all(number.isdigit() for number in numbers):
            guid, createtxg, creation = map(int, numbers)
            points[mark][dataset].append(Snapshot(dataset, name, guid, createtxg, creation))
            if mark == "@":
                count = one.get("userrefs", "")
                references[dataset][guid] = int(count) if count.isdigit() else 0
    return {
        name: Surveyed(
            name,
            one.get("guid"),
            tuple(in_order(points["@"][name])),
            tuple(in_order(points["#"][name])),
            references[name],
        )
        for name, one in values.items()
        if "@" not in name and "#" not in name
    }


def bookmark(zfs: ZfsCommand, snapshot: str, name: str) -> None:
    """Make a bookmark of a snapshot in its dataset."""
    zfs.run("bookmark", snapshot, f"{snapshot.partition('@')[0]}#{name}")


def destroy_bookmark(zfs: ZfsCommand, dataset: str, name: str) -> None:
    """Destroy a bookmark; one that is gone already is no failure."""
    arguments = ("destroy", f"{dataset}#{name}")
    status, _, err = zfs.attempt(*arguments)
    if status != 0 and (error := failure(arguments, err, status)).code != "zfs.not_found":
        raise error


def _moment(text: str) -> datetime | None:
    """The time that `zfs holds` prints, in the machine's zone; None where it can't be read."""
    try:
        return datetime.strptime(" ".join(text.split()), "%a %b %d %H:%M %Y").astimezone()
    except ValueError:
        return None


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
