"""Where a splice can't be had the stream is read again and proven, and the log says why; changed names."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest

from harness.pool import zfs
from vm.interruption import (
    READ_AGAIN,
    TAG,
    WentOn,
    assert_spliced,
    go_on,
    named_parts,
    open_runs,
    opened,
    same_bytes,
    stored_parts,
)
from vm.journey import Begin, Journey
from vm.rig import Rig, bookmarks, guids, held, whole
from zfs_push_backups.catalogue.catalogue import FILE_NAME

pytestmark = [pytest.mark.pool, pytest.mark.garage, pytest.mark.timeout(1800)]
TERM, KILL = signal.SIGTERM, signal.SIGKILL
# The real one, but for `send -t`, of which it keeps a note.
STUBBORN = """#!/bin/sh
case "$1 $2" in
"send -t") echo "$2" >>{asked}; {instead} ;;
esac
exec {real} "$@"
"""
# What it does instead, and why the stream is read again then.
NO_GOOD = {
    "refuses": ("echo 'cannot resume send: no longer the same snapshot' >&2; exit 255", "no longer the same snapshot"),
    "sends-the-whole": ("shift 2; exec {real} send -Lec {snapshot}", "starts at its beginning"),
}
# Behind the part that proves it: an error, and no reason to read again.
BROKEN = {"breaks-off": '{real} "$@" | head -c 3000000; exit 1', "lies": '{real} "$@" | head -c 3000000; exit 0'}


def assert_read_again(journey: Journey, went_on: WentOn, *reasons: str) -> None:
    """One run of `zfs send` gave it all, nothing stored was stored twice, and the log says why."""
    assert went_on.manifest["send"]["made"] == "zfs", went_on.said
    for reason in reasons:
        assert reason in went_on.said, (reason, went_on.said)
    same_bytes(opened(journey.rig, went_on.manifest, journey.scratch / "opened"), journey.stream)
    assert stored_parts(journey.rig) == named_parts(journey.rig)
    journey.restored_is_the_same()


def change_facts(rig: Rig, key: str, value: str) -> None:
    with contextlib.closing(sqlite3.connect(rig.state / FILE_NAME)) as connection, connection:
        changed = connection.execute("UPDATE runs SET facts = json_set(facts, ?, ?) WHERE ended IS NULL", (key, value))
        assert changed.rowcount == 1


def test_another_module_reads_again(begin: Begin) -> None:
    journey = begin("plain", None)
    journey.interrupt(KILL)
    kept = stored_parts(journey.rig)
    change_facts(journey.rig, "$.zfs_kernel", "2.0.3-another")
    went_on = go_on(journey.rig)
    assert_read_again(journey, went_on, "2.0.3-another", Path("/sys/module/zfs/version").read_text().strip())
    assert went_on.result["read_bytes"] >= journey.stream.stat().st_size
    assert kept & named_parts(journey.rig), "what was stored was stored again"


def be_stubborn(journey: Journey, folder: Path, instead: str) -> Path:
    """Put another `zfs` before the real one; returns where it notes each `send -t`."""
    real, asked = shutil.which("zfs"), folder / "asked"
    instead = instead.format(real=real, snapshot=f"{journey.source.name}@one")
    (folder / "zfs").write_text(STUBBORN.format(real=real, instead=instead, asked=asked))
    (folder / "zfs").chmod(0o755)
    usual = journey.rig.environment
    journey.rig.environment = {**usual, "PATH": os.pathsep.join([str(folder), os.environ["PATH"]])}
    return asked


@whole
@pytest.mark.parametrize("way", NO_GOOD)
def test_a_send_t_that_is_no_good_reads_again(begin: Begin, tmp_path_factory: pytest.TempPathFactory, way: str) -> None:
    journey = begin("plain", None)
    journey.interrupt(TERM)
    instead, reason = NO_GOOD[way]
    asked = be_stubborn(journey, tmp_path_factory.mktemp("stubborn"), instead)
    went_on = go_on(journey.rig)
    assert asked.read_text() == "-t\n"
    assert_read_again(journey, went_on, reason, READ_AGAIN)


@whole
@pytest.mark.parametrize("way", BROKEN)
def test_a_send_t_that_breaks_off_is_gone_on_with(
    begin: Begin, tmp_path_factory: pytest.TempPathFactory, way: str
) -> None:
    journey = begin("plain", None)
    journey.interrupt(TERM)
    usual = journey.rig.environment
    asked = be_stubborn(journey, tmp_path_factory.mktemp("stubborn"), BROKEN[way])
    done = journey.rig.run("push", "--json", "-v")
    done.refused(1)
    assert asked.read_text() == "-t\n"
    assert READ_AGAIN not in done.err
    assert journey.rig.manifests("folder") == {}
    (run,) = open_runs(journey.rig)
    journey.rig.environment = usual
    assert_spliced(journey.rig, go_on(journey.rig), run.parts, journey.stream, journey.scratch)
    journey.restored_is_the_same()


@whole
def test_the_base_became_a_bookmark_in_between(begin: Begin) -> None:
    journey = begin("attributes", "snapshot")
    journaled = journey.interrupt(KILL)
    base = f"{journey.source.name}@one"
    assert held(base) == [TAG]
    zfs("release", TAG, base)
    zfs("destroy", base)
    assert bookmarks(journey.source.name)
    assert_spliced(journey.rig, go_on(journey.rig), journaled, journey.stream, journey.scratch)
    journey.restored_is_the_same()


@whole
@pytest.mark.parametrize("base", [None, "snapshot"])
def test_a_renamed_dataset_goes_on_under_the_name_it_began_with(begin: Begin, base: str | None) -> None:
    journey = begin("plain", base)
    journaled = journey.interrupt(TERM)
    old, rig, source = journey.source.name, journey.rig, journey.source
    source.name = f"{old}-renamed"
    zfs("rename", old, source.name)
    rig.configure([rig.task(source.name)], part_size="1MiB")
    went_on = go_on(rig)
    assert went_on.manifest["dataset"] == old
    assert_spliced(rig, went_on, journaled, journey.stream, journey.scratch)
    assert open_runs(rig) == ()
    assert all(held(f"{source.name}@{label}") == [] for label in guids(source.name))
    target = rig.restore(old)
    assert source.content(target) == source.content(source.name)
    zfs("destroy", "-r", target)
    # What follows is of the new name, and whole.
    zfs("snapshot", f"{source.name}@later")
    assert [(one["dataset"], one["level"]) for one in rig.push()] == [(source.name, 0)]
    target = rig.restore(source.name)
    assert source.content(target) == source.content(source.name)
    zfs("destroy", "-r", target)


@whole
def test_a_renamed_snapshot_says_why_it_begins_anew(begin: Begin) -> None:
    journey = begin("plain", None)
    journey.interrupt(TERM)
    zfs("rename", f"{journey.source.name}@one", f"{journey.source.name}@uno")
    went_on = go_on(journey.rig)
    assert "is called @uno now" in went_on.said
    assert went_on.manifest["send"]["made"] == "zfs"
    assert stored_parts(journey.rig) == named_parts(journey.rig)
    target = journey.rig.restore(journey.source.name)
    assert journey.source.content(target) == journey.source.content(journey.source.name)


def test_another_key_is_no_way_to_go_on(begin: Begin, tmp_path: Path) -> None:
    """A raw stream begins with the wrapped keys: its stored beginning opens with the old key alone."""
    journey = begin("raw", None)
    journey.interrupt(KILL)
    source, another = journey.source, tmp_path / "another-key"
    another.write_text("f" * 64)
    source.open()
    zfs("change-key", "-o", f"keylocation=file://{another}", source.name)
    zfs("unload-key", source.name)
    source.key = another
    done = journey.rig.run("push", "--json", "-v").good()
    assert done.results()[-1]["made"] == "zfs", done
    assert stored_parts(journey.rig) == named_parts(journey.rig)
    journey.restored_is_the_same()
