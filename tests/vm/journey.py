"""A dataset on its way: a snapshot, the stream of an uninterrupted send of it, and pushes that are ended."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.pool import Pool, zfs
from vm.interruption import MIB, PART_BYTES, interrupt, send
from vm.rig import Rig, bookmarks, get
from vm.sources import LARGEST_MIB, Source, make

SEED = int(os.environ.get("ZPB_FAULT_SEED", random.SystemRandom().randrange(10**6)))


@dataclass
class Journey:
    """A source with its rig: the snapshot to send is taken, its reference stream written, nothing of it pushed."""

    rig: Rig
    source: Source
    base: str | None
    stream: Path
    scratch: Path
    chance: random.Random

    @property
    def parts(self) -> int:
        """About how many parts the stream becomes."""
        return self.stream.stat().st_size // (LARGEST_MIB * MIB if self.source.large else PART_BYTES)

    def interrupt(self, *ends: signal.Signals) -> int:
        """End one push after the other at borders of chance, the first behind two parts; how many the journal has."""
        stored = 0
        for left, number in zip(range(len(ends), 0, -1), ends, strict=True):
            # What passes between the look at the journal and the signal must not end the stream.
            room = max((self.parts - stored - 5) // left, 1)
            stored = interrupt(self.rig, number, self.chance.randint(1 if stored >= 2 else 2, max(room, 2)))
        return stored

    def restored_is_the_same(self) -> None:
        """Restore the chain; compare all there is."""
        target = self.rig.restore(self.source.name)
        newest = f"{self.source.name}@two" if self.base else f"{self.source.name}@one"
        assert get(f"{target}@{newest.partition('@')[2]}", "guid") == get(newest, "guid")
        assert self.source.content(target) == self.source.content(self.source.name)
        zfs("destroy", "-r", target)


Begin = Callable[[str, str | None], Journey]


@pytest.fixture
def begin(rig: Rig, zfs_pool: Pool, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Begin]:
    """Make a journey of a kind onto a base."""
    made: list[Source] = []

    def build(kind: str, base: str | None) -> Journey:
        print(f"ZPB_FAULT_SEED={SEED}")
        source = make(zfs_pool, kind, tmp_path)
        made.append(source)
        said: dict[str, Any] = {"raw": True} if source.raw else {}
        rig.configure([{**rig.task(source.name), **said}], part_size="1MiB")
        source.write(0)
        zfs("snapshot", f"{source.name}@one")
        source.close()
        newest, standing = f"{source.name}@one", None
        if base:
            rig.push()
            source.write(1)
            newest = f"{source.name}@two"
            zfs("snapshot", newest)
            source.close()
            if base == "bookmark":
                zfs("destroy", f"{source.name}@one")
            standing = f"{source.name}@one" if base == "snapshot" else bookmarks(source.name)[0]
        flags = ["-w"] if source.raw else ["-L", "-e", "-c"]
        stream = send(newest, flags, standing, tmp_path / "uninterrupted")
        chance = random.Random(f"{SEED} {request.node.name}")  # noqa: S311 - a seed brings the borders back
        return Journey(rig, source, standing, stream, tmp_path, chance)

    yield build
    for source in made:
        zfs_pool.destroy(source.name)
    (tmp_path / "uninterrupted").unlink(missing_ok=True)
