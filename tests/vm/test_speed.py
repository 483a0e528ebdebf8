"""What it costs to go on with a push of 1 GiB that was ended at 90 %: by `zfs send -t`, by reading again, from nothing.

Prints a table; only the bytes read are judged, the times are for people to read.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass

import pytest

from harness.pool import Dataset
from harness.program import COMMAND
from harness.trees import MIB
from vm.interruption import open_runs, until
from vm.rig import HOSTS, Rig, by_name
from zfs_push_backups.catalogue.catalogue import FILE_NAME

pytestmark = [pytest.mark.pool, pytest.mark.garage, pytest.mark.timeout(3600)]
DATA_BYTES = 1024 * MIB
# The size that examples/config.yaml suggests for small datasets. The last stored part is always made once more.
PART_MIB = 8
# A folder takes so little time that a single figure would be chance; the table is of the round in the middle.
ROUNDS = {"folder": 3, "bucket": 1}
ENDED_AT = 0.9
# What more was stored than is said would flatter the figures.
LARGEST_OVERSHOOT = 0.02
LEAST_SAVED = 0.8


@dataclass(frozen=True)
class Cost:
    """One push: how long it took, how much zfs gave, and how the backup was made."""

    seconds: float
    read_bytes: int
    stream_bytes: int
    made: str

    def line(self, name: str, whole_push: Cost) -> str:
        """One line of the table."""
        wall, read = self.seconds / whole_push.seconds, self.read_bytes / whole_push.read_bytes
        return (
            f"{name:28} {self.seconds:8.1f} s  {wall:5.2f}  {self.read_bytes / MIB:8.1f} MiB  {read:5.2f}  {self.made}"
        )


def timed(rig: Rig, host: str) -> Cost:
    began = time.monotonic()
    (result,) = rig.push("--level", "0", host=host)
    seconds = time.monotonic() - began
    read_bytes, stream_bytes = (int(result.get(key) or 0) for key in ("read_bytes", "stream_bytes"))
    return Cost(seconds, read_bytes, stream_bytes, str(result.get("made") or "-"))


def end_at_ninety_percent(rig: Rig, host: str, complete: Cost) -> float:
    """End a push soon after 90 % of the stream is stored; returns how much of it is."""
    words = [str(COMMAND), "push", "--config", str(rig.config), "--host", host, "--level", "0"]
    process = subprocess.Popen(
        [*words, "--limit-upload", "20MiB"],
        env=rig.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )

    def reached() -> bool:
        stored = max((run.stream_bytes for run in open_runs(rig)), default=0)
        return process.poll() is not None or stored >= ENDED_AT * complete.stream_bytes

    until(reached, f"{ENDED_AT:.0%} of {complete.stream_bytes} bytes", seconds=1200)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 128 + signal.SIGTERM, err.decode()
    (run,) = open_runs(rig)
    return run.stream_bytes / complete.stream_bytes


def forbid_splice(rig: Rig) -> None:
    with closing(sqlite3.connect(rig.state / FILE_NAME)) as connection, connection:
        connection.execute("UPDATE runs SET splice_refused = 'for the table'")


@dataclass(frozen=True)
class Round:
    """A whole push, and soon after it, as the machine's pace changes, the end of one of which 90 % was stored."""

    complete: Cost
    stored: float
    rest: Cost

    @property
    def share(self) -> float:
        """What the end cost of a whole push's time."""
        return self.rest.seconds / self.complete.seconds

    def line(self) -> str:
        """One line below the table."""
        times = f"{self.rest.seconds:.1f} of {self.complete.seconds:.1f} s"
        return f"{self.rest.made}: {self.stored:.1%} stored; {times}, {self.share:.3f}"


def one_round(rig: Rig, source: Dataset, host: str, number: int) -> Round:
    source.snapshot(f"whole{number}")
    complete = timed(rig, host)
    source.snapshot(f"ended{number}")
    stored = end_at_ninety_percent(rig, host, complete)
    return Round(complete, stored, timed(rig, host))


@by_name
@pytest.mark.parametrize("host", HOSTS)
def test_going_on_at_ninety_percent(rig: Rig, source: Dataset, host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with (source.path / "large").open("wb") as file:
        for _ in range(DATA_BYTES // MIB):
            file.write(os.urandom(MIB))
    rig.configure([rig.task(source.name)], part_size=f"{PART_MIB}MiB")
    rounds = [one_round(rig, source, host, number) for number in range(ROUNDS[host])]
    middle = sorted(rounds, key=lambda one: one.share)[len(rounds) // 2]
    complete = middle.complete
    # What every push costs before and after its stream, whatever its size.
    nothing = timed(rig, host)
    source.snapshot("again")
    stored = end_at_ninety_percent(rig, host, complete)
    forbid_splice(rig)
    reread = timed(rig, host)
    with capsys.disabled():
        print(f"\n1 GiB to a {host} in parts of {PART_MIB} MiB, ended behind {ENDED_AT:.0%}")
        rows = {"whole push": complete, "zfs send -t": middle.rest, "read again": reread, "nothing to send": nothing}
        for name, cost in rows.items():
            print(cost.line(name, complete))
        for one in (*rounds, Round(complete, stored, reread)):
            print(one.line())
    assert {(one.complete.made, one.rest.made) for one in rounds} == {("zfs", "spliced")}
    assert all(one.rest.read_bytes <= (1 - LEAST_SAVED) * one.complete.read_bytes for one in rounds)
    shares = (stored, *(one.stored for one in rounds))
    assert all(ENDED_AT <= share < ENDED_AT + LARGEST_OVERSHOOT for share in shares)
    assert reread.made == "zfs"
    assert (reread.read_bytes, nothing.read_bytes) == (complete.read_bytes, 0)
