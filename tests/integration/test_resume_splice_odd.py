"""Odd ends of pushes that `zfs send -t` goes on with: senders that never get done, datasets that moved or came back."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from harness.pool import Dataset, DatasetFactory, zfs
from harness.processes import CommandFailed
from harness.resuming_zfs import ResumingZfs, make
from integration.stopped_push import SECONDS, TAG, committed_whole, configure, grow, manifests, push, stop, under_way
from integration.workbench import Workbench

pytestmark = pytest.mark.pool


@pytest.fixture
def sender(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> ResumingZfs:
    made = make(tmp_path_factory.mktemp("zfs") / "bin")
    monkeypatch.setenv("PATH", made.path)
    return made


@pytest.fixture
def src(bench: Workbench, dataset: DatasetFactory, sender: ResumingZfs) -> Dataset:
    assert sender.sends == []
    one = dataset("odd")
    grow(one, "s1")
    configure(bench, bench.task(one.name))
    return one


def how_made(bench: Workbench) -> list[str]:
    return [manifest["send"]["made"] for manifest in manifests(bench)]


def test_a_sender_that_fails_twice_at_the_same_place_is_not_tried_for_ever(
    bench: Workbench, src: Dataset, sender: ResumingZfs, tmp_path: Path
) -> None:
    run = stop(bench)
    sender.have("ends-badly")
    for _ in ("adds all parts", "adds none"):
        done = bench.run("--host", "backup1")
        assert done.code == 1
        assert "Input/output error" in done.err
    done = push(bench)
    assert "so it is read again from its start: " in done.err
    assert sender.sends == [f"{src.name}@s1", "-t", "-t", "-t", f"{src.name}@s1"]
    (entry,) = committed_whole(bench, src, tmp_path)
    assert (entry["id"], how_made(bench)) == (run.id, ["zfs"])


def test_a_dataset_that_came_back_by_receive_is_read_again(
    bench: Workbench, src: Dataset, sender: ResumingZfs, tmp_path: Path
) -> None:
    run = stop(bench)
    copy = tmp_path / "copy"
    with copy.open("wb") as file:
        subprocess.run(["zfs", "send", f"{src.name}@s1"], stdout=file, check=True, timeout=SECONDS)
    zfs("release", TAG, f"{src.name}@s1")
    unmounted(src.name, "destroy", "-r", src.name)
    with copy.open("rb") as file:
        subprocess.run(["zfs", "receive", src.name], stdin=file, check=True, timeout=SECONDS)
    done = push(bench)
    assert f"zfs doesn't tell that {src.name} is still the dataset it was" in done.err
    assert "-t" not in sender.sends
    (manifest,) = manifests(bench)
    assert manifest["id"] == run.id


def test_a_renamed_dataset_stays_held_while_its_run_is_open(
    bench: Workbench, src: Dataset, sender: ResumingZfs
) -> None:
    stop(bench)
    name = f"{src.name}-moved"
    unmounted(src.name, "rename", src.name, name)
    try:
        zfs("mount", name)
        configure(bench, bench.task(name))
        sender.have("dies")
        assert bench.run("--host", "backup1").code == 1
        assert references(f"{name}@s1") == 1
        with under_way(bench, parts=0) as process:
            process.kill()
        assert references(f"{name}@s1") == 1
        sender.have("none")
        push(bench)
        assert how_made(bench) == ["spliced"]
        assert references(f"{name}@s1") == 0
    finally:
        unmounted(name, "rename", name, src.name)


def references(snapshot: str) -> int:
    return int(zfs("get", "-Hp", "-o", "value", "userrefs", snapshot))


def unmounted(name: str, *words: str) -> None:
    """Unmount a dataset, then do it: zfs-fuse calls it busy until FUSE has let go of it."""
    zfs("unmount", name)
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            zfs(*words)
        except CommandFailed:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            break
