"""ZFS as a table in memory: snapshots, holds and bookmarks, asked by the same argument lists as the real command.

It can crash before or after any command that changes something, which a real zfs can't be made to do at will.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zfs_push_backups.errors import ZfsError
from zfs_push_backups.zfs.capabilities import Capabilities
from zfs_push_backups.zfs.command import ZfsCommand, failure

BASELINE = Capabilities(userland="model", kernel=None)
MODERN = Capabilities(userland="model", kernel=None, bookmarks=True, holds_list=True)


class CrashError(Exception):
    """The process died here."""


@dataclass
class Snap:
    """A snapshot or bookmark."""

    name: str
    guid: int
    createtxg: int
    creation: int
    tags: set[str] = field(default_factory=set)


@dataclass
class Filesystem:
    """A dataset."""

    guid: int
    snapshots: list[Snap] = field(default_factory=list)
    bookmarks: list[Snap] = field(default_factory=list)


class ModelZfs(ZfsCommand):
    """Answers the commands that holds need."""

    def __init__(self) -> None:
        self.stopping = lambda: False
        self.datasets: dict[str, Filesystem] = {"tank": Filesystem(1)}
        self.log: list[tuple[str, ...]] = []
        self.crash_after: int | None = None

    def run(self, *arguments: str, timeout: float = 0) -> str:  # noqa: ARG002
        status, out, err = self.attempt(*arguments)
        if status:
            raise failure(arguments, err, status)
        return out

    def attempt(self, *arguments: str, timeout: float = 0) -> tuple[int, str, str]:  # noqa: ARG002
        self.log.append(arguments)
        verb, *words = arguments
        if verb in {"hold", "release", "bookmark", "destroy"}:
            self.crash()
            status, text = getattr(self, verb)(*words)
            self.crash()
            return status, "", text
        status, text = getattr(self, f"{verb}_")(*words)
        return (0, text, "") if status == 0 else (status, "", text)

    def crash(self) -> None:
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after < 0:
                raise CrashError

    def find(self, full_name: str) -> Snap | None:
        for mark, kind in (("@", "snapshots"), ("#", "bookmarks")):
            dataset, found, name = full_name.partition(mark)
            if found and dataset in self.datasets:
                return next((one for one in getattr(self.datasets[dataset], kind) if one.name == name), None)
        return None

    def hold(self, tag: str, name: str) -> tuple[int, str]:
        snap = self.find(name)
        if snap is None:
            return 1, f"cannot hold '{name}': dataset does not exist"
        if tag in snap.tags:
            return 1, f"cannot hold '{name}': tag already exists on this dataset"
        snap.tags.add(tag)
        return 0, ""

    def release(self, tag: str, name: str) -> tuple[int, str]:
        snap = self.find(name)
        if snap is None:
            return 1, f"cannot release '{tag}' from '{name}': dataset does not exist"
        if tag not in snap.tags:
            return 1, f"cannot release '{tag}' from '{name}': no such tag on this dataset"
        snap.tags.remove(tag)
        return 0, ""

    def bookmark(self, snapshot: str, name: str) -> tuple[int, str]:
        dataset, _, short = name.partition("#")
        snap = self.find(snapshot)
        if snap is None or self.find(name) is not None:
            return 1, f"cannot create bookmark '{name}': bookmark exists"
        self.datasets[dataset].bookmarks.append(Snap(short, snap.guid, snap.createtxg, snap.creation))
        return 0, ""

    def destroy(self, name: str) -> tuple[int, str]:
        assert "#" in name, name
        found = self.find(name)
        if found is None:
            return 1, f"bookmark '{name}' does not exist."
        self.datasets[name.partition("#")[0]].bookmarks.remove(found)
        return 0, ""

    def holds_(self, flag: str, *names: str) -> tuple[int, str]:
        assert flag == "-H"
        lines = []
        for name in names:
            snap = self.find(name)
            if snap is None:
                return 1, f"cannot open '{name}': dataset does not exist"
            lines += [f"{name}\t{tag}\tFri Nov 20 10:11 2026\n" for tag in sorted(snap.tags)]
        return 0, "".join(lines)

    def get_(self, flags: str, *words: str) -> tuple[int, str]:
        assert flags == "-Hp"
        if words[:2] == ("-o", "value"):
            snap = self.find(words[3])
            return (0, f"{snap.guid}\n") if snap else (1, f"cannot open '{words[3]}': dataset does not exist")
        if words[0] == "-r":
            return self.get_tree(*words[1:])
        return 0, "".join(self.rows(name, self.find(name)) for name in words[1:])

    def get_tree(self, *words: str) -> tuple[int, str]:
        deep, root, marked = words[:2] != ("-d", "1"), words[-1], "filesystem,volume,snapshot,bookmark" in words
        if root not in self.datasets:
            return 1, f"cannot open '{root}': dataset does not exist"
        out = ""
        for name, one in self.datasets.items():
            if name == root or name.startswith(f"{root}/"):
                out += f"{name}\tguid\t{one.guid}\t-\n{name}\tuserrefs\t-\t-\n"
                if deep or name == root:
                    out += "".join(self.rows(f"{name}@{snap.name}", snap) for snap in one.snapshots)
                    out += "".join(self.rows(f"{name}#{mark.name}", mark) for mark in one.bookmarks if marked)
        return 0, out

    def list_(self, *words: str) -> tuple[int, str]:
        root = words[-1]
        if root not in self.datasets:
            return 1, f"cannot open '{root}': dataset does not exist"
        return 0, f"{root}\n"

    @staticmethod
    def rows(name: str, snap: Snap | None) -> str:
        if snap is None:
            raise ZfsError(f"{name} does not exist", code="zfs.not_found")
        values = {"guid": snap.guid, "createtxg": snap.createtxg, "creation": snap.creation, "userrefs": len(snap.tags)}
        return "".join(f"{name}\t{key}\t{value}\t-\n" for key, value in values.items())
