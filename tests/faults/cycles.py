"""Seeded cycles: how many, which, and how one that failed is run again.

ZPB_FAULT_SEED is the seed of the run (printed), ZPB_FAULT_SCALE multiplies the sample, ZPB_FAULT_ONLY=CELL/3of20 runs
that cycle alone; `scripts/soak` sets all three.
"""

from __future__ import annotations

import os
import random
import secrets
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

SEED = int(os.environ.get("ZPB_FAULT_SEED") or secrets.randbelow(10**6))
SCALE = float(os.environ.get("ZPB_FAULT_SCALE") or 1)
ONLY = os.environ.get("ZPB_FAULT_ONLY", "")
# How many cycles of each cell were run.
RUN: Counter[str] = Counter()

W = TypeVar("W")


@dataclass(frozen=True)
class Cycle:
    """One repetition: a name, a place in the sample, and chance of its own."""

    cell: str
    number: int
    of: int

    @property
    def name(self) -> str:
        """What `--only` takes."""
        return f"{self.cell}/{self.number}of{self.of}"

    def chance(self, purpose: str = "") -> random.Random:
        """Return this cycle's own chance, the same for the same seed."""
        return random.Random(f"{SEED} {self.name} {purpose}")  # noqa: S311 - to be repeated, not to be secret

    def spread(self, steps: int, purpose: str = "") -> int:
        """Choose one of `steps` (1 and up), so that a cell's cycles lie evenly over all of them."""
        width = steps / self.of
        at = self.number * width + self.chance(purpose).random() * width
        return 1 + min(int(at), steps - 1)


def sample(cell: str, count: int) -> list[Cycle]:
    """Return the cycles of a cell, or the one that was asked for."""
    of = max(1, round(count * SCALE))
    wanted, _, number = ONLY.rpartition("/")
    if ONLY:
        own, _, total = number.partition("of")
        return [Cycle(cell, int(own), int(total))] if wanted == cell else []
    return [Cycle(cell, each, of) for each in range(of)]


def run_all(cycles: Sequence[Cycle], workers: Sequence[W], work: Callable[[Cycle, W], None]) -> None:
    """Run the cycles, one at a time a worker; every failure is told with how to repeat it."""
    free: SimpleQueue[W] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def one(cycle: Cycle) -> str:
        worker = free.get()
        try:
            work(cycle, worker)
        except Exception:  # noqa: BLE001 - each failure is one line of the verdict
            return f"### {cycle.name}: scripts/soak --seed {SEED} --only {cycle.name}\n{traceback.format_exc()}"
        else:
            return ""
        finally:
            free.put(worker)

    RUN.update(cycle.cell for cycle in cycles)
    with ThreadPoolExecutor(len(workers)) as pool:
        failures = [text for text in pool.map(one, cycles) if text]
    # `raise` in place of `assert`: the text is the report.
    if failures:
        raise AssertionError(f"{len(failures)} of {len(cycles)} cycles failed, seed {SEED}\n" + "\n".join(failures))
