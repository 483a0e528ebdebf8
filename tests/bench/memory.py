"""Peak resident memory of the whole client process with the default budget, by the length of the stream."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench import client, measure
from bench.table import Table, ratio
from bench.workshop import Workshop
from harness import garage
from harness.processes import CommandFailed

LIMIT_MIB = 320
_SPARE = measure.GIB


def bench(workshop: Workshop, *, sizes_gib: list[float]) -> None:
    """Measure and print the table: into and out of a directory and Garage, one stream after the other."""
    folder, identity = workshop.folder, workshop.identity
    sizes = [int(size * measure.GIB) for size in sizes_gib]
    free = shutil.disk_usage(folder).free
    if free < max(sizes) + _SPARE:
        raise CommandFailed(
            f"{folder} has {free // measure.GIB} GiB free, a stream of {max(sizes_gib)} GiB does not fit: "
            "name a larger disk by --folder, or smaller streams by --memory-gib"
        )
    peaks: dict[str, list[int]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            ours = client.for_directory(Path(own), identity)
            _note(peaks, "directory", ours, size, None)
        with tempfile.TemporaryDirectory(dir=folder) as own, garage.garage_server(workshop.garage, Path(own)) as server:
            ours = client.for_server(Path(own), identity, server)
            _note(peaks, "Garage", ours, size, server.environment())
    table = Table("Peak RSS of the client, MiB", "", *(f"{size:g} GiB" for size in sizes_gib), "last / first")
    for name, found in peaks.items():
        cells = [f"{peak / measure.MIB:.0f}" for peak in found]
        table.row(name, *cells, ratio(found[-1], found[0]))
    table.show(f"limit: {LIMIT_MIB} MiB, the same at every length")


def _note(
    peaks: dict[str, list[int]], store: str, ours: client.Client, size: int, environment: Mapping[str, str] | None
) -> None:
    pushed = measure.run_fed(ours.push(), size, environment=environment)
    peaks.setdefault(f"push, {store}", []).append(pushed.peak)
    restored = measure.run_drained(ours.restore(), environment=environment)
    peaks.setdefault(f"restore, {store}", []).append(restored.peak)
