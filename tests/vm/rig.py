"""A configuration with a directory host and a bucket, and the installed command; exact comparisons of what returns."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from harness.pool import Pool, zfs
from harness.program import Ended, Place, folder_place, program, server_place
from harness.recipe import Recipe, read_recipe
from harness.s3 import S3Server
from harness.trees import inventory

HOSTS = ("folder", "bucket")
EVERYTHING = os.environ.get("ZPB_VM_TESTS") == "all"
# "leave" in the first of two machines, "arrive" in the second, empty in one alone.
CROSSING = os.environ.get("ZPB_VM_CROSSING", "")
SOURCE = "vm-machine"
Test = TypeVar("Test", bound=Callable[..., None])


def by_name(test: Test) -> Test:
    """Mark a test that runs only where it is named: it measures, and needs the processors for itself."""
    vars(test)["only_by_name"] = True
    return test


def whole(test: Test) -> Test:
    """Mark a test that runs in the whole only: the sample has minutes."""
    vars(test)["only_in_the_whole"] = True
    return test


class Rig:
    """One configuration; `place` gives a foreign eye on a host."""

    def __init__(self, folder: Path, pool: Pool, server: S3Server, identity: Path, recipient: str) -> None:
        self.folder, self.pool, self.server = folder, pool, server
        self.identity, self.recipient = identity, recipient
        self.store, self.config, self.state = folder / "store", folder / "config.yaml", folder / "state"
        self.store.mkdir(exist_ok=True)
        self.environment: Mapping[str, str] = server.environment()
        self.configure([])

    def configure(self, tasks: Sequence[Mapping[str, Any]], **host: Any) -> None:
        """Write the configuration (JSON is YAML); `host` goes to both hosts."""
        bucket = {"url": self.place("bucket").url, "endpoint": self.server.endpoint, "region": self.server.region}
        common = {"part_size": "4MiB", **host}
        content = {
            "source": SOURCE,
            "base_dir": str(self.state),
            "recipients": [self.recipient],
            "identity": str(self.identity),
            "hosts": {"folder": {"url": self.store.as_uri(), **common}, "bucket": {**bucket, **common}},
            "tasks": list(tasks),
        }
        self.config.write_text(json.dumps(content))

    def task(self, dataset: str, name: str = "task", **more: Any) -> dict[str, Any]:
        """A task for a whole dataset name."""
        pool, _, rest = dataset.partition("/")
        return {"name": name, "pool": pool, "dataset": rest, **more}

    def place(self, host: str) -> Place:
        """Where a host stores."""
        return folder_place(self.store) if host == "folder" else server_place(self.server, f"vm/{self.folder.name}")

    def run(self, command: str, *words: str | Path, host: str = "folder", wrapper: Sequence[str] = ()) -> Ended:
        """Run one command against a host."""
        given = (command, "--config", self.config, "--host", host, *words)
        return program(*given, environment=self.environment, wrapper=wrapper)

    def push(self, *words: str | Path, host: str = "folder") -> list[dict[str, Any]]:
        """Push; returns the results by which each dataset ended."""
        done = self.run("push", "--json", *words, host=host).good()
        assert "Traceback" not in done.err, done.err
        return done.results()

    def restore(self, dataset: str, *words: str | Path, host: str = "folder") -> str:
        """Restore to a new dataset, not mounted; returns its name."""
        target = self.pool.unused_name("restored")
        self.run("restore", "--dataset", dataset, "--to", target, *words, host=host).good()
        return target

    def manifests(self, host: str) -> dict[str, dict[str, Any]]:
        """Every manifest, by its key, oldest first."""
        content = self.place(host).content()
        return {key: json.loads(content[key]) for key in sorted(content) if key.startswith("manifests/")}

    def recipe(self, host: str) -> Recipe:
        """The scripts of the store's own RECOVER.md."""
        path = os.pathsep.join(["/opt/zfs-push-backups/bin", os.environ["PATH"]])
        environment = {**self.environment, "AWS_ENDPOINT_URL": self.server.endpoint, "PATH": path}
        return read_recipe(self.place(host).content()["RECOVER.md"].decode(), self.folder, environment)

    def newest(self, host: str, dataset: str) -> str:
        """The manifest's key of a dataset's newest backup."""
        return [key for key, manifest in self.manifests(host).items() if manifest["dataset"] == dataset][-1]

    def shown_properties(self, host: str, dataset: str) -> dict[str, dict[str, str]]:
        """What stock tools show of a dataset's properties: key -> value and source."""
        values: dict[str, str | Path] = {"MANIFEST": self.newest(host, dataset), "IDENTITY": self.identity}
        shown = self.recipe(host).run("directory identity", STORE=self.store, **values).done()
        properties: dict[str, dict[str, str]] = json.loads(shown)["properties"]
        return properties

    def recover(self, host: str, dataset: str) -> str:
        """Restore a dataset's newest backup with stock tools alone; returns the new dataset's name."""
        newest, place, target = self.newest(host, dataset), self.place(host), self.pool.unused_name("recovered")
        where: dict[str, str | Path] = {"STORE": self.store}
        if host == "bucket":
            where = {"BUCKET": self.server.bucket, "PREFIX": place.url.removeprefix(f"s3://{self.server.bucket}/")}
        kind = "directory" if host == "folder" else "s3"
        values = {**where, "MANIFEST": newest, "IDENTITY": self.identity, "TARGET": target}
        assert "done:" in self.recipe(host).run(f"{kind} chain", **values).done()
        return target


def get(name: str, key: str) -> str:
    """One property's value."""
    return zfs("get", "-Hp", "-o", "value", key, name).strip()


def guids(dataset: str) -> dict[str, str]:
    """The snapshots of one dataset, label -> guid."""
    names = zfs("list", "-H", "-o", "name", "-t", "snapshot", "-d", "1", dataset).splitlines()
    return {name.partition("@")[2]: get(name, "guid") for name in names}


def bookmarks(dataset: str) -> list[str]:
    """The bookmarks of one dataset."""
    return zfs("list", "-H", "-o", "name", "-t", "bookmark", "-d", "1", dataset).splitlines()


def held(snapshot: str) -> list[str]:
    """The tags that `zfs holds` shows."""
    return [line.split("\t")[1] for line in zfs("holds", "-H", snapshot).splitlines()]


def mounted(pool: Pool, name: str) -> Path:
    """Mount a dataset where its pool has it."""
    if get(name, "mounted") == "no":
        zfs("mount", name)
    return pool.path / name.partition("/")[2]


def facts(folder: Path) -> dict[str, tuple[object, ...]]:
    """What `inventory` says of a tree, and the extended attributes."""
    found = {}
    for name, about in inventory(folder).items():
        path = folder / name
        attributes = {key: os.getxattr(path, key, follow_symlinks=False) for key in _xattrs(path)}
        found[name] = (*about, tuple(sorted(attributes.items())))
    return found


def _xattrs(path: Path) -> list[str]:
    return os.listxattr(path, follow_symlinks=False)


def device(volume: str) -> Path:
    """The block device of a volume; udev names it."""
    subprocess.run(["udevadm", "settle", "--timeout", "60"], check=True)
    return Path("/dev/zvol", volume)
