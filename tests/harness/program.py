"""The built command run as an operator runs it, and one place to push to: a folder, or a prefix in a test server.

Every run has a deadline, no terminal, and none of the machine's own AWS settings. What a test believes about a store's
content comes from the folder itself or a foreign client, never from the command.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.s3 import S3Server

COMMAND = Path(sys.executable).with_name("zfs-push-backups")
STREAMS = Path(__file__).resolve().parents[1] / "fixtures/streams"
SECONDS = 120.0
SOURCE = "nas-1a2b3c4d"
# What a store holds before its first backup.
FURNITURE = frozenset({"repository.json", "RECOVER.md"})


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: bytes
    err: str

    def json(self) -> Any:
        """Return the one JSON document on stdout."""
        return json.loads(self.out)

    def results(self) -> list[dict[str, Any]]:
        """Return the `result` events among the JSON lines on stdout."""
        lines = [json.loads(line) for line in self.out.splitlines()]
        return [line for line in lines if line.get("event") == "result"]

    def good(self) -> Ended:
        """Demand exit code 0."""
        assert self.code == 0, self
        return self

    def refused(self, code: int, *words: str) -> str:
        """Demand this exit code and one line of error, at most a hint after it, with all `words`; returns both."""
        assert self.code == code, self
        assert "Traceback" not in self.err, self.err
        assert "internal error" not in self.err, self.err
        lines = self.err.splitlines()
        first = [number for number, line in enumerate(lines) if line.startswith("zfs-push-backups: ")]
        assert len(first) == 1, self.err
        error = lines[first[0] :]
        assert [line[:8] for line in error[1:]] in ([], ["  hint: "]), self.err
        text = "\n".join(error)
        for word in words:
            assert word in text, (word, text)
        return text


def program(
    *words: str | Path,
    stdin: bytes | Path | None = None,
    environment: Mapping[str, str] | None = None,
    wrapper: Sequence[str] = (),
) -> Ended:
    """Run `zfs-push-backups WORDS` to its end. `stdin` is bytes through a pipe, a file, or nothing at all."""
    chosen = without_aws() if environment is None else environment
    command = [*wrapper, str(COMMAND), *(str(word) for word in words)]
    if isinstance(stdin, Path):
        with stdin.open("rb") as file:
            done = subprocess.run(command, check=False, capture_output=True, timeout=SECONDS, env=chosen, stdin=file)
    else:
        done = subprocess.run(
            command, check=False, capture_output=True, timeout=SECONDS, env=chosen, input=stdin or b""
        )
    return Ended(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def without_aws() -> dict[str, str]:
    """Return the caller's environment without its AWS settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


@dataclass(frozen=True)
class Place:
    """A destination given ad hoc. `server` is None for a folder; then `folder` is where it lies."""

    url: str
    environment: Mapping[str, str] = field(repr=False)
    words: tuple[str, ...] = ()
    folder: Path | None = None
    server: S3Server | None = None
    wrapper: tuple[str, ...] = ()

    def run(
        self,
        command: str,
        *words: str | Path,
        stdin: bytes | Path | None = None,
        changed: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run one command against this host; `changed` are variables of its environment."""
        chosen = {**self.environment, **(changed or {})}
        given = (command, "--host", self.url, *self.words, *words)
        return program(*given, stdin=stdin, environment=chosen, wrapper=self.wrapper)

    def without_override(self) -> Place:
        """Return the place as seen by a root that file permissions bind, as they bind everybody else."""
        return dataclasses.replace(self, wrapper=("setpriv", "--bounding-set", "-dac_override,-dac_read_search"))

    def take(self, stream: bytes | Path, recipient: str, name: str = "tank/d@a", source: str = SOURCE) -> Ended:
        """Push a stream by standard input."""
        words = ("--stdin", name, "--recipient", recipient, "--source", source)
        return self.run("push", *words, stdin=stream)

    def listed(self) -> list[dict[str, Any]]:
        """Return the backups that `list --long` shows."""
        backups: list[dict[str, Any]] = self.run("list", "--long", "--json").good().json()["backups"]
        return backups

    def content(self) -> dict[str, bytes]:
        """Return relative key -> bytes of everything stored, as a foreign eye sees it: hidden leftovers too."""
        if self.server is None:
            assert self.folder is not None
            files = (path for path in self.folder.rglob("*") if path.is_file())
            return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}
        prefix = self.url.removeprefix(f"s3://{self.server.bucket}/") + "/"
        return {key.removeprefix(prefix): body for key, body in self.server.bodies(prefix).items()}

    def backup_keys(self) -> set[str]:
        """Return every key that a backup, finished or not, accounts for."""
        return set(self.content()) - FURNITURE


def folder_place(folder: Path) -> Place:
    """Make a folder a place; it must exist."""
    return Place(folder.as_uri(), without_aws(), folder=folder)


def server_place(server: S3Server, prefix: str) -> Place:
    """Make a prefix of a server's bucket a place."""
    words = ("--endpoint", server.endpoint, "--region", server.region)
    return Place(f"s3://{server.bucket}/{prefix}", server.environment(), words, server=server)
