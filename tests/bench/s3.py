"""S3: one stream into a local Garage and back, ours beside `age` piped into the usual tools.

Each measurement has a Garage of its own that starts empty, and a disk with nothing left to write.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import client, measure, stream
from bench.measure import Command, Spent
from bench.table import Table, ratio
from bench.workshop import Workshop
from harness import garage
from harness.foreign import AgeIdentity, ForeignTools
from harness.s3 import S3Server

PEER = "age | aws s3 cp -"
CPU_LIMIT, WALL_LIMIT = 0.4, 0.7


@dataclass(frozen=True)
class Place:
    """What a contender works with."""

    folder: Path
    server: S3Server
    identity: AgeIdentity
    tools: ForeignTools

    @property
    def object(self) -> str:
        return f"{self.server.bucket}/bench/stream.age"

    def environment(self) -> dict[str, str]:
        """Return credentials for all of them, and rclone's remote `garage:`."""
        remote = {
            "TYPE": "s3",
            "PROVIDER": "Other",
            "ENV_AUTH": "true",
            "ENDPOINT": self.server.endpoint,
            "REGION": self.server.region,
        }
        return self.server.environment() | {f"RCLONE_CONFIG_GARAGE_{key}": value for key, value in remote.items()}

    def seal(self) -> Command:
        return [self.tools.age, "-r", self.identity.recipient]

    def open(self) -> Command:
        return [self.tools.age, "-d", "-i", self.identity.path]

    def aws(self, *arguments: str) -> Command:
        return [self.tools.aws, "--endpoint-url", self.server.endpoint, "s3", "cp", "--no-progress", *arguments]


@dataclass(frozen=True)
class Contender:
    """A way in and, for some, the way back: pipelines of commands."""

    name: str
    push: Callable[[Place], list[Command]]
    restore: Callable[[Place], list[Command]] | None


def _ours(name: str, signing: str) -> Contender:
    def commands(place: Place) -> client.Client:
        return client.for_server(place.folder, place.identity, place.server, payload_signing=signing)

    return Contender(
        name,
        push=lambda place: [commands(place).push()],
        restore=lambda place: [commands(place).restore(), ["cat"]],
    )


CONTENDERS = (
    _ours("ours, payload unsigned", "never"),
    _ours("ours, payload signed", "always"),
    Contender(
        PEER,
        push=lambda place: [place.seal(), place.aws("-", f"s3://{place.object}")],
        restore=lambda place: [place.aws(f"s3://{place.object}", "-"), place.open()],
    ),
    Contender(
        "age | rclone rcat",
        push=lambda place: [
            place.seal(),
            [
                *(place.tools.rclone, "rcat", f"garage:{place.object}", "--s3-no-check-bucket"),
                *("--s3-chunk-size", "64Mi", "--s3-upload-concurrency", "4"),
            ],
        ],
        restore=None,
    ),
)


@dataclass(frozen=True)
class Measured:
    """One run: the client's cost and the CPU seconds of the server meanwhile."""

    client: Spent
    server: float


Runs = dict[str, list[Measured]]


def bench(workshop: Workshop, *, mib: int, rounds: int) -> None:
    """Measure and print both tables."""
    folder, identity, tools = workshop.folder, workshop.identity, workshop.tools
    source = folder / "stream"
    with source.open("wb") as file:
        for chunk in stream.chunks(mib * measure.MIB):
            file.write(chunk)
    pushes: Runs = {one.name: [] for one in CONTENDERS}
    restores: Runs = {one.name: [] for one in CONTENDERS if one.restore}
    for _ in range(rounds):
        for one in CONTENDERS:
            with tempfile.TemporaryDirectory(dir=folder) as own:
                place_folder = Path(own)
                with garage.garage_server(workshop.garage, place_folder) as server:
                    place = Place(place_folder, server, identity, tools)
                    pushes[one.name].append(_measured(place, one.push(place), source))
                    if one.restore:
                        restores[one.name].append(_measured(place, one.restore(place), None))
    source.unlink()
    gib = mib * measure.MIB / measure.GIB
    _table(f"Push of {mib} MiB into Garage, medians of {rounds} rounds", pushes, gib)
    _table(f"Restore of {mib} MiB out of Garage, medians of {rounds} rounds", restores, gib)


def _measured(place: Place, commands: list[Command], source: Path | None) -> Measured:
    os.sync()
    server = measure.pid_of(str(place.folder / "garage.toml"))
    before = measure.cpu_seconds(server)
    spent = measure.run_pipeline(*commands, source=source, environment=place.environment())
    return Measured(spent, measure.cpu_seconds(server) - before)


def _table(title: str, runs: Runs, gib: float) -> None:
    table = Table(title, "", "CPU s/GiB", "wall s", "server CPU s/GiB", "CPU / peer", "wall / peer")
    medians = {
        name: (
            measure.median([run.client for run in found], lambda spent: spent.cpu),
            measure.median([run.client for run in found], lambda spent: spent.wall),
            sorted(run.server for run in found)[len(found) // 2],
        )
        for name, found in runs.items()
    }
    peer_cpu, peer_wall, _ = medians[PEER]
    for name, (cpu, wall, server) in medians.items():
        figures = (f"{cpu / gib:.2f}", f"{wall:.2f}", f"{server / gib:.2f}")
        table.row(name, *figures, ratio(cpu, peer_cpu), ratio(wall, peer_wall))
    table.show(f"peer: {PEER}; limits of a push: CPU at most {CPU_LIMIT}, wall at most {WALL_LIMIT} of the peer's")
