"""A folder as host whose disk is full, read-only, gone, or not ours to write: one line, nothing half-written."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.foreign import AgeIdentity
from harness.processes import CommandFailed, run
from harness.program import FURNITURE, STREAMS, Place, folder_place

STREAM = STREAMS / "d-full.zs"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 2 MiB."""
    mountpoint = tmp_path / "disk"
    mountpoint.mkdir()
    try:
        run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mountpoint])
    except CommandFailed:
        pytest.skip("needs root: only root may mount a tmpfs")
    yield mountpoint
    run(["umount", "--lazy", mountpoint])


def remount(disk: Path, options: str) -> None:
    run(["mount", "-o", f"remount,{options}", disk])


def left(place: Place) -> set[str]:
    """Return what lies there beside the furniture, hidden files and empty folders as well."""
    assert place.folder is not None
    names = {str(path.relative_to(place.folder)) for path in place.folder.rglob("*") if not path.is_dir()}
    return names - FURNITURE


# Room for nothing; for the documents; for a bit of the part (772 KiB).
@pytest.mark.parametrize("room", ["4k", "100k", "400k"])
def test_a_full_disk_commits_nothing_and_leaves_nothing(room: str, disk: Path, age_identity: AgeIdentity) -> None:
    place = folder_place(disk)
    remount(disk, f"size={room}")
    place.take(STREAM, age_identity.recipient).refused(1, "no space left", "make room and run again")
    assert left(place) == set()
    remount(disk, "size=2m")
    assert place.listed() == []
    place.take(STREAM, age_identity.recipient).good()
    assert len(place.listed()) == 1


def test_a_disk_that_fills_up_keeps_the_backups_it_has(disk: Path, age_identity: AgeIdentity) -> None:
    place = folder_place(disk)
    place.take(STREAM, age_identity.recipient).good()
    before = place.content()
    remount(disk, "size=1m")
    incremental = STREAMS / "d-incr.zs"
    place.take(incremental, age_identity.recipient, name="tank/d@b").refused(1, "no space left")
    assert place.content() == before
    remount(disk, "size=3m")
    place.take(incremental, age_identity.recipient, name="tank/d@b").good()
    assert [one["level"] for one in place.listed()] == [0, 1]


def test_a_file_that_does_not_fit_is_taken_away_again(disk: Path, age_identity: AgeIdentity, tmp_path: Path) -> None:
    """Restoring to a file on a full disk: no file that looks like a backup stays."""
    (tmp_path / "store").mkdir()
    place = folder_place(tmp_path / "store")
    place.take(STREAM, age_identity.recipient).good()
    remount(disk, "size=400k")
    words = ("--dataset", "tank/d", "--identity", age_identity.path, "--output", disk / "out")
    place.run("restore", *words).refused(1, str(disk / "out"), "no space left", "make room")
    assert list(disk.iterdir()) == []


def test_a_read_only_disk(disk: Path, age_identity: AgeIdentity, tmp_path: Path) -> None:
    place = folder_place(disk)
    remount(disk, "ro")
    place.take(STREAM, age_identity.recipient).refused(1, "read-only", "remount it writable")
    remount(disk, "rw")
    place.take(STREAM, age_identity.recipient).good()
    before = place.content()
    remount(disk, "ro")
    place.take(STREAM, age_identity.recipient, name="tank/other@a").refused(1, "read-only", "remount it writable")
    assert place.content() == before
    # Reading needs no right to write.
    assert len(place.listed()) == 1
    words = ("--dataset", "tank/d", "--identity", age_identity.path, "--output", tmp_path / "out")
    place.run("restore", *words).good()
    report = place.run("check", "--json", "--recipient", age_identity.recipient).json()
    assert [one["name"].rpartition(": ")[2] for one in report["findings"] if one["level"] == "fail"] == ["writing"]


@pytest.mark.parametrize("existing", [False, True], ids=["empty", "with a backup"])
def test_a_folder_that_may_not_be_written(existing: bool, age_identity: AgeIdentity, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    place = folder_place(store)
    if existing:
        place.take(STREAM, age_identity.recipient).good()
    before = place.content()
    folders = [store, *(path for path in store.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    bound = place.without_override()
    bound.take(STREAM, age_identity.recipient, name="tank/other@a").refused(1, "denied", "check the rights")
    assert place.content() == before
    assert len(bound.listed()) == existing
    for folder in folders:
        folder.chmod(0o700)


def test_a_folder_that_may_not_be_read(age_identity: AgeIdentity, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    place = folder_place(store)
    place.take(STREAM, age_identity.recipient).good()
    (store / "manifests").chmod(0)
    place.without_override().run("list").refused(1, "denied", "check the rights")
    place.without_override().take(STREAM, age_identity.recipient, name="tank/other@a").refused(1, "denied")
    (store / "manifests").chmod(0o700)
    assert len(place.listed()) == 1


def test_a_disk_that_is_not_mounted(age_identity: AgeIdentity, tmp_path: Path) -> None:
    place = folder_place(tmp_path / "gone")
    place.take(STREAM, age_identity.recipient).refused(1, "there is no folder", "mount it, or make it")
    place.run("list").refused(1, "there is no folder")
    assert not (tmp_path / "gone").exists()
    (tmp_path / "gone").write_text("a file")
    place.take(STREAM, age_identity.recipient).refused(1, "gone", "folder")


def test_a_disk_that_goes_away_between_runs(disk: Path, age_identity: AgeIdentity) -> None:
    """The empty mount point shows through: nothing is lost, and the list does not pretend."""
    place = folder_place(disk / "store")
    (disk / "store").mkdir()
    place.take(STREAM, age_identity.recipient).good()
    shutil.move(disk / "store", disk / "elsewhere")
    place.run("list").refused(1, "there is no folder", "mount it")
