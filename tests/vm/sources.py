"""Datasets whose streams are worth cutting: each kind has another trap for a stream that is gone on with."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.pool import Pool, zfs
from harness.trees import MIB
from vm.rig import EVERYTHING, device, facts, get, mounted

# The emulated processor encrypts 5 MiB a second.
WRITTEN_MIB, ENCRYPTED_MIB = (24, 16) if EVERYTHING else (14, 10)
LARGEST_MIB = 16
KEY = "0" * 64
ENCRYPTED = {"encryption": "on", "keyformat": "hex"}
# `None` is a volume.
KINDS: dict[str, Mapping[str, str] | None] = {
    "plain": {},
    "record-1m": {"recordsize": "1M", "compression": "lz4"},
    "record-16m": {"recordsize": "16M"},
    # Every file is a few records, and its attributes spill: borders before objects, spill blocks that come again.
    "attributes": {"xattr": "sa", "dnodesize": "auto"},
    "raw": ENCRYPTED,
    "raw-attributes": {**ENCRYPTED, "xattr": "sa", "dnodesize": "auto"},
    "volume": None,
}


@dataclass
class Source:
    """One dataset of a kind; `write(seed)` changes `mebibytes` of it."""

    pool: Pool
    kind: str
    name: str
    key: Path

    @property
    def mebibytes(self) -> int:
        """How much `write` writes."""
        # A part holds whole records: enough of them to be ended between.
        return 7 * LARGEST_MIB if self.large else ENCRYPTED_MIB if self.raw else WRITTEN_MIB

    @property
    def large(self) -> bool:
        """Whether its records are larger than the parts that tests cut."""
        return self.kind == "record-16m"

    @property
    def raw(self) -> bool:
        """Whether it is sent encrypted, with its key away."""
        return self.kind.startswith("raw")

    def write(self, seed: int) -> None:
        """Write other bytes for another seed."""
        chance = random.Random(seed)  # noqa: S311 - the same bytes each time
        if self.kind == "volume":
            with device(self.name).open("r+b") as file:
                file.seek(seed * 4 * MIB)
                file.write(chance.randbytes(self.mebibytes * MIB))
                os.fsync(file.fileno())
            return
        self.open()
        folder = mounted(self.pool, self.name)
        if self.kind.endswith("attributes"):
            _attributes(folder, chance, seed, self.mebibytes * MIB // 200)
        else:
            (folder / f"file-{seed}").write_bytes(chance.randbytes((self.mebibytes - 4) * MIB))
            with (folder / "file").open("r+b" if (folder / "file").exists() else "wb") as file:
                file.seek(seed * MIB + 12_345)
                file.write(chance.randbytes(4 * MIB))
            (folder / f"small-{seed}").write_bytes(b"small " * 12)

    def open(self, name: str = "") -> None:
        """Load the key, if there is one, of it or of what it was restored to."""
        if self.raw and get(name or self.name, "keystatus") == "unavailable":
            zfs("load-key", "-L", f"file://{self.key}", name or self.name)

    def close(self) -> None:
        """Take the key away, if there is one."""
        if self.raw and get(self.name, "keystatus") == "available":
            zfs("unmount", self.name)
            zfs("unload-key", self.name)

    def content(self, name: str) -> object:
        """Everything that must be the same in a restored dataset."""
        if self.kind == "volume":
            return get(name, "volsize"), device(name).read_bytes()
        self.open(name)
        return facts(mounted(self.pool, name))


def _attributes(folder: Path, chance: random.Random, seed: int, length: int) -> None:
    """Half of the files get new contents and keep what spilled; the others get other attributes as well."""
    for number in range(200):
        path = folder / f"file-{number}"
        path.write_bytes(chance.randbytes(length))
        if seed == 0 or number % 2:
            for attribute in range(number % 12):
                os.setxattr(path, f"user.attribute-{attribute}", chance.randbytes(40 + 90 * attribute))
    for number in range(0, 200, 17):
        (folder / f"file-{number}").unlink()


def make(pool: Pool, kind: str, folder: Path) -> Source:
    """Create the dataset, empty."""
    key, properties, name = folder / "zfs-key", KINDS[kind], pool.unused_name(kind)
    key.write_text(KEY)
    if properties is None:
        zfs("create", "-V", "40M", "-o", "volblocksize=16K", name)
        return Source(pool, kind, name, key)
    more = {"keylocation": f"file://{key}"} if "encryption" in properties else {}
    words = [word for name_, value in {**properties, **more}.items() for word in ("-o", f"{name_}={value}")]
    zfs("create", *words, name)
    return Source(pool, kind, name, key)
