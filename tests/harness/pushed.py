"""A real dataset pushed twice, full and incremental, to a bucket and to a folder: what the foreign readers read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.foreign import AgeIdentity
from harness.pool import Dataset, Pool, zfs
from harness.program import Place, folder_place, program, server_place
from harness.s3 import S3Server
from harness.trees import MARKER, change, fill

PROPERTY = "org.example:note"
SNAPSHOTS = ("monday", "tuesday")


@dataclass(frozen=True)
class Pushed:
    """The dataset, unchanged since its last snapshot, and the two stores; the folder's parts are zstd where it pays."""

    source: Dataset
    bucket: Place
    folder: Place
    bucket_prefix: str

    def guids(self) -> list[str]:
        """Return the guids of the snapshots, the older first."""
        return [guid_of(f"{self.source.name}@{label}") for label in SNAPSHOTS]

    def stream(self, number: int) -> tuple[str, ...]:
        """Return the arguments of the `zfs send` that made backup `number`."""
        base = ("-i", f"@{SNAPSHOTS[number - 1]}") if number else ()
        return ("send", *base, f"{self.source.name}@{SNAPSHOTS[number]}")


def guid_of(snapshot: str) -> str:
    """Ask zfs."""
    return zfs("get", "-Hp", "-o", "value", "guid", snapshot).strip()


def push_chain(pool: Pool, server: S3Server, identity: AgeIdentity, folder: Path, prefix: str) -> Pushed:
    """Make and push the dataset; `folder` gets the configuration and the directory store."""
    source = pool.create("pushed")
    (folder / "store").mkdir()
    bucket = {"url": f"s3://{server.bucket}/{prefix}", "endpoint": server.endpoint, "region": server.region}
    pool_name, _, rest = source.name.partition("/")
    task = {"pool": pool_name, "dataset": rest}
    content: dict[str, Any] = {
        "source": "foreign",
        "recipients": [identity.recipient],
        "hosts": {
            "bucket": {**bucket, "part_size": "2MiB"},
            "folder": {"url": (folder / "store").as_uri(), "part_size": "2MiB"},
        },
        "tasks": [
            {**task, "name": "plain", "hosts": ["bucket"]},
            {**task, "name": "packed", "hosts": ["folder"], "compression": "zstd"},
        ],
    }
    config = folder / "config.yaml"
    config.write_text(json.dumps(content))
    zfs("set", f"{PROPERTY}={MARKER}", source.name)
    for prepare, label in zip((fill, change), SNAPSHOTS, strict=True):
        prepare(source.path)
        source.snapshot(label)
        for host in ("bucket", "folder"):
            program("push", "--config", config, "--host", host, environment=server.environment()).good()
    return Pushed(source, server_place(server, prefix), folder_place(folder / "store"), prefix)
