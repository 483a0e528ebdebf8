"""Real engine jobs on a directory store, for the tests of the boundary."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

from zfs_push_backups import engine

STREAMS = Path(__file__).parent.parent / "fixtures" / "streams"


class Vault:
    """A directory store with an identity of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "store"
        self.root.mkdir()
        self.identity = folder / "identity"
        secret, self.recipient = engine.generate_identity()
        self.identity.write_text(f"{secret}\n")

    @property
    def store(self) -> dict[str, Any]:
        """The store as a request names it."""
        return {"url": self.root.as_uri()}

    def look(self, operation: dict[str, Any]) -> engine.StoreJob:
        """Start a store job."""
        return engine.StoreJob({"store": self.store, "operation": operation})

    def create(self) -> engine.StoreJob:
        """Start making the repository: a short job that logs one event."""
        return self.look({"create_repository": {}})

    def push_request(self, head: bytes) -> dict[str, Any]:
        """A request that fits the stream beginning with `head`."""
        begin = engine.parse_begin(head)
        backup = {
            "source": "nas-1a2b3c4d",
            "dataset": "tank/d",
            "snapshot": "a",
            "snapshot_guid": begin["to_guid"],
            "level": 0,
            "made": "stdin",
        }
        return {"store": self.store, "recipients": [self.recipient], "backup": backup}

    def restore_request(self, manifest_key: str) -> dict[str, Any]:
        """A request to restore one backup."""
        return {"store": self.store, "identity_files": [str(self.identity)], "manifest_key": manifest_key}


class OpenPush:
    """A push whose source has sent the beginning of a stream and then keeps silent: it lasts until cancelled."""

    def __init__(self, vault: Vault) -> None:
        self.stream = (STREAMS / "d-full.zs").read_bytes()
        reading, self.writing = os.pipe()
        try:
            self.job = engine.PushJob(vault.push_request(self.stream[:312]), self.stream[:312], reading)
        finally:
            os.close(reading)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.writing)
