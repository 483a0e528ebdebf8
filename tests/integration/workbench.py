"""A machine in small: a configuration, a key, a directory host, and the command as a program of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zfs_push_backups import engine

COMMAND = (sys.executable, "-m", "zfs_push_backups.cli.main")
SOURCE = "bench-machine"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines of stdout."""
        return [json.loads(line) for line in self.out.splitlines()]

    def results(self) -> list[dict[str, Any]]:
        """The `result` events."""
        return [line for line in self.lines if line.get("event") == "result"]

    def error_line(self) -> str:
        """The error's one line; fails where there is a traceback or no error."""
        assert "Traceback" not in self.err, self.err
        found = [line for line in self.err.splitlines() if line.startswith("zfs-push-backups: ")]
        assert len(found) == 1, self.err
        return found[0]


class Workbench:
    """One test's host and configuration; `tasks` are given as YAML-able dictionaries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.store.mkdir()
        self.key = folder / "key.txt"
        secret, self.recipient = engine.generate_identity()
        self.key.write_text(secret + "\n")
        self.config = folder / "config.yaml"
        self.state = folder / "state"
        self.locks = folder / "locks"
        self.locks.mkdir()
        self.configure([])

    @property
    def url(self) -> str:
        """The host's URL."""
        return f"file://{self.store}"

    def configure(self, tasks: Sequence[Mapping[str, Any]], **more: Any) -> None:
        """Write the configuration (JSON is YAML)."""
        content: dict[str, Any] = {
            "source": SOURCE,
            "base_dir": str(self.state),
            "lock_dir": str(self.locks),
            "recipients": [self.recipient],
            "hosts": {"backup1": {"url": self.url}},
            "tasks": list(tasks),
        }
        self.config.write_text(json.dumps({**content, **more}))

    def task(self, dataset: str, name: str = "prod", **more: Any) -> dict[str, Any]:
        """A task for a whole dataset name."""
        pool, _, rest = dataset.partition("/")
        return {"name": name, "pool": pool, "dataset": rest, **more}

    def run(self, *words: object, stdin: bytes | None = None, path: str | None = None, configured: bool = True) -> Done:
        """Run the command to its end."""
        done = subprocess.run(
            self.command(*words, configured=configured),
            check=False,
            capture_output=True,
            timeout=120,
            env=self.environment(path),
            input=stdin if stdin is not None else b"",
        )
        return Done(done.returncode, done.stdout.decode(errors="surrogateescape"), done.stderr.decode())

    def start(self, *words: object, path: str | None = None) -> subprocess.Popen[bytes]:
        """Start the command."""
        return subprocess.Popen(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(path),
        )

    def command(self, *words: object, configured: bool = True) -> list[str]:
        """The argument list, with the configuration behind the subcommand."""
        given = [str(word) for word in words]
        name = given.pop(0) if given and not given[0].startswith("-") else "push"
        config = ["--config", str(self.config)] if configured else []
        return [*COMMAND, name, *config, *given]

    def environment(self, path: str | None = None) -> dict[str, str]:
        """What cron would give, more or less."""
        own = {"PATH": path or os.environ["PATH"], "COLUMNS": "120", "STATE_DIRECTORY": str(self.state)}
        return {**os.environ, **own}

    def listed(self) -> list[dict[str, Any]]:
        """What `list --long --json` shows."""
        done = self.run("list", "--long", "--json")
        assert done.code == 0, done.err
        backups: list[dict[str, Any]] = json.loads(done.out)["backups"]
        return backups

    def objects(self) -> list[str]:
        """Every object in the store but what stands there once for all."""
        found = (str(path.relative_to(self.store)) for path in self.store.rglob("*") if path.is_file())
        return sorted(name for name in found if name not in {"repository.json", "RECOVER.md"})
