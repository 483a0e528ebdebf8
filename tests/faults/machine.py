"""A machine that pushes one dataset to one place, is stopped in every way, and must come out right.

`proven` is the whole promise after a run that ended with 0: one commit marker for each snapshot, nothing that no
manifest names, no lock, no upload left open, exactly the wanted holds, and the very bytes that `zfs send` gives.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.places import FURNITURE, Place, manifests, tombstones
from harness.pool import Dataset, Pool, zfs
from harness.processes import run
from harness.program import COMMAND, Ended, without_aws
from harness.trees import change, fill
from zfs_push_backups import restore

FULL, INCREMENT = LABELS = ("full", "increment")
HOST = "crash"
TAG = f"zfs-push-backups:{HOST}"
SOURCE = "faulty-machine"
SECONDS = 90.0
TRIES = 4


@dataclass(frozen=True)
class Source:
    """A dataset with two snapshots that never change, and what `zfs send` gives of them."""

    dataset: Dataset
    digests: Mapping[str, str]

    def snapshot(self, label: str) -> str:
        return f"{self.dataset.name}@{label}"

    def write_stream(self, label: str, file: Path) -> None:
        """Write what `zfs send` gives of a snapshot, in full."""
        with file.open("wb") as sink:
            subprocess.run(["zfs", "send", self.snapshot(label)], check=True, stdout=sink, timeout=60)


def make_source(pool: Pool, mebibytes: int = 3) -> Source:
    """Fill a dataset and take its snapshots."""
    dataset = pool.create("faulty")
    fill(dataset.path, mebibytes)
    dataset.snapshot(FULL)
    change(dataset.path)
    dataset.snapshot(INCREMENT)
    name = dataset.name
    arguments = {FULL: [f"{name}@{FULL}"], INCREMENT: ["-i", f"@{FULL}", f"{name}@{INCREMENT}"]}
    return Source(dataset, {label: digest_of_send(words) for label, words in arguments.items()})


def digest_of_send(words: Sequence[str], seconds: float = 60) -> str:
    """Send it, and take the digest of the bytes."""
    script = 'set -o pipefail; zfs send "$@" | sha256sum'
    return run(["bash", "-c", script, "send", *words], timeout=seconds).split()[0]


@dataclass
class Running:
    """A command that runs, its output in files, so that no pipe of ours holds anything up."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path
    begun: float
    _over: float = 0.0

    def seconds(self) -> float:
        """How long it ran."""
        return self._over - self.begun

    def since(self, moment: float) -> float:
        """How long after a moment of the monotonic clock it ended."""
        return self._over - moment

    def ended(self, seconds: float = SECONDS) -> Ended:
        """Wait for its end."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"no end in {seconds} s\n{self.err.read_text(errors='replace')}") from None
        self._over = time.monotonic()
        return Ended(code, self.out.read_bytes(), self.err.read_text(errors="replace"))


@dataclass
class Machine:
    """One configuration in a folder of its own. `more` are further keys of the configuration's top level."""

    folder: Path
    source: Source
    place: Place
    recipient: str
    identity: Path
    part_size: str = "1MiB"
    more: dict[str, Any] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    name: str = SOURCE
    path: str | None = None
    command: tuple[str, ...] = (str(COMMAND),)
    said: list[Ended] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    started: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.base.mkdir(parents=True, exist_ok=True)
        self.locks.mkdir(exist_ok=True)
        self.configure()

    @property
    def base(self) -> Path:
        """Where the run state lies."""
        return self.folder / "base"

    @property
    def locks(self) -> Path:
        """Where lock files lie."""
        return self.folder / "locks"

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def watched(self) -> list[Path]:
        """The folders in which a push changes files."""
        return [self.base, self.locks, *self.place.folders]

    def configure(self, **more: Any) -> None:
        """Write the configuration (JSON is YAML)."""
        pool, _, rest = self.source.dataset.name.partition("/")
        content = {
            "source": self.name,
            "base_dir": str(self.base),
            "lock_dir": str(self.locks),
            "recipients": [self.recipient],
            "hosts": {HOST: {"part_size": self.part_size, **self.place.settings, **self.host}},
            "tasks": [{"name": "prod", "pool": pool, "dataset": rest}],
        }
        self.config.write_text(json.dumps({**content, **self.more, **more}))

    def start(
        self, *words: str | Path, environment: Mapping[str, str] | None = None, stdin: Path = Path(os.devnull)
    ) -> Running:
        """Start a command."""
        number = len(list(self.folder.glob("*.err")))
        out, err = self.folder / f"{number}.out", self.folder / f"{number}.err"
        command = [*self.command, str(words[0]), "--config", str(self.config), *(str(word) for word in words[1:])]
        chosen = {**without_aws(), "PATH": self.path or os.environ["PATH"], **(environment or {})}
        with stdin.open("rb") as given, out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(command, stdin=given, stdout=stdout, stderr=stderr, env=chosen)
        self.started.append(Running(process, out, err, time.monotonic()))
        return self.started[-1]

    def run(self, *words: str | Path, environment: Mapping[str, str] | None = None) -> Ended:
        """Run a command to its end, and keep what it said for the report of a failure."""
        ended = self.start(*words, environment=environment).ended()
        self.said.append(ended)
        return ended

    def push(self, label: str, environment: Mapping[str, str] | None = None) -> Ended:
        """Push one of the two snapshots."""
        return self.run("push", "-v", "--json", "--snapshot", label, environment=environment)

    def start_push(self, label: str, environment: Mapping[str, str] | None = None) -> Running:
        """Start to push one of the two snapshots."""
        return self.start("push", "-v", "--json", "--snapshot", label, environment=environment)

    def push_until_done(self, label: str) -> Ended:
        """Push, as the next nights do, until it ends with 0."""
        for _ in range(TRIES):
            ended = self.push(label)
            assert "Traceback" not in ended.err, ended.err
            if ended.code == 0:
                return ended
        raise AssertionError(f"{TRIES} runs did not end with 0\n" + self.log())

    def log(self) -> str:
        """What was done to it, and everything its commands have said."""
        return "\n".join([*self.notes, *(f"--- exit {ended.code}\n{ended.err}" for ended in self.said)])

    def proven(self, *labels: str) -> None:
        """Demand all that is promised once `labels` were pushed."""
        committed = manifests(self.place)
        own = [one for one in committed.values() if one["source"] == self.name]
        found = sorted((one["level"], one["snapshot"]) for one in own)
        assert found == list(enumerate(labels)), (found, self.log())
        self._nothing_left(committed)
        assert sorted(self.locks.iterdir()) == [], self.log()
        self._wanted_holds(labels)
        for one in own:
            self.right_bytes(one)

    def honest(self) -> None:
        """Demand that what looks committed at this moment is whole, whoever was killed how."""
        for one in manifests(self.place).values():
            if one["source"] == self.name:
                self.right_bytes(one)

    def right_bytes(self, manifest: Mapping[str, Any]) -> None:
        """Demand that a backup restores to what `zfs send` gave."""
        out = self.folder / "restored"
        what = {"dataset": manifest["dataset"], "backup": manifest["id"], "identities": (str(self.identity),)}
        restore(config=str(self.config), host=HOST, source=self.name, output=str(out), force=True, **what)
        with out.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        out.unlink()
        assert digest == self.source.digests[manifest["snapshot"]], (manifest["snapshot"], self.log())

    def _nothing_left(self, committed: Mapping[str, Mapping[str, Any]]) -> None:
        objects = self.place.objects()
        wanted: dict[str, int | None] = dict.fromkeys([*committed, *FURNITURE, *tombstones(self.place)])
        for one in committed.values():
            wanted |= {part["key"]: part["sealed_length"] for part in one["parts"]}
            meta = one["meta"]
            wanted |= {meta["key"]: meta["sealed_length"], meta["key"].replace("meta.age", "RECOVER.txt"): None}
        # Documents lie in folders that later runs visit, and what was cut off there goes then, by its age.
        strays = {key for key in objects.keys() - wanted.keys() if key.startswith("data/") or "/.tmp-" not in f"/{key}"}
        missing = wanted.keys() - objects.keys()
        assert not strays, (strays, self.log())
        assert not missing, (missing, self.log())
        assert {key: objects[key] for key, size in wanted.items() if size not in (None, objects[key])} == {}
        assert self.place.uploads() == [], self.log()

    def _wanted_holds(self, labels: Sequence[str]) -> None:
        held = [label for label in self.source.digests if self.holds_on(label)]
        assert held == list(labels), (held, self.log())
        assert {self.holds_on(label) for label in labels} == {1}, self.log()

    def holds_on(self, label: str) -> int:
        """How many holds a snapshot has, whoever placed them."""
        return int(zfs("get", "-Hp", "-o", "value", "userrefs", self.source.snapshot(label)))

    def release(self, *labels: str) -> None:
        """Take the holds away by their documented tag; fails where they have another."""
        for label in labels:
            zfs("release", TAG, self.source.snapshot(label))

    @contextlib.contextmanager
    def tidy(self) -> Iterator[None]:
        """Leave no process and no hold behind, whatever happens in the block."""
        try:
            yield
        finally:
            for running in self.started:
                running.process.kill()
                running.process.wait()
            for label in self.source.digests:
                if self.holds_on(label):
                    with contextlib.suppress(Exception):
                        self.release(label)
