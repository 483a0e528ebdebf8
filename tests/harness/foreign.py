"""The stock tools that must be able to read what we write, and write what we read: age, aws, rclone."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.processes import run
from harness.s3 import S3Server


@dataclass(frozen=True)
class AgeIdentity:
    """A key made by stock age-keygen."""

    path: Path
    recipient: str


@dataclass(frozen=True)
class ForeignTools:
    """Paths of the stock tools, found once."""

    age: Path
    age_keygen: Path
    aws: Path
    rclone: Path
    zstd: Path

    def new_identity(self, folder: Path) -> AgeIdentity:
        """Make a key pair in `folder`."""
        path = folder / "identity.txt"
        run([self.age_keygen, "-o", path])
        return AgeIdentity(path, run([self.age_keygen, "-y", path]).strip())

    def decrypt(self, sealed: Path, identity: AgeIdentity, plain: Path) -> None:
        """Open one age file with stock age."""
        run([self.age, "--decrypt", "--identity", identity.path, "--output", plain, sealed])

    def s3(self, server: S3Server, *arguments: str | Path) -> str:
        """Run `aws --endpoint-url ... ARGUMENTS` against a server of the tests."""
        return run([self.aws, "--endpoint-url", server.endpoint, *arguments], environment=server.environment())


def missing() -> list[str]:
    """Return the names of stock tools that are not installed."""
    names = ("age", "age-keygen", "aws", "rclone", "zstd")
    return [name for name in names if _find(name) is None]


def find() -> ForeignTools:
    """Return the tools; raises FileNotFoundError if one is missing."""
    return ForeignTools(
        age=_path("age"), age_keygen=_path("age-keygen"), aws=_path("aws"), rclone=_path("rclone"), zstd=_path("zstd")
    )


def _path(name: str) -> Path:
    found = _find(name)
    if found is None:
        raise FileNotFoundError(name)
    return Path(found)


def _find(name: str) -> str | None:
    # The aws command of the locked requirements, before any other on PATH.
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
