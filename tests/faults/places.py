"""Where the cycles push to, seen with foreign eyes: a folder, or a prefix of a bucket behind the proxy."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.proxy import Proxy
from harness.s3 import S3Server

FURNITURE = frozenset({"repository.json", "RECOVER.md"})
# FORMAT.md, "Tombstones".
TOMBSTONE = b'{"tombstone":true}\n'


class Place(Protocol):
    """A store of one's own."""

    @property
    def settings(self) -> dict[str, Any]:
        """The host's entry in the configuration."""

    @property
    def folders(self) -> list[Path]:
        """Local folders that a push changes."""

    def objects(self) -> dict[str, int]:
        """Relative key -> length of whatever lies there, hidden leftovers too."""

    def read(self, key: str) -> bytes:
        """An object's bytes."""

    def uploads(self) -> list[str]:
        """Keys of multipart uploads that nobody ended."""


@dataclass(frozen=True)
class FolderPlace:
    """A directory host."""

    folder: Path

    @property
    def settings(self) -> dict[str, Any]:
        return {"url": self.folder.as_uri()}

    @property
    def folders(self) -> list[Path]:
        return [self.folder]

    def objects(self) -> dict[str, int]:
        found = {}
        # A push may be at work: what goes away meanwhile is not there.
        for folder, _, names in os.walk(self.folder):
            for path in (Path(folder, name) for name in names):
                with contextlib.suppress(FileNotFoundError):
                    found[str(path.relative_to(self.folder))] = path.stat().st_size
        return found

    def read(self, key: str) -> bytes:
        return (self.folder / key).read_bytes()

    def uploads(self) -> list[str]:
        return []


@dataclass(frozen=True)
class BucketPlace:
    """A prefix in a real server; the program goes by way of the proxy, the tests' own eyes do not."""

    server: S3Server
    proxy: Proxy
    prefix: str
    credentials: Path

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "url": f"s3://{self.server.bucket}/{self.prefix}",
            "endpoint": self.proxy.endpoint,
            "region": self.server.region,
            "credentials_file": str(self.credentials),
        }

    @property
    def folders(self) -> list[Path]:
        return []

    def objects(self) -> dict[str, int]:
        own = f"{self.prefix}/"
        pages = client_of(self.server).get_paginator("list_objects_v2").paginate(Bucket=self.server.bucket, Prefix=own)
        return {one["Key"].removeprefix(own): one["Size"] for page in pages for one in page.get("Contents", [])}

    def read(self, key: str) -> bytes:
        found = client_of(self.server).get_object(Bucket=self.server.bucket, Key=f"{self.prefix}/{key}")
        body: bytes = found["Body"].read()
        return body

    def uploads(self) -> list[str]:
        found = client_of(self.server).list_multipart_uploads(Bucket=self.server.bucket, Prefix=f"{self.prefix}/")
        return [entry["Key"] for entry in found.get("Uploads", [])]


@functools.cache
def client_of(server: S3Server) -> Any:
    """One client for all cycles: making one costs as much as a dozen requests."""
    return server.client()


def manifests(place: Place) -> dict[str, dict[str, Any]]:
    """Return the commit markers, key -> content, as they lie there."""
    return {key: json.loads(body) for key, body in _markers(place).items() if body != TOMBSTONE}


def tombstones(place: Place) -> set[str]:
    """Return where a marker can never come to lie any more, because its backup was swept."""
    return {key for key, body in _markers(place).items() if body == TOMBSTONE}


def _markers(place: Place) -> dict[str, bytes]:
    keys = [key for key in place.objects() if key.startswith("manifests/") and key.endswith(".json")]
    return {key: place.read(key) for key in keys}


def write_credentials(server: S3Server, file: Path) -> Path:
    """Write the server's keys in the form of AWS's own tools."""
    lines = ("[default]", f"aws_access_key_id={server.access_key_id}")
    file.write_text("\n".join([*lines, f"aws_secret_access_key={server.secret_access_key}", ""]))
    file.chmod(0o600)
    return file
