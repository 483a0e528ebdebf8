"""systemd's way of stopping and starting: a unit ended in mid-push leaves a run that its next start goes on with."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.pool import Dataset, Pool, zfs
from harness.processes import CommandFailed
from vm.interruption import until
from vm.rig import Rig, facts, guids, held, mounted, whole

pytestmark = [pytest.mark.pool, pytest.mark.garage]
UNIT = "vm-push.service"
MIB = 1 << 20
STOP_SECONDS = 60
TAG = "zfs-push-backups:folder"


def systemctl(*words: str) -> str:
    done = subprocess.run(["systemctl", *words], check=False, capture_output=True, text=True, timeout=300)
    return done.stdout.strip()


def shown(key: str) -> str:
    return systemctl("show", "--value", "-p", key, UNIT)


def journal(form: str = "cat", *fields: str) -> str:
    words = ["journalctl", "-b", "-u", UNIT, "-o", form, *fields]
    return subprocess.run(words, check=False, capture_output=True, text=True).stdout


@pytest.fixture
def unit(rig: Rig, source: Dataset) -> Iterator[Callable[[str], None]]:
    path = Path("/run/systemd/system", UNIT)

    def write(words: str) -> None:
        path.write_text(f"""[Service]
Type=oneshot
ExecStart=/usr/local/bin/zfs-push-backups push --config {rig.config} --host folder {words}
KillMode=mixed
TimeoutStopSec={STOP_SECONDS}
""")
        systemctl("daemon-reload")

    (source.path / "file").write_bytes(random.Random(7).randbytes(8 * MIB))  # noqa: S311
    source.snapshot("one")
    rig.configure([rig.task(source.name)], part_size="1MiB")
    yield write
    systemctl("stop", UNIT)
    path.unlink()
    systemctl("daemon-reload")


def parts(rig: Rig) -> list[Path]:
    return sorted(rig.store.glob("data/**/part-*.age"))


def test_a_stopped_unit_goes_on_when_it_is_started_again(
    unit: Callable[[str], None], rig: Rig, source: Dataset, zfs_pool: Pool
) -> None:
    unit("--limit-upload 1MiB")
    systemctl("start", "--no-block", UNIT)
    until(lambda: len(parts(rig)) >= 3, "three parts", said=journal)
    assert held(f"{source.name}@one") == [TAG]
    with pytest.raises(CommandFailed, match=r"busy|held"):
        zfs("destroy", f"{source.name}@one")
    begun = time.monotonic()
    systemctl("stop", UNIT)
    assert time.monotonic() - begun < STOP_SECONDS, journal()
    assert shown("ExecMainStatus") == "143", journal()
    assert subprocess.run(["pgrep", "-x", "zfs"], check=False, stdout=subprocess.DEVNULL).returncode == 1
    kept = parts(rig)
    assert kept, "a stop keeps what is stored"
    assert rig.manifests("folder") == {}
    assert held(f"{source.name}@one") == [TAG]
    (hold,) = rig.run("holds", "--json").good().json()["holds"]
    assert (hold["dataset"], hold["snapshot"], hold["held"], hold["noted"]) == (source.name, "one", True, True)
    assert datetime.fromisoformat(hold["since"]) < datetime.now(UTC)
    unit("")
    systemctl("start", UNIT)
    assert shown("Result") == "success", journal()
    assert shown("ExecMainStatus") == "0", journal()
    manifest = next(iter(rig.manifests("folder").values()))
    assert manifest["send"]["made"] == "spliced"
    named = {part["key"] for part in manifest["parts"]}
    assert {str(path.relative_to(rig.store)) for path in kept} <= named, "parts were sent once more"
    assert {str(path.relative_to(rig.store)) for path in parts(rig)} == named
    assert held(f"{source.name}@one") == []
    target = rig.restore(source.name)
    assert guids(target) == guids(source.name)
    assert facts(mounted(zfs_pool, target)) == facts(source.path)


@whole
def test_the_journal_has_fields(unit: Callable[[str], None], rig: Rig, source: Dataset) -> None:
    unit("")
    systemctl("start", UNIT)
    assert shown("Result") == "success", journal()
    assert "Traceback" not in journal()
    found = [json.loads(line) for line in journal("json", f"ZPB_DATASET={source.name}").splitlines()]
    assert any("sending" in entry["MESSAGE"] for entry in found), journal()
    assert {entry["SYSLOG_IDENTIFIER"] for entry in found} == {"zfs-push-backups"}
