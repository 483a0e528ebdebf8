from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.pool import DatasetFactory, zfs
from unit.fake_zfs import FakeZfs
from zfs_push_backups.errors import ZfsError
from zfs_push_backups.zfs import snapshots
from zfs_push_backups.zfs.command import ZfsCommand

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.pool
def test_snapshots_come_oldest_first_with_their_guids_and_without_the_childrens(
    dataset: DatasetFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "BATCH", 2)
    one = dataset("snaps")
    zfs("create", f"{one.name}/child")
    for name in ("zz", "with space", "aa"):
        zfs("snapshot", "-r", f"{one.name}@{name}")
    found = snapshots.list_snapshots(ZfsCommand(), one.name, parsable=False)
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
    own, childs = (
        snapshots.list_snapshots(command, name, parsable=False)[0] for name in (one.name, f"{one.name}/child")
    )
    assert own.createtxg == childs.createtxg
    assert own.guid != childs.guid
    with pytest.raises(ZfsError, match="already exists"):
        snapshots.create(command, one.name, "now", recursive=False)


@pytest.mark.pool
def test_an_unknown_snapshot_gets_the_nearest(dataset: DatasetFactory) -> None:
    one = dataset("near")
    command = ZfsCommand()
    with pytest.raises(ZfsError) as caught:
        snapshots.find(snapshots.list_snapshots(command, one.name, parsable=False), one.name, "daily")
    assert "no snapshots" in caught.value.hint
    one.snapshot("autosnap_1")
    with pytest.raises(ZfsError, match="does not exist") as caught:
        snapshots.find(snapshots.list_snapshots(command, one.name, parsable=False), one.name, "autosnap_2")
    assert f"{one.name}@autosnap_1" in caught.value.hint


def test_one_command_lists_them_where_list_prints_numbers(tmp_path: Path) -> None:
    fake = FakeZfs(tmp_path / "bin")
    listed = "7\t30\t1700000002\tt/d@with space\n5\t20\t1700000001\tt/d@a\n9\t40\t1700000003\tt/d/child@a\n"
    fake.answer("list", "-Hp", "-o", "guid,createtxg,creation,name", "-t", "snapshot", out=listed)
    fake.answer("list", "-Hp", "-o", "guid,createtxg,creation,name", "-t", "bookmark", out="7\t30\t1\tt/d#b\n")
    command = ZfsCommand(str(fake.program))
    assert snapshots.list_snapshots(command, "t/d", parsable=True) == [
        snapshots.Snapshot("t/d", "a", 5, 20, 1700000001),
        snapshots.Snapshot("t/d", "with space", 7, 30, 1700000002),
    ]
    assert snapshots.list_bookmarks(command, "t/d") == [snapshots.Snapshot("t/d", "b", 7, 30, 1)]
    assert len(fake.calls()) == 2


def test_a_snapshot_that_vanishes_during_the_listing_makes_it_start_over(tmp_path: Path) -> None:
    fake = FakeZfs(tmp_path / "bin")
    fake.answer("list", out="t/d@gone\n")
    fake.answer("get", err="cannot open 't/d@gone': dataset does not exist\n", code=1)
    fake.answer("list", "-H", "-o", "name", "-t", "filesystem,volume", out="t/d\n")
    with pytest.raises(ZfsError):
        snapshots.list_snapshots(ZfsCommand(str(fake.program)), "t/d", parsable=False)
    listings = [call for call in fake.calls() if call[:1] == ["get"]]
    assert len(listings) == snapshots.LISTING_ATTEMPTS
