"""Snapshots of one dataset: listing with guids, and taking one of a tree in a single atomic command.

Invariants: identity is the guid, the name is for people; order is createtxg. Names may hold spaces, so columns are
split at tabs only. A zfs without `list -p` takes two commands for a listing; a snapshot that vanishes in between makes
it start over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zfs_push_backups.errors import ZfsError
from zfs_push_backups.zfs.command import ZfsCommand, failure
from zfs_push_backups.zfs.datasets import not_found, parse_get
from zfs_push_backups.zfs.names import check_dataset, nearest

if TYPE_CHECKING:
    from zfs_push_backups.zfs.capabilities import Capabilities

BATCH = 200
LISTING_ATTEMPTS = 3


@dataclass(frozen=True)
class Snapshot:
    """One snapshot; `creation` in Unix seconds."""

    dataset: str
    name: str
    guid: int
    createtxg: int
    creation: int

    @property
    def full_name(self) -> str:
        """`pool/dataset@snapshot`, as zfs takes it."""
        return f"{self.dataset}@{self.name}"


def list_points(zfs: ZfsCommand, dataset: str, capabilities: Capabilities) -> tuple[list[Snapshot], list[Snapshot]]:
    """The snapshots of this dataset (not of its children) and its bookmarks, both oldest first.

    Each bookmark has the guid of the snapshot it was made of. Raises `ZfsError` when zfs can't be asked.
    """
    check_dataset(dataset)
    for attempt in range(1, LISTING_ATTEMPTS + 1):
        try:
            if not (capabilities.list_parsable or capabilities.bookmarks):
                return _list_by_name(zfs, dataset), []
            return _list(zfs, dataset, "snapshot,bookmark" if capabilities.bookmarks else "snapshot")
        except ZfsError as error:
            if error.code != "zfs.not_found":
                raise
            if attempt == LISTING_ATTEMPTS:
                raise not_found(zfs, dataset, error) from error
    raise AssertionError


def in_order(points: Iterable[Snapshot]) -> list[Snapshot]:
    """The same, oldest first."""
    return sorted(points, key=lambda point: point.createtxg)


def identity(zfs: ZfsCommand, dataset: str, name: str) -> tuple[str | None, int | None]:
    """The dataset's guid and the snapshot's createtxg, as they are now; None for what isn't there."""
    full_name = f"{check_dataset(dataset)}@{name}"
    _, out, _ = zfs.attempt("get", "-Hp", "-o", "name,property,value", "guid,createtxg", dataset, full_name)
    found = {tuple(line.split("\t")[:2]): line.rpartition("\t")[2] for line in out.split("\n")}
    txg = found.get((full_name, "createtxg"), "")
    return found.get((dataset, "guid")), int(txg) if txg.isdigit() else None


def find(snapshots: list[Snapshot], dataset: str, name: str) -> Snapshot:
    """The snapshot of this name; raises `ZfsError` with the nearest one."""
    for snapshot in snapshots:
        if snapshot.name == name:
            return snapshot
    near = nearest(name, [snapshot.name for snapshot in snapshots])
    if near:
        hint = f"did you mean {dataset}@{near}?"
    else:
        hint = "it has " + (f"{len(snapshots)} others: zfs list -t snapshot {dataset}" if snapshots else "no snapshots")
    raise ZfsError(f"snapshot {dataset}@{name} does not exist", hint=hint, code="zfs.not_found")


def create(zfs: ZfsCommand, dataset: str, name: str, *, recursive: bool) -> None:
    """Takes one snapshot, of the whole tree at one instant if `recursive`."""
    flags = ("-r",) if recursive else ()
    zfs.run("snapshot", *flags, f"{check_dataset(dataset)}@{name}")


def _list(zfs: ZfsCommand, dataset: str, types: str) -> tuple[list[Snapshot], list[Snapshot]]:
    """All in one command. Every zfs that has bookmarks knows it."""
    out = zfs.run("list", "-Hp", "-o", "guid,createtxg,creation,name", "-t", types, "-r", "-d", "1", dataset)
    found: dict[str, list[Snapshot]] = {f"{dataset}@": [], f"{dataset}#": []}
    for line in out.split("\n"):
        *numbers, full_name = line.split("\t", 3)
        points = found.get(full_name[: len(dataset) + 1])
        if points is not None:
            points.append(_point(dataset, full_name, numbers))
    snapshots, bookmarks = map(in_order, found.values())
    return snapshots, bookmarks


def _list_by_name(zfs: ZfsCommand, dataset: str) -> list[Snapshot]:
    out = zfs.run("list", "-H", "-o", "name", "-t", "snapshot", "-r", "-d", "1", dataset)
    names = [line for line in out.split("\n") if line.startswith(f"{dataset}@")]
    snapshots: list[Snapshot] = []
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        arguments = ("get", "-Hp", "guid,createtxg,creation", *batch)
        status, text, err = zfs.attempt(*arguments)
        if status != 0:
            raise failure(arguments, err, status)
        snapshots.extend(_parse(text, dataset, name) for name in batch)
    return in_order(snapshots)


def _parse(text: str, dataset: str, full_name: str) -> Snapshot:
    found = parse_get("\n".join(line for line in text.split("\n") if line.startswith(full_name + "\t")), full_name)
    numbers = [found[key].value for key in ("guid", "createtxg", "creation") if key in found]
    return _point(dataset, full_name, numbers)


def _point(dataset: str, full_name: str, numbers: Sequence[str]) -> Snapshot:
    try:
        guid, txg, creation = map(int, numbers)
    except ValueError as error:
        raise ZfsError(f"zfs gave no guid, createtxg or creation for {full_name}") from error
    return Snapshot(dataset, full_name[len(dataset) + 1 :], guid, txg, creation)
