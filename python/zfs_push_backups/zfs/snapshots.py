"""Snapshots of one dataset: listing with guids, and taking one of a tree in a single atomic command.

Invariants: identity is the guid, the name is for people; order is createtxg. Names may hold spaces, so columns are
split at tabs only. A snapshot that vanishes between the two commands of a listing makes it start over.
"""

from __future__ import annotations

from dataclasses import dataclass

from zfs_push_backups.errors import ZfsError
from zfs_push_backups.zfs.command import ZfsCommand, failure
from zfs_push_backups.zfs.datasets import not_found, parse_get
from zfs_push_backups.zfs.names import check_dataset, nearest

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


def list_snapshots(zfs: ZfsCommand, dataset: str) -> list[Snapshot]:
    """Every snapshot of this dataset (not of its children), oldest first."""
    check_dataset(dataset)
    for attempt in range(1, LISTING_ATTEMPTS + 1):
        try:
            return _list_once(zfs, dataset)
        except ZfsError as error:
            if error.code != "zfs.not_found":
                raise
            if attempt == LISTING_ATTEMPTS:
                raise not_found(zfs, dataset, error) from error
    raise AssertionError


def list_bookmarks(zfs: ZfsCommand, dataset: str) -> list[Snapshot]:
    """Every bookmark of this dataset, oldest first; each has the guid of the snapshot it was made of."""
    out = zfs.run("list", "-H", "-o", "name", "-t", "bookmark", "-r", "-d", "1", check_dataset(dataset))
    return _describe(zfs, dataset, "#", out)


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


def _list_once(zfs: ZfsCommand, dataset: str) -> list[Snapshot]:
    out = zfs.run("list", "-H", "-o", "name", "-t", "snapshot", "-r", "-d", "1", dataset)
    return _describe(zfs, dataset, "@", out)


def _describe(zfs: ZfsCommand, dataset: str, mark: str, out: str) -> list[Snapshot]:
    names = [line for line in out.split("\n") if line.startswith(dataset + mark)]
    snapshots: list[Snapshot] = []
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        arguments = ("get", "-Hp", "guid,createtxg,creation", *batch)
        status, text, err = zfs.attempt(*arguments)
        if status != 0:
            raise failure(arguments, err, status)
        snapshots.extend(_parse(text, dataset, name) for name in batch)
    return sorted(snapshots, key=lambda snapshot: snapshot.createtxg)


def _parse(text: str, dataset: str, full_name: str) -> Snapshot:
    found = parse_get("\n".join(line for line in text.split("\n") if line.startswith(full_name + "\t")), full_name)
    try:
        guid, txg, creation = (int(found[key].value) for key in ("guid", "createtxg", "creation"))
    except (KeyError, ValueError) as error:
        raise ZfsError(f"`zfs get` gave no guid, createtxg or creation for {full_name}") from error
    return Snapshot(dataset, full_name[len(dataset) + 1 :], guid, txg, creation)
