"""Our command as the benchmarks run it: the installed script, a host by configuration, a stream on stdin."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.foreign import AgeIdentity
from harness.s3 import S3Server

PROGRAM = Path(sys.executable).parent / "zfs-push-backups"
SNAPSHOT = "tank/bench@s"


@dataclass(frozen=True)
class Client:
    """The command with one configured host."""

    config: Path
    identity: AgeIdentity

    def push(self) -> list[str | Path]:
        """Return the command that pushes the stream on its stdin."""
        return [PROGRAM, "--config", self.config, "--host", "bench", "--stdin", SNAPSHOT]

    def restore(self) -> list[str | Path]:
        """Return the command that writes the stream to its stdout."""
        dataset = SNAPSHOT.partition("@")[0]
        command: list[str | Path] = [PROGRAM, "restore", "--config", self.config, "--host", "bench"]
        return [*command, "--dataset", dataset, "--identity", self.identity.path, "--output", "-"]


def for_directory(folder: Path, identity: AgeIdentity) -> Client:
    """Return a client of a directory store that is made in `folder`."""
    store = folder / "store"
    store.mkdir()
    return _client(folder, identity, {"url": store.as_uri()})


def for_server(folder: Path, identity: AgeIdentity, server: S3Server, *, payload_signing: str = "auto") -> Client:
    """Return a client of a server's bucket; its keys stand in `server.environment()`."""
    host = {
        "url": f"s3://{server.bucket}/bench",
        "endpoint": server.endpoint,
        "region": server.region,
        "payload_signing": payload_signing,
    }
    return _client(folder, identity, host)


def _client(folder: Path, identity: AgeIdentity, host: dict[str, str]) -> Client:
    document: dict[str, Any] = {
        "base_dir": str(folder / "state"),
        "lock_dir": str(folder),
        "recipients": [identity.recipient],
        "hosts": {"bench": host},
    }
    # JSON is YAML.
    config = folder / "config.yaml"
    config.write_text(json.dumps(document))
    return Client(config, identity)
