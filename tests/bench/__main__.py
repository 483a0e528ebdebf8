"""`scripts/bench [BENCHMARK...] [options]`: runs the benchmarks and prints their tables."""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from bench import memory, s3, startup
from bench.workshop import Workshop
from harness import foreign, garage
from harness.processes import CommandFailed

ALL = ("engine", "startup", "s3", "memory")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Compare with peers on the same bytes.")
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"of {', '.join(ALL)} (default: all)")
    parser.add_argument("--folder", type=Path, help="where streams and stores lie (default: the system's)")
    parser.add_argument("--s3-mib", type=int, default=2048, help="stream of s3 (2048)")
    parser.add_argument("--s3-rounds", type=int, default=3, help="rounds of s3 (3)")
    parser.add_argument("--engine-mib", type=int, default=1024, help="stream of engine (1024)")
    parser.add_argument("--engine-rounds", type=int, default=5, help="rounds of engine (5)")
    parser.add_argument("--memory-gib", default="1,16", help="streams of memory (1,16)")
    parser.add_argument("--startup-rounds", type=int, default=41, help="rounds of startup (41)")
    options = parser.parse_args()
    unknown = set(options.benchmarks) - set(ALL)
    if unknown:
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}: there are {', '.join(ALL)}")
    return options


def _engine(mib: int, rounds: int) -> None:
    cargo = str(garage.ROOT / "scripts/cargo")
    sizes = ["--mib", str(mib), "--rounds", str(rounds)]
    subprocess.run([cargo, "bench", "--quiet", "-p", "engine", "--bench", "pipeline", "--", *sizes], check=True)
    subprocess.run([cargo, "bench", "--quiet", "-p", "sendstream", "--bench", "fletcher"], check=True)


def main() -> None:
    """Run what was asked for."""
    options = _arguments()
    wanted = options.benchmarks or ALL
    program = garage.binary()
    if program is None:
        raise CommandFailed("Garage is not built: scripts/garage builds it")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, load average {load}: figures of a busy machine mean little", flush=True)
    if "engine" in wanted:
        _engine(options.engine_mib, options.engine_rounds)
    if "startup" in wanted:
        startup.bench(rounds=options.startup_rounds)
    with tempfile.TemporaryDirectory(prefix="zpb-bench-", dir=options.folder) as folder:
        tools = foreign.find()
        workshop = Workshop(Path(folder), program, tools, tools.new_identity(Path(folder)))
        if "s3" in wanted:
            s3.bench(workshop, mib=options.s3_mib, rounds=options.s3_rounds)
        if "memory" in wanted:
            memory.bench(workshop, sizes_gib=[float(size) for size in options.memory_gib.split(",")])


if __name__ == "__main__":
    main()
