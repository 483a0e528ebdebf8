"""Every border of small live streams: its token, `zfs send -t` and the splice make the very stream again.

From the end backwards: cut in the header behind a border, a stream can be gone on with at the border before.
"""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from harness.made_streams import EMBEDDED, HEADER_BYTES, OBJECT, OBJECT_RANGE, SPILL, WRITE, records
from harness.pool import Pool, zfs
from harness.trees import MIB
from vm import shapes
from vm.interruption import same_bytes, send
from vm.rig import EVERYTHING, bookmarks, device, mounted
from vm.sources import Source, make
from zfs_push_backups import engine
from zfs_push_backups.errors import ZfsPushBackupsError

pytestmark = [pytest.mark.pool, pytest.mark.timeout(1800)]
MODERN = ("-L", "-e", "-c")
# OpenZFS include/sys/zfs_ioctl.h: in the flags of a SPILL.
SPILL_UNMODIFIED = 1 << 2


@dataclass(frozen=True)
class Cell:
    """A kind of dataset, how it is sent, and onto what."""

    kind: str
    flags: tuple[str, ...]
    base: str | None

    def __str__(self) -> str:
        return "".join([self.kind, *self.flags, "-", self.base or "full"])


SENT = [
    ("plain", ()),
    ("plain", MODERN),
    # Records of 1 MiB in pieces of 128 KiB: behind a border within a record, zfs sends the whole of it again.
    ("record-1m", ()),
    ("record-1m", MODERN),
    ("record-16m", MODERN),
    ("attributes", MODERN),
    ("raw", ("-w",)),
    ("raw-attributes", ("-w",)),
    ("volume", MODERN),
]
BASES = (None, "snapshot", "bookmark")
SAMPLE = [Cell("record-1m", (), None), Cell("attributes", MODERN, "snapshot")]
CELLS = [Cell(kind, flags, base) for kind, flags in SENT for base in BASES] if EVERYTHING else SAMPLE


def write(source: Source, seed: int) -> None:
    """Little of everything: embedded data, a hole, several records, attributes that spill."""
    if source.kind == "volume":
        with device(source.name).open("r+b") as file:
            file.seek(seed * MIB // 2)
            file.write(os.urandom(MIB))
            os.fsync(file.fileno())
        return
    source.open()
    folder = mounted(source.pool, source.name)
    if source.kind.endswith("attributes"):
        (shapes.change_attributes if seed else shapes.attributes)(folder)
        return
    (shapes.change_blocks if seed else shapes.blocks)(folder)
    with (folder / "large").open("r+b" if seed else "wb") as file:
        for place in (0, 5):
            file.seek((place + seed) * MIB)
            file.write(os.urandom(MIB + 5))


@pytest.fixture(params=CELLS, ids=str)
def stream(request: pytest.FixtureRequest, zfs_pool: Pool, tmp_path: Path) -> Iterator[Path]:
    """The whole stream of a cell, while its snapshots stand."""
    cell: Cell = request.param
    source = make(zfs_pool, cell.kind, tmp_path)
    newest, base = f"{source.name}@one", None
    write(source, 0)
    zfs("snapshot", newest)
    if cell.base:
        write(source, 1)
        zfs("snapshot", f"{source.name}@two")
        base, newest = newest, f"{source.name}@two"
    if cell.base == "bookmark":
        zfs("bookmark", f"{source.name}@one", f"{source.name}#one")
        zfs("destroy", f"{source.name}@one")
        (base,) = bookmarks(source.name)
    source.close()
    whole = send(newest, cell.flags, base, tmp_path / "whole")
    holds_what_its_kind_is_for(whole.read_bytes(), cell)
    yield whole
    zfs_pool.destroy(source.name)


def holds_what_its_kind_is_for(stream: bytes, cell: Cell) -> None:
    """A kind that does not bring its trap along would show nothing."""
    found = records(stream)
    kinds = {record.kind for record in found}
    writes = [record.header for record in found if record.kind == WRITE]
    logical = {struct.unpack_from("<Q", header, 32)[0] for header in writes}
    assert (SPILL in kinds) is cell.kind.endswith("attributes")
    if cell.kind.endswith("attributes"):
        unmodified = [record.header[32] & SPILL_UNMODIFIED for record in found if record.kind == SPILL]
        assert any(unmodified) is (cell.base is not None)
    assert (OBJECT_RANGE in kinds) is ("-w" in cell.flags)
    if cell.kind == "record-1m":
        assert (EMBEDDED in kinds) is (cell.flags == MODERN)
        assert max(logical) == (MIB if "-L" in cell.flags else MIB // 8)


def borders(stream: bytes) -> list[int]:
    """Where it can be gone on with, latest first: behind every write and before every object."""
    places, at = set(), 0
    for record in records(stream):
        end = at + HEADER_BYTES + len(record.payload)
        if record.kind == OBJECT:
            places.add(at)
        if record.kind in (WRITE, EMBEDDED):
            places.add(end)
        at = end
    return sorted(places, reverse=True)


def job(operation: engine.StreamOperation, *files: IO[bytes]) -> dict[str, Any]:
    for file in files:
        file.seek(0)
    names = [Path(file.name).name for file in files]
    return engine.StreamJob(operation, [file.fileno() for file in files], names).wait()


def last_border(broken: bytes, file: Path) -> dict[str, Any] | None:
    """What `stream token` says of a stream that broke off."""
    file.write_bytes(broken)
    with file.open("rb") as opened:
        try:
            return job("token", opened)
        except ZfsPushBackupsError as error:
            if error.code != "partial.no_border":
                raise
            return None


def test_every_border(stream: Path, tmp_path: Path) -> None:
    whole = stream.read_bytes()
    met: list[int] = []
    cut = len(whole) - 1
    while found := last_border(whole[:cut], tmp_path / "broken"):
        met.append(found["border_bytes"])
        go_on(whole, found, tmp_path)
        same_bytes(tmp_path / "spliced", stream)
        cut = met[-1] + HEADER_BYTES - 1
    assert len(met) > 3
    assert met == borders(whole)
    print(f"{len(met)} borders in {len(whole)} bytes")


def go_on(whole: bytes, found: dict[str, Any], folder: Path) -> None:
    """Do what `stream token` says to type."""
    (folder / "kept").write_bytes(whole[: found["keep_bytes"]])
    with (
        (folder / "kept").open("rb") as kept,
        (folder / "resumed").open("w+b") as resumed,
        (folder / "spliced").open("w+b") as spliced,
    ):
        subprocess.run(["zfs", "send", "-t", found["token"]], check=True, stdout=resumed, timeout=120)
        job("splice", kept, resumed, spliced)
