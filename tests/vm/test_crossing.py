"""A push that began under one OpenZFS and goes on under another: pool, run state and store moved between two machines.

The first machine leaves a killed push on a disk of its own, the second one finds it; so this needs both in one run.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.pool import Pool, zfs, zpool
from harness.s3 import S3Server
from vm.interruption import go_on, interrupt, named_parts, open_runs, opened, same_bytes, send, stored_parts
from vm.rig import CROSSING, Rig, held
from vm.sources import WRITTEN_MIB, Source

pytestmark = [pytest.mark.pool, pytest.mark.garage, pytest.mark.timeout(1800)]
DISK, HOME, POOL = "/dev/vdc", Path("/mnt/crossing"), "zpbcrossing"
TWO = f"{POOL}/data@two"


@pytest.fixture
def home() -> Iterator[Path]:
    """The disk that goes from machine to machine."""
    HOME.mkdir(exist_ok=True)
    subprocess.run(["mount", DISK, HOME], check=True)
    yield HOME
    zpool("export", POOL)
    subprocess.run(["umount", HOME], check=True)


def rig_of(home: Path, server: S3Server, recipient: str) -> Rig:
    rig = Rig(home, Pool(POOL, home / "mounted", "openzfs"), server, home / "identity", recipient)
    rig.configure([rig.task(f"{POOL}/data")], part_size="1MiB")
    return rig


def source_of(rig: Rig) -> Source:
    return Source(rig.pool, "plain", f"{POOL}/data", rig.folder / "zfs-key")


def version() -> str:
    return Path("/sys/module/zfs/version").read_text().strip()


if CROSSING == "leave":

    def test_a_killed_push_leaves(home: Path, garage: S3Server, identity: tuple[Path, str]) -> None:
        shutil.copy(identity[0], home / "identity")
        image = home / "pool.img"
        with image.open("wb") as file:
            file.truncate(1 << 30)
        old = ("-o", "compatibility=openzfs-2.1-linux", "-o", "cachefile=none")
        zpool("create", *old, "-m", str(home / "mounted"), POOL, str(image))
        zfs("create", f"{POOL}/data")
        rig = rig_of(home, garage, identity[1])
        source = source_of(rig)
        source.write(0)
        zfs("snapshot", f"{POOL}/data@one")
        rig.push()
        source.write(1)
        zfs("snapshot", TWO)
        send(TWO, ["-L", "-e", "-c"], f"{POOL}/data@one", home / "uninterrupted")
        interrupt(rig, signal.SIGKILL, WRITTEN_MIB // 2)
        (home / "version").write_text(version())


if CROSSING == "arrive":

    def test_it_goes_on_in_the_other_machine(home: Path, garage: S3Server) -> None:
        then = (home / "version").read_text()
        assert then != version()
        zpool("import", "-d", str(home), "-o", "cachefile=none", POOL)
        recipient = subprocess.run(["age-keygen", "-y", home / "identity"], check=True, capture_output=True, text=True)
        rig = rig_of(home, garage, recipient.stdout.strip())
        kept = stored_parts(rig) - named_parts(rig)
        (run,) = open_runs(rig)
        went_on = go_on(rig)
        assert then in went_on.said, went_on.said
        assert version() in went_on.said, went_on.said
        assert (went_on.manifest["send"]["made"], went_on.manifest["id"]) == ("zfs", run.id)
        assert went_on.result["read_bytes"] >= went_on.result["stream_bytes"]
        same_bytes(opened(rig, went_on.manifest, home / "opened"), home / "uninterrupted")
        assert kept & named_parts(rig), "what the other machine stored was stored again"
        assert stored_parts(rig) == named_parts(rig)
        assert held(TWO) == []
        target, source = rig.restore(f"{POOL}/data"), source_of(rig)
        assert source.content(target) == source.content(source.name)
