"""A push that was ended goes on by `zfs send -t`; what is stored is an uninterrupted stream, to the byte."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import pytest

from vm.interruption import assert_spliced, go_on
from vm.journey import Begin
from vm.rig import EVERYTHING, held
from vm.sources import KINDS

pytestmark = [pytest.mark.pool, pytest.mark.garage, pytest.mark.timeout(1800)]
TERM, KILL = signal.SIGTERM, signal.SIGKILL


@dataclass(frozen=True)
class Cell:
    """What is sent, onto what, and how each run but the last one is ended."""

    kind: str
    base: str | None
    ends: tuple[signal.Signals, ...]

    def __str__(self) -> str:
        return "-".join([self.kind, self.base or "full", *(number.name[3:].lower() for number in self.ends)])


SAMPLE = [
    Cell("plain", None, (TERM,)),
    Cell("attributes", "bookmark", (KILL, TERM)),
    Cell("raw", "snapshot", (KILL,)),
    Cell("volume", None, (KILL,)),
]
MORE = [Cell(kind, base, (KILL, TERM, KILL)) for kind in KINDS for base in (None, "snapshot", "bookmark")]
CELLS = [*SAMPLE, *MORE] if EVERYTHING else SAMPLE


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_it_goes_on_to_the_byte(begin: Begin, cell: Cell) -> None:
    journey = begin(cell.kind, cell.base)
    journaled = journey.interrupt(*cell.ends)
    went_on = go_on(journey.rig)
    assert_spliced(journey.rig, went_on, journaled, journey.stream, journey.scratch)
    assert held(f"{journey.source.name}@{went_on.result['snapshot']}") == []
    journey.restored_is_the_same()
