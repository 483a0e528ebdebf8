"""How long the command and the package take to start, beside the bare interpreter that runs them."""

from __future__ import annotations

import sys

from bench import measure
from bench.client import PROGRAM
from bench.measure import Command, Spent
from bench.table import Table, ratio

LIMIT = 3
BARE = "python -c pass"
COMMANDS: dict[str, Command] = {
    BARE: [sys.executable, "-c", "pass"],
    "import zfs_push_backups": [sys.executable, "-c", "import zfs_push_backups"],
    "zfs-push-backups --help": [PROGRAM, "--help"],
    "zfs-push-backups --version": [PROGRAM, "--version"],
}


def bench(*, rounds: int) -> None:
    """Measure in turn, so that a slow moment hits all of them, and print the table."""
    found: dict[str, list[Spent]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            found[name].append(measure.run(command))
    table = Table(f"Start-up, medians of {rounds} runs", "", "CPU ms", "wall ms", "CPU / bare", "wall / bare")
    bare_cpu, bare_wall = _medians(found[BARE])
    for name, runs in found.items():
        cpu, wall = _medians(runs)
        table.row(name, f"{cpu * 1000:.1f}", f"{wall * 1000:.1f}", ratio(cpu, bare_cpu), ratio(wall, bare_wall))
    table.show(f"limit: {LIMIT} times the bare interpreter for the import and --help")


def _medians(runs: list[Spent]) -> tuple[float, float]:
    return measure.median(runs, lambda spent: spent.cpu), measure.median(runs, lambda spent: spent.wall)
