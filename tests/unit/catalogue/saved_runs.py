"""Runs and parts as tests need them, short enough to read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from zfs_push_backups.catalogue.records import SavedRun

MACHINE = "this-machine"
REPOSITORY = "0123456789abcdef0123456789abcdef"
SESSION = "5e55" * 8
RUN = SavedRun(
    id="20261121T010203Z-0-b9a8d8f5a1b2c3d4-0f1e2d3c4b5a",
    host="backup1",
    repository=REPOSITORY,
    source="nas-1a2b3c4d",
    task="prod",
    dataset="tank/data",
    dataset_guid="17446744073709551615",
    snapshot="daily",
    snapshot_guid=0xB9A8D8F5A1B2C3D4,
    createtxg=4711,
    level=0,
    parent_id=None,
    base=None,
    base_guid=None,
    flags=("-L", "-e"),
    raw=False,
    recipients=("age1aaaaaaaa",),
    compression="none",
    part_size_bytes=None,
    estimated_bytes=3 << 30,
    zfs_userland="zfs-2.1.11",
    zfs_kernel="2.1.11",
    tree_group=None,
    resumable=True,
    begun=datetime(2026, 11, 21, 1, 2, 3, tzinfo=UTC),
    sessions=(SESSION,),
)


def run(number: int, **changes: Any) -> SavedRun:
    """The run of that number: another id, begun that many seconds later."""
    moment = datetime.fromtimestamp(RUN.begun.timestamp() + number, UTC)
    identity = f"{moment:%Y%m%dT%H%M%SZ}-0-b9a8d8f5a1b2c3d4-{number:012x}"
    facts: dict[str, Any] = {"id": identity, "begun": moment, **changes}
    return replace(RUN, **facts)


def part(number: int, attempt: str = "aff5025d") -> dict[str, Any]:
    """A part of 64 MiB as the engine tells it."""
    length = 64 << 20
    return {
        "number": number,
        "key": f"data/nas-1a2b3c4d/tank/data/@/x/part-{number:06}-{attempt}.age",
        "stream_offset": number * length,
        "stream_length": length,
        "sealed_length": length + 16600,
        "blake3": f"{number:064x}",
        "store_checksum": {"algorithm": "crc64nvme", "type": "full_object", "value": "AAAAAAAAAAA="},
        "proof": {
            "blake3": "00" * 32,
            "end_checksum": "1:2:3:4",
            "border": {"after_write": {"object": 8, "end_offset": (number + 1) * length}},
            "begin_payload": "22" * 32,
            "announcement": "11" * 32,
            "records": [1, 1, 0, 512 * (number + 1), 0, 0, 0, 0, 0, 0, 0],
        },
    }
