"""Pushes that `zfs send -t` goes on with, and what becomes of them where it does otherwise than expected."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from harness.pool import Dataset, DatasetFactory, zfs
from harness.processes import CommandFailed
from harness.resuming_zfs import Fault, ResumingZfs, make
from integration.stopped_push import (
    MIB,
    SECONDS,
    change_state,
    committed_whole,
    configure,
    grow,
    manifests,
    open_runs,
    push,
    stop,
    under_way,
)
from integration.workbench import Done, Workbench

pytestmark = pytest.mark.pool


@pytest.fixture
def sender(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> ResumingZfs:
    made = make(tmp_path_factory.mktemp("zfs") / "bin")
    monkeypatch.setenv("PATH", made.path)
    return made


@pytest.fixture
def src(bench: Workbench, dataset: DatasetFactory, sender: ResumingZfs) -> Dataset:
    assert sender.sends == []
    one = dataset("splice")
    grow(one, "s1")
    configure(bench, bench.task(one.name))
    return one


def made(bench: Workbench) -> list[str]:
    return sorted(manifest["send"]["made"] for manifest in manifests(bench))


def result(done: Done) -> dict[str, object]:
    (found,) = done.results()
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_only_the_rest_and_one_part_are_read_again(
    bench: Workbench, src: Dataset, sender: ResumingZfs, tmp_path: Path, number: signal.Signals
) -> None:
    run = stop(bench, number=number, parts=3)
    done = push(bench, "--json")
    ended = result(done)
    assert ended["made"] == "spliced"
    assert int(str(ended["read_bytes"])) <= int(str(ended["stream_bytes"])) - (run.parts - 2) * MIB // 2
    assert "read again" not in done.err
    assert sender.sends[-1] == "-t"
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] == run.id
    assert made(bench) == ["spliced"]


def test_it_goes_on_as_often_as_it_is_stopped(
    bench: Workbench, src: Dataset, sender: ResumingZfs, tmp_path: Path
) -> None:
    first = stop(bench)
    second = stop(bench, number=signal.SIGKILL, parts=1)
    third = stop(bench, parts=1)
    assert first.id == third.id
    assert first.parts < second.parts < third.parts
    push(bench)
    committed_whole(bench, src, tmp_path)
    assert sender.sends[1:4] == ["-t"] * 3


def test_an_incremental_goes_on_and_later_ones_stand_on_it(
    bench: Workbench, src: Dataset, sender: ResumingZfs, tmp_path: Path
) -> None:
    push(bench)
    grow(src, "s2")
    with under_way(bench, parts=3) as process:
        process.kill()
    (run,) = open_runs(bench)
    assert run.level == 1
    assert result(push(bench, "--json"))["made"] == "spliced"
    assert made(bench) == ["spliced", "zfs"]
    committed_whole(bench, src, tmp_path, ids=2)
    (restored,) = tmp_path.glob("restored-*")
    (whole,) = sender.folder.glob(f"stream-*-{snapshot_guid(src, 's1')}")
    assert restored.read_bytes() == whole.read_bytes()


def snapshot_guid(one: Dataset, label: str) -> int:
    return int(zfs("get", "-Hp", "-o", "value", "guid", f"{one.name}@{label}"))


REFUSALS: list[tuple[Fault, str]] = [
    ("refuses", "no longer the same snapshot"),
    ("dies-early", "Input/output error"),
    ("whole", "starts at its beginning"),
    ("differs", "is not the one that is stored"),
    ("late", "does not lie behind the border"),
]


@pytest.mark.parametrize(("fault", "reason"), REFUSALS)
def test_what_is_unexpected_is_read_again_from_the_start(
    bench: Workbench, src: Dataset, sender: ResumingZfs, tmp_path: Path, fault: Fault, reason: str
) -> None:
    run = stop(bench)
    sender.have(fault)
    done = push(bench, "--json")
    assert result(done)["made"] == "zfs"
    assert "so it is read again from its start: " in done.err
    assert reason in done.err
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] == run.id, "nothing that was stored is sent again"
    assert made(bench) == ["zfs"]
    assert sender.sends[:3] == [f"{src.name}@s1", "-t", f"{src.name}@s1"]


def test_after_a_refusal_for_good_it_is_not_tried_again(
    bench: Workbench, src: Dataset, sender: ResumingZfs, tmp_path: Path
) -> None:
    stop(bench)
    sender.have("differs")
    with under_way(bench, parts=1) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS)
    assert sender.sends == [f"{src.name}@s1", "-t", f"{src.name}@s1"]
    sender.have("none")
    done = push(bench, "-v")
    assert "zfs send -t could not go on with it" in done.err
    assert "-t" not in sender.sends[3:]
    committed_whole(bench, src, tmp_path)


def test_a_sender_that_breaks_off_later_leaves_a_run_to_go_on_with(
    bench: Workbench, src: Dataset, sender: ResumingZfs, tmp_path: Path
) -> None:
    run = stop(bench)
    sender.have("dies")
    done = bench.run("--host", "backup1")
    assert done.code == 1, done.err
    assert "Input/output error" in done.err
    assert "read again" not in done.err
    (left,) = open_runs(bench)
    assert (left.id, left.parts > run.parts) == (run.id, True)
    sender.have("none")
    assert result(push(bench, "--json"))["made"] == "spliced"
    committed_whole(bench, src, tmp_path)


def test_another_module_reads_again_and_says_why(
    bench: Workbench, src: Dataset, sender: ResumingZfs, tmp_path: Path
) -> None:
    run = stop(bench)
    sender.become("2.9.2")
    done = push(bench, "-v")
    assert "the zfs module was zfs-kmod-2.9.1 and is zfs-kmod-2.9.2 now" in done.err
    assert "-t" not in sender.sends
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] == run.id


def test_a_damaged_journal_reads_again(bench: Workbench, src: Dataset, sender: ResumingZfs, tmp_path: Path) -> None:
    run = stop(bench)
    change_state(bench, "UPDATE runs SET begin_record = 'zz'")
    done = push(bench)
    assert "the run state gives no resume token" in done.err
    (entry,) = committed_whole(bench, src, tmp_path)
    assert entry["id"] == run.id
    assert "-t" not in sender.sends


def test_a_stop_while_it_goes_on_is_a_stop(bench: Workbench, src: Dataset, sender: ResumingZfs, tmp_path: Path) -> None:
    stop(bench)
    stop(bench, number=signal.SIGINT, parts=1)
    assert sender.sends == [f"{src.name}@s1", "-t"]
    push(bench)
    committed_whole(bench, src, tmp_path)


def rename(name: str, other: str) -> None:
    # zfs-fuse calls a mounted dataset with a hold busy.
    zfs("unmount", name)
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            zfs("rename", name, other)
        except CommandFailed:
            # FUSE lets go of it a moment after the command has ended.
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            break
    zfs("mount", other)


def renamed(bench: Workbench, src: Dataset) -> str:
    name = f"{src.name}-renamed"
    rename(src.name, name)
    configure(bench, bench.task(name))
    return name


def test_a_renamed_dataset_is_gone_on_with_under_its_old_name(
    bench: Workbench, src: Dataset, sender: ResumingZfs, tmp_path: Path
) -> None:
    run = stop(bench)
    name = renamed(bench, src)
    try:
        done = push(bench, "--json")
        assert f"{src.name} is called {name} now" in done.err
        assert result(done)["made"] == "spliced"
        (manifest,) = manifests(bench)
        assert (manifest["id"], manifest["dataset"]) == (run.id, src.name)
        restored = tmp_path / "restored"
        words = ("restore", "--dataset", src.name, "--identity", bench.key, "--output", restored)
        assert bench.run(*words).code == 0
        (whole,) = sender.folder.glob("stream-*-0")
        assert restored.read_bytes() == whole.read_bytes(), "the first record has the old name"
        assert zfs("get", "-Hp", "-o", "value", "userrefs", f"{name}@s1").strip() == "0"
        push(bench)
        assert sorted(entry["dataset"] for entry in bench.listed()) == [src.name, name]
    finally:
        rename(name, src.name)


def sick(sender: ResumingZfs, when: str, said: str) -> str:
    """A PATH whose zfs fails with these words when this shell condition holds."""
    folder = sender.folder / "sick"
    folder.mkdir()
    program = folder / "zfs"
    program.write_text(f'#!/bin/sh\n{when} && {{ echo "{said}" >&2; exit 1; }}\nexec {sender.folder}/zfs "$@"\n')
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def test_a_pool_that_is_away_keeps_its_run(
    bench: Workbench, src: Dataset, sender: ResumingZfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stop(bench)
    path = sick(sender, '[ "$1" = get -o "$1" = list ]', f"cannot open '{src.name}': dataset does not exist")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", path)
        done = bench.run("--host", "backup1")
    assert done.code == 1
    assert f"dataset {src.name} does not exist" in done.err
    assert [one.id for one in open_runs(bench)] == [run.id]
    push(bench)
    assert ([manifest["id"] for manifest in manifests(bench)], made(bench)) == ([run.id], ["spliced"])


def test_a_run_whose_renamed_dataset_cannot_be_asked_about_is_not_given_up(
    bench: Workbench, src: Dataset, sender: ResumingZfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = stop(bench)
    name = renamed(bench, src)
    path = sick(sender, f'[ "$*" = "get -Hp -o value guid {name}" ]', "out of memory")
    try:
        with monkeypatch.context() as patch:
            patch.setenv("PATH", path)
            done = push(bench)
        assert f"the run {run.id} of {src.name}@s1 can't be looked at now and waits" in done.err
        assert "out of memory" in done.err
        assert [one.id for one in open_runs(bench)] == [run.id]
        push(bench)
        assert open_runs(bench) == ()
        assert {one["dataset"]: one["send"]["made"] for one in manifests(bench)} == {name: "zfs", src.name: "spliced"}
    finally:
        rename(name, src.name)


def test_a_renamed_dataset_whose_stream_must_be_read_again_begins_anew(
    bench: Workbench, src: Dataset, sender: ResumingZfs
) -> None:
    run = stop(bench)
    name = renamed(bench, src)
    sender.become("2.9.2")
    try:
        done = push(bench)
        assert f"its dataset is called {name} now" in done.err
        (manifest,) = manifests(bench)
        assert manifest["dataset"] == name
        assert manifest["id"] != run.id
    finally:
        rename(name, src.name)


def test_another_dataset_under_the_old_name_is_not_taken_for_it(
    bench: Workbench, src: Dataset, sender: ResumingZfs, dataset: DatasetFactory
) -> None:
    run = stop(bench)
    name = f"{src.name}-renamed"
    rename(src.name, name)
    other = dataset("other")
    grow(other, "s1", mebibytes=1)
    rename(other.name, src.name)
    configure(bench, bench.task(src.name), bench.task(name, name="moved"))
    try:
        push(bench)
        found = {manifest["dataset"]: manifest["id"] for manifest in manifests(bench)}
        assert set(found) == {src.name, name}
        assert run.id not in found.values(), "the task of the run has another dataset now"
        assert sender.sends
    finally:
        rename(src.name, other.name)
        rename(name, src.name)


def test_a_dataset_that_was_replaced_since_the_run_was_settled_is_read_again(
    bench: Workbench, src: Dataset, sender: ResumingZfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(bench)
    folder = tmp_path / "other-now"
    folder.mkdir()
    # The last look, right before the splice, finds another dataset than the first one did.
    other = 'case "$3 $4" in "-o name,property,value") exit 0 ;; esac'
    (folder / "zfs").write_text(f'#!/bin/sh\n{other}\nPATH={sender.path} exec zfs "$@"\n')
    (folder / "zfs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{sender.path}")
    done = push(bench)
    assert "is not the dataset any more that it was when the run began" in done.err
    assert made(bench) == ["zfs"]
    committed_whole(bench, src, tmp_path)
