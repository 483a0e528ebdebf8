"""A machine whose zfs does what a test needs it to."""

from __future__ import annotations

import time
from pathlib import Path

from harness.program import STREAMS
from unit.fake_zfs import FakeZfs
from zfs_push_backups import engine


def fake_source(folder: Path) -> FakeZfs:
    """A machine with one dataset of one snapshot, as zfs would tell it."""
    fake = FakeZfs(folder / "bin")
    fake.answer("-?", out="\tsend [-nP] <snapshot>\n")
    fake.answer("list", out="t/d\n")
    fake.answer("list", "-H", "-o", "name", "-t", "snapshot", out="t/d@s\n")
    fake.answer("get", "-Hp", "all", out="t/d\ttype\tfilesystem\t-\nt/d\tused\t5\t-\n")
    fake.answer("get", "-Hp", "guid", out="t/d\tguid\t77\t-\n")
    guid = int(engine.parse_begin((STREAMS / "d-full.zs").read_bytes()[:312])["to_guid"])
    rows = f"t/d@s\tguid\t{guid}\t-\nt/d@s\tcreatetxg\t5\t-\nt/d@s\tcreation\t{int(time.time())}\t-\n"
    fake.answer("get", "-Hp", "guid,createtxg,creation", out=rows)
    fake.answer("get", "-Hp", "-r", "-d", "1", out=f"t/d\tguid\t77\t-\n{rows}t/d@s\tuserrefs\t0\t-\n")
    fake.answer("hold")
    fake.answer("release")
    fake.answer("send", "-nP", out="size\t1000\n")
    return fake


def hanging_source(folder: Path) -> FakeZfs:
    """A machine whose `zfs send` stops in the middle of its stream."""
    fake = fake_source(folder)
    fake.answer("send", "t/d@s", file=str(STREAMS / "d-full.zs"), limit=50_000, hang=True)
    return fake
