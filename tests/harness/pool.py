"""A real ZFS pool on a sparse file: OpenZFS where its kernel module is loaded, else zfs-fuse (pool version 23).

A zfs-fuse daemon that already answers is used and left alone; one started here ends here. zfs-fuse can hang, so
every call has a deadline. Pool names carry the owner's pid: what a killed run left is destroyed by the next one.
Uses the standard library only, because the demo shares it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from harness.processes import CommandFailed, run, server

PREFIX = "zpbtest"
POOL_BYTES = 4 << 30
ZFS_SECONDS = 120.0


def obstacle() -> str | None:
    """Say why no pool can be made on this machine; None if one can."""
    if os.geteuid() != 0:
        return "needs root: only root may create ZFS pools"
    if _is_openzfs():
        return None
    if shutil.which("zfs-fuse") is None:
        return "needs ZFS: neither the OpenZFS module nor zfs-fuse is here (`make setup` installs zfs-fuse)"
    if not Path("/dev/fuse").exists():
        return "needs /dev/fuse, which zfs-fuse serves its pools through"
    return None


def _is_openzfs() -> bool:
    return Path("/sys/module/zfs").exists() and shutil.which("zpool") is not None


def zfs(*arguments: str) -> str:
    """Run zfs(8) and return its stdout."""
    return run(["zfs", *arguments], timeout=ZFS_SECONDS)


def zpool(*arguments: str) -> str:
    """Run zpool(8) and return its stdout."""
    return run(["zpool", *arguments], timeout=ZFS_SECONDS)


def _answers() -> bool:
    try:
        run(["zpool", "list", "-H", "-o", "name"], timeout=20)
    except CommandFailed:
        return False
    return True


@contextlib.contextmanager
def zfs_service(folder: Path) -> Iterator[str]:
    """Make zfs(8) answer for the length of the block; yields "openzfs" or "zfs-fuse"."""
    if _is_openzfs():
        yield "openzfs"
    elif _answers():
        yield "zfs-fuse"
    else:
        with server(["zfs-fuse", "--no-daemon"], log=folder / "zfs-fuse.log", ready=_answers):
            yield "zfs-fuse"


@dataclass(frozen=True)
class Dataset:
    """A mounted filesystem of the test pool."""

    name: str
    path: Path

    def snapshot(self, label: str) -> str:
        """Take a snapshot; returns its full name."""
        name = f"{self.name}@{label}"
        zfs("snapshot", name)
        return name


@dataclass(frozen=True)
class Pool:
    """A pool of this process. `kind` is "openzfs" or "zfs-fuse"."""

    name: str
    path: Path
    kind: str
    _numbers: Iterator[int] = field(default_factory=count)

    def unused_name(self, label: str = "data") -> str:
        """Return a dataset name that nothing in this run has used, for a restore to create."""
        return f"{self.name}/{label}-{next(self._numbers)}"

    def create(self, label: str = "data", **properties: str) -> Dataset:
        """Create and mount a filesystem of its own for one test."""
        name = self.unused_name(label)
        options = [word for key, value in properties.items() for word in ("-o", f"{key}={value}")]
        zfs("create", *options, name)
        return Dataset(name, self.path / name.partition("/")[2])

    def destroy(self, name: str) -> None:
        """Destroy a dataset with its snapshots and children; what a test still holds stays until the pool goes."""
        with contextlib.suppress(CommandFailed):
            zfs("destroy", "-r", "-f", name)


DatasetFactory = Callable[..., Dataset]


@contextlib.contextmanager
def pool(folder: Path, kind: str, owner: str = PREFIX) -> Iterator[Pool]:
    """Create a pool on a sparse file in `folder`, destroyed at the end of the block."""
    _destroy_orphans()
    name = f"{owner}_{os.getpid()}_{secrets.token_hex(2)}"
    image, mountpoint = folder / f"{name}.img", folder / name
    with image.open("wb") as file:
        file.truncate(POOL_BYTES)
    try:
        zpool("create", "-f", "-o", "cachefile=none", "-m", str(mountpoint), name, str(image))
        yield Pool(name, mountpoint, kind)
    finally:
        _destroy_pool(name)
        image.unlink(missing_ok=True)


def _destroy_pool(name: str) -> None:
    """Destroy a pool; zfs-fuse says 'busy' for a moment after the last file was closed."""
    deadline = time.monotonic() + 30
    while name in zpool("list", "-H", "-o", "name").split():
        try:
            zpool("destroy", "-f", name)
        except CommandFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _destroy_orphans() -> None:
    for name in zpool("list", "-H", "-o", "name").splitlines():
        owner = re.fullmatch(r"zpb[a-z]+_(\d+)_[0-9a-f]+", name)
        if owner and not Path("/proc", owner[1]).exists():
            with contextlib.suppress(CommandFailed):
                zpool("destroy", "-f", name)
