"""One tree in which every dataset has another shape: what ZFS can put into a stream, side by side."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.pool import Pool, zfs
from harness.trees import MIB, change, fill
from vm.rig import EVERYTHING, device, mounted

SECRET = "correct horse battery"
EMPTY_FILES = 20_000 if EVERYTHING else 2_000
# A passphrase costs seconds here, each time.
FEW_ROUNDS = {"pbkdf2iters": "100000"}
DEEP = "deep/" + "/".join("abcdefgh" if EVERYTHING else "ab")


def _bytes(seed: int, count: int) -> bytes:
    return random.Random(seed).randbytes(count)  # noqa: S311 - the same bytes each time


def large(folder: Path) -> None:
    """A file of more than one record of any size, one that is smaller, one with a hole, one that compresses."""
    (folder / "large").write_bytes(_bytes(1, 17 * MIB))
    (folder / "small").write_bytes(_bytes(2, 3000))
    (folder / "dense").write_bytes(b"zfs" * MIB)
    with (folder / "hole").open("wb") as file:
        file.seek(9 * MIB)
        file.write(b"behind the hole")


def change_large(folder: Path) -> None:
    with (folder / "large").open("r+b") as file:
        file.seek(16 * MIB - 5)
        file.write(_bytes(3, 10))
    os.truncate(folder / "dense", MIB + 7)
    (folder / "small").unlink()


# Those that no other shape has; the block size of a file is fixed when it outgrows its first record.
RECORD_SIZES = [8 << 10, 16 << 10, 32 << 10, 64 << 10, 256 << 10, 512 << 10, 2 * MIB, 4 * MIB, 8 * MIB]


def record_sizes(folder: Path) -> None:
    """A file of each record size, of a record and a half."""
    dataset = zfs("list", "-H", "-o", "name", str(folder)).strip()
    for size in RECORD_SIZES:
        zfs("set", f"recordsize={size}", dataset)
        path = folder / f"records-of-{size}"
        path.write_bytes(_bytes(size, size + size // 2))
        assert path.stat().st_blksize == size


def change_record_sizes(folder: Path) -> None:
    for size in RECORD_SIZES:
        with (folder / f"records-of-{size}").open("r+b") as file:
            file.seek(size - 5)
            file.write(_bytes(size + 1, 10))


def blocks(folder: Path) -> None:
    (folder / "file").write_bytes(_bytes(4, 300_000))
    (folder / "tiny").write_bytes(b"embedded " * 8)


def change_blocks(folder: Path) -> None:
    with (folder / "file").open("r+b") as file:
        file.seek(123_456)
        file.write(b"changed")
    (folder / "tiny").write_bytes(b"embedded again " * 5)


def attributes(folder: Path) -> None:
    """Attributes that fit the dnode, that need a larger one, and that spill."""
    for number in range(60):
        path = folder / f"file-{number}"
        path.write_bytes(_bytes(number, 5000 if number % 2 else 0))
        for attribute in range(number % 20):
            os.setxattr(path, f"user.attribute-{attribute}", _bytes(attribute, 40 + 90 * attribute))
    (folder / "directory").mkdir()
    os.setxattr(folder / "directory", "user.of-a-directory", b"value")


def change_attributes(folder: Path) -> None:
    """Some get other contents and keep what spilled, some other attributes, some lose theirs."""
    for number in range(0, 60, 3):
        (folder / f"file-{number}").write_bytes(_bytes(100 + number, 6000))
    for number in range(1, 60, 3):
        os.setxattr(folder / f"file-{number}", "user.late", _bytes(number, 2500))
    for number in range(2, 20, 3):
        os.removexattr(folder / f"file-{number}", "user.attribute-0")


def empty_files(folder: Path) -> None:
    for number in range(EMPTY_FILES):
        (folder / f"empty-{number}").touch()


def change_empty_files(folder: Path) -> None:
    for number in range(0, EMPTY_FILES, 7):
        (folder / f"empty-{number}").unlink()


def few(folder: Path) -> None:
    fill(folder, 3)


@dataclass(frozen=True)
class Shape:
    """Properties of a filesystem, its files, and their change."""

    fill: Callable[[Path], None] = blocks
    change: Callable[[Path], None] = change_blocks
    properties: Mapping[str, str] = field(default_factory=dict)


SAMPLE: dict[str, Shape] = {
    "plain": Shape(few, change),
    "record-4k": Shape(properties={"recordsize": "4K", "acltype": "posixacl", "xattr": "sa"}),
    "record-1m": Shape(large, change_large, {"recordsize": "1M", "compression": "zstd"}),
    "record-16m": Shape(large, change_large, {"recordsize": "16M"}),
    "attributes": Shape(attributes, change_attributes, {"xattr": "sa", "dnodesize": "auto"}),
    "many": Shape(empty_files, change_empty_files),
    "two words: x.y-z_": Shape(),
    DEEP: Shape(),
    "secret": Shape(few, change, {"encryption": "aes-256-gcm", "keyformat": "passphrase", **FEW_ROUNDS}),
    "clone": Shape(few, change),
}
MORE: dict[str, Shape] = {
    "record-512": Shape(properties={"recordsize": "512"}),
    "record-sizes": Shape(record_sizes, change_record_sizes),
    "record-1m-lz4": Shape(large, change_large, {"recordsize": "1M", "compression": "lz4"}),
    "record-16m-lz4": Shape(large, change_large, {"recordsize": "16M", "compression": "lz4"}),
    "gzip": Shape(large, change_large, {"compression": "gzip-9"}),
    "uncompressed": Shape(large, change_large, {"compression": "off"}),
    "attributes-1k": Shape(attributes, change_attributes, {"xattr": "sa", "dnodesize": "1k"}),
    "attributes-16k": Shape(attributes, change_attributes, {"xattr": "sa", "dnodesize": "16k"}),
    "attributes-legacy": Shape(attributes, change_attributes, {"xattr": "on", "dnodesize": "legacy"}),
}
SHAPES = {**SAMPLE, **(MORE if EVERYTHING else {})}
VOLUME = "volume"
# A property that every dataset has a value of its own of.
NOTE = "org.example:note"


class Grove:
    """The tree in the pool. Its caller takes the snapshots, and closes the secret before each push."""

    def __init__(self, pool: Pool, keys: Path) -> None:
        self.pool, self.root = pool, pool.create("grove").name
        # Guids of each dataset's first snapshot, by shape.
        self.first: dict[str, str] = {}
        self.key = keys / "passphrase"
        self.key.write_text(SECRET)
        zfs("create", "-V", "8M", "-o", "volblocksize=16K", f"{self.root}/{VOLUME}")

    def name(self, shape: str) -> str:
        return f"{self.root}/{shape}"

    def fill(self) -> None:
        for shape, about in SHAPES.items():
            if shape == "clone":
                continue
            options = [word for key, value in about.properties.items() for word in ("-o", f"{key}={value}")]
            if shape == "secret":
                options += ["-o", f"keylocation=file://{self.key}"]
            zfs("create", "-p", *options, self.name(shape))
            about.fill(mounted(self.pool, self.name(shape)))
        zfs("snapshot", f"{self.name('plain')}@origin")
        zfs("clone", f"{self.name('plain')}@origin", self.name("clone"))
        for shape in (*SHAPES, VOLUME):
            zfs("set", f"{NOTE}=of {shape}:\ttabs\tand\nlines, grüße", self.name(shape))
        self._write_volume(5, 6 * MIB)

    def change(self) -> None:
        self.open_secret()
        for shape, about in SHAPES.items():
            about.change(mounted(self.pool, self.name(shape)))
        self._write_volume(6, MIB)

    def open_secret(self) -> None:
        zfs("load-key", self.name("secret"))

    def close_secret(self) -> None:
        zfs("unmount", self.name("secret"))
        zfs("unload-key", self.name("secret"))

    def _write_volume(self, seed: int, count: int) -> None:
        with device(self.name(VOLUME)).open("r+b") as file:
            file.write(_bytes(seed, count))
            os.fsync(file.fileno())
