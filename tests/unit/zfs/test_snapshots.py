from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness.pool import DatasetFactory, zfs
from unit.fake_zfs import FakeZfs
from zfs_push_backups.errors import ZfsError
from zfs_push_backups.zfs import snapshots
from zfs_push_backups.zfs.capabilities import Capabilities
from zfs_push_backups.zfs.command import ZfsCommand

if TYPE_CHECKING:
    from pathlib import Path

BASELINE = Capabilities(userland="fake", kernel=None)
LISTING = Capabilities(userland="fake", kernel=None, list_parsable=True)
MODERN = Capabilities(userland="fake", kernel=None, list_parsable=True, bookmarks=True)


def listed(command: ZfsCommand, dataset: str) -> list[snapshots.Snapshot]:
    """The snapshots, as a zfs without `list -p` tells them."""
    found, bookmarks = snapshots.list_points(command, dataset, BASELINE)
    assert not bookmarks
    return found


@pytest.mark.pool
def test_snapshots_come_oldest_first_with_their_guids_and_without_the_childrens(
    dataset: DatasetFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "BATCH", 2)
    one = dataset("snaps")
    zfs("create", f"{one.name}/child")
    for name in ("zz", "with space", "aa"):
        zfs("snapshot", "-r", f"{one.name}@{name}")
    found = listed(ZfsCommand(), one.name)
    assert [snapshot.name for snapshot in found] == ["zz", "with space", "aa"]
    for snapshot in found:
        assert snapshot.guid == int(zfs("get", "-Hp", "-o", "value", "guid", snapshot.full_name))
        assert snapshot.creation == int(zfs("get", "-Hp", "-o", "value", "creation", snapshot.full_name))
    assert found[0].createtxg < found[1].createtxg < found[2].createtxg


@pytest.mark.pool
def test_one_command_takes_the_whole_tree(dataset: DatasetFactory) -> None:
    one = dataset("atomic")
    zfs("create", f"{one.name}/child")
    command = ZfsCommand()
    snapshots.create(command, one.name, "now", recursive=True)
    own, childs = (listed(command, name)[0] for name in (one.name, f"{one.name}/child"))
    assert own.createtxg == childs.createtxg
    assert own.guid != childs.guid
    with pytest.raises(ZfsError, match="already exists"):
        snapshots.create(command, one.name, "now", recursive=False)


@pytest.mark.pool
def test_an_unknown_snapshot_gets_the_nearest(dataset: DatasetFactory) -> None:
    one = dataset("near")
    command = ZfsCommand()
    with pytest.raises(ZfsError) as caught:
        snapshots.find(listed(command, one.name), one.name, "daily")
    assert "no snapshots" in caught.value.hint
    one.snapshot("autosnap_1")
    with pytest.raises(ZfsError, match="does not exist") as caught:
        snapshots.find(listed(command, one.name), one.name, "autosnap_2")
    assert f"{one.name}@autosnap_1" in caught.value.hint


def test_one_command_lists_them_where_list_prints_numbers(tmp_path: Path) -> None:
    fake = FakeZfs(tmp_path / "bin")
    lines = "7\t30\t1700000002\tt/d@with space\n5\t20\t1700000001\tt/d@a\n9\t40\t1700000003\tt/d/child@a\n"
    marks = "7\t30\t1700000002\tt/d#b\n5\t20\t1700000001\tt/d#a\n9\t40\t1700000003\tt/d/child#a\n"
    types = ("list", "-Hp", "-o", "guid,createtxg,creation,name", "-t")
    fake.answer(*types, "snapshot", out=lines)
    fake.answer(*types, "snapshot,bookmark", out=lines + marks)
    command = ZfsCommand(str(fake.program))
    here = [
        snapshots.Snapshot("t/d", "a", 5, 20, 1700000001),
        snapshots.Snapshot("t/d", "with space", 7, 30, 1700000002),
    ]
    assert snapshots.list_points(command, "t/d", LISTING) == (here, [])
    bookmarks = [replace(point, name=name) for point, name in zip(here, "ab", strict=True)]
    assert snapshots.list_points(command, "t/d", MODERN) == (here, bookmarks)
    assert len(fake.calls()) == 2


def test_a_snapshot_that_vanishes_during_the_listing_makes_it_start_over(tmp_path: Path) -> None:
    fake = FakeZfs(tmp_path / "bin")
    fake.answer("list", out="t/d@gone\n")
    fake.answer("get", err="cannot open 't/d@gone': dataset does not exist\n", code=1)
    fake.answer("list", "-H", "-o", "name", "-t", "filesystem,volume", out="t/d\n")
    with pytest.raises(ZfsError):
        listed(ZfsCommand(str(fake.program)), "t/d")
    listings = [call for call in fake.calls() if call[:1] == ["get"]]
    assert len(listings) == snapshots.LISTING_ATTEMPTS
