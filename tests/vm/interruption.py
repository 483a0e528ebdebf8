"""A push that is ended in its middle, where a test wants it, and what its next run is measured by."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.program import COMMAND, Ended
from vm.rig import Rig
from zfs_push_backups.catalogue.catalogue import Catalogue
from zfs_push_backups.catalogue.records import RunSummary
from zfs_push_backups.run.state import machine_key

MIB = 1 << 20
PART_BYTES = MIB
TAG = "zfs-push-backups:folder"
# Parts come one after the other, so that the journal can be watched.
SLOW = ("--limit-upload", "4MiB")
READ_AGAIN = "read again from its start"
GOES_ON = re.compile(r"existing state found: (\d+) parts, .* going on at part (\d+)")


def until(there: Callable[[], bool], what: str, seconds: float = 240, said: Callable[[], str] = str) -> None:
    """Wait for an event that can only be asked for."""
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, f"{what}: not in {seconds} s\n{said()}"
        time.sleep(0.2)


def open_runs(rig: Rig) -> tuple[RunSummary, ...]:
    """The runs that have not ended, as the run state on disk has them."""
    found = Catalogue.look(rig.state, machine=machine_key())
    if found is None:
        return ()
    with found:
        return found.runs.open_runs()


def interrupt(rig: Rig, number: signal.Signals, new_parts: int, wrapper: Sequence[str] = ()) -> int:
    """End a push when its journal has so many new parts; returns how many the journal has then.

    Where it goes on with an earlier one, it must do so by `zfs send -t`.
    """
    before = max((run.parts for run in open_runs(rig)), default=0)
    words = (*wrapper, str(COMMAND), "push", "--config", str(rig.config), "--host", "folder", "-v", *SLOW)
    process = subprocess.Popen(
        words, env=rig.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )

    def reached() -> bool:
        noted = [run.parts for run in open_runs(rig) if run.pid == process.pid]
        return process.poll() is not None or any(parts >= before + new_parts for parts in noted)

    try:
        until(reached, f"{new_parts} parts more than {before}")
        process.send_signal(number)
        out, err = process.communicate(timeout=240)
    finally:
        process.kill()
        process.wait()
    expected = -9 if number == signal.SIGKILL else 128 + number
    assert process.returncode == expected, err.decode(errors="replace")
    said = (out + err).decode(errors="replace")
    assert bool(GOES_ON.search(said)) is (before > 0), said
    assert READ_AGAIN not in said, said
    (run,) = open_runs(rig)
    assert run.parts >= before + new_parts
    return run.parts


def send(name: str, flags: Sequence[str], base: str | None, file: Path) -> Path:
    """Write the stream that an uninterrupted `zfs send` gives."""
    with file.open("wb") as out:
        words = ["zfs", "send", *flags, *(["-i", base] if base else []), name]
        subprocess.run(words, check=True, stdout=out, timeout=600)
    return file


def opened(rig: Rig, manifest: dict[str, Any], file: Path) -> Path:
    """Write the stream that a manifest's parts hold, opened by stock age."""
    with file.open("wb") as out:
        for part in manifest["parts"]:
            words = ["age", "-d", "-i", str(rig.identity), str(rig.store / part["key"])]
            subprocess.run(words, check=True, stdout=out, timeout=120)
            assert out.tell() == int(part["stream_offset"]) + int(part["stream_length"])
    return file


@dataclass(frozen=True)
class WentOn:
    """How the run after an interruption ended: its result, its backup's manifest, what it said."""

    result: dict[str, Any]
    manifest: dict[str, Any]
    done: Ended

    @property
    def said(self) -> str:
        """Steps and log together."""
        return self.done.out.decode() + self.done.err

    @property
    def stored(self) -> int:
        """How many parts it says it found."""
        found = GOES_ON.search(self.said)
        assert found, self.said
        return int(found[2])


def go_on(rig: Rig, *words: str) -> WentOn:
    """Push until the interrupted backup is committed."""
    done = rig.run("push", "--json", "-v", *words).good()
    (result,) = [one for one in done.results() if one["status"] == "pushed"]
    return WentOn(result, rig.manifests("folder")[result["manifest_key"]], done)


def stored_parts(rig: Rig) -> set[str]:
    """The keys of every part in the folder."""
    return {str(path.relative_to(rig.store)) for path in rig.store.glob("data/**/part-*.age")}


def named_parts(rig: Rig) -> set[str]:
    """The keys of every part that a manifest names."""
    return {part["key"] for manifest in rig.manifests("folder").values() for part in manifest["parts"]}


def assert_spliced(rig: Rig, went_on: WentOn, journaled: int, stream: Path, scratch: Path) -> None:
    """The backup is the uninterrupted stream, byte for byte, and `zfs send` gave little of it twice."""
    manifest, stored = went_on.manifest, went_on.stored
    assert manifest["send"]["made"] == "spliced", went_on.said
    assert stored >= journaled, went_on.said
    same_bytes(opened(rig, manifest, scratch / "opened"), stream)
    sizes = [int(part["stream_length"]) for part in manifest["parts"]]
    assert went_on.result["stream_bytes"] == sum(sizes) == stream.stat().st_size
    assert went_on.result["read_bytes"] <= sum(sizes[stored:]) + 2 * max(sizes)
    assert stored_parts(rig) == named_parts(rig)


def same_bytes(one: Path, other: Path) -> None:
    """Both files have the same content; the words of a difference are its place, not the bytes."""
    done = subprocess.run(["cmp", one, other], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
