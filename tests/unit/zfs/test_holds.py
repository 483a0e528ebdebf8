from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.pool import DatasetFactory, zfs
from unit.fake_zfs import FakeZfs
from zfs_push_backups.errors import ZfsError
from zfs_push_backups.zfs import holds
from zfs_push_backups.zfs.command import ZfsCommand

if TYPE_CHECKING:
    from pathlib import Path

TAG = "zfs-push-backups:backup1"


@pytest.fixture
def fake(tmp_path: Path) -> FakeZfs:
    return FakeZfs(tmp_path / "bin")


def command(fake: FakeZfs) -> ZfsCommand:
    return ZfsCommand(str(fake.program))


def test_a_dataset_may_be_called_like_an_answer_of_zfs(tmp_path: Path) -> None:
    fake = FakeZfs(tmp_path / "bin")
    fake.answer("hold", err="cannot hold 'tank/tag already exists@s': out of space\n", code=1)
    fake.answer("release", err="cannot release 'tank/no such tag@s': out of space\n", code=1)
    command = ZfsCommand(str(fake.program))
    for action, name in ((holds.hold, "tank/tag already exists@s"), (holds.release, "tank/no such tag@s")):
        with pytest.raises(ZfsError, match="out of space"):
            action(command, "tag", name)


@pytest.mark.pool
@pytest.mark.parametrize("tag", [TAG, "zfs-push-backups:server@remote", "zfs-push-backups:two words & more"])
def test_a_hold_is_taken_once_and_released_once(dataset: DatasetFactory, tag: str) -> None:
    one, real = dataset("hold"), ZfsCommand()
    name = one.snapshot("with space")
    assert not holds.release(real, tag, name)
    assert holds.hold(real, tag, name)
    assert not holds.hold(real, tag, name)
    assert not holds.release(real, f"{tag}2", name)
    assert holds.release(real, tag, name)
    assert not holds.release(real, tag, name)
    zfs("destroy", name)
    assert not holds.release(real, tag, name)
    with pytest.raises(ZfsError) as caught:
        holds.hold(real, tag, name)
    assert caught.value.code == "zfs.not_found"


@pytest.mark.pool
def test_a_survey_has_guids_and_counts(dataset: DatasetFactory) -> None:
    one, real = dataset("survey"), ZfsCommand()
    zfs("create", f"{one.name}/child")
    for name in ("zz", "a b"):
        zfs("snapshot", "-r", f"{one.name}@{name}")
    for tag in ("x", "y"):
        zfs("hold", tag, f"{one.name}@a b")
    alone = holds.survey(real, one.name, tree=False, bookmarks=False)
    assert list(alone) == [one.name]
    found = alone[one.name]
    assert found.guid == zfs("get", "-Hp", "-o", "value", "guid", one.name).strip()
    assert [snapshot.name for snapshot in found.snapshots] == ["zz", "a b"]
    assert [found.references[snapshot.guid] for snapshot in found.snapshots] == [0, 2]
    assert all(holds.guid_of(real, snapshot.full_name) == snapshot.guid for snapshot in found.snapshots)
    tree = holds.survey(real, one.name, tree=True, bookmarks=False)
    assert sorted(tree) == [one.name, f"{one.name}/child"]
    assert [snapshot.name for snapshot in tree[f"{one.name}/child"].snapshots] == ["zz", "a b"]
    assert holds.survey(real, f"{one.name}/none", tree=True, bookmarks=False) == {}
    assert holds.guid_of(real, f"{one.name}@none") is None
    for tag in ("x", "y"):
        zfs("release", tag, f"{one.name}@a b")


@pytest.mark.parametrize(
    "said",
    [
        "cannot hold snapshot 't/d@a': tag already exists on this dataset\n",
        "cannot hold 't/d@a': tag already exists on t",
    ],
)
def test_a_hold_that_is_there_is_no_failure(fake: FakeZfs, said: str) -> None:
    fake.answer("hold", err=said, code=1)
    assert not holds.hold(command(fake), TAG, "t/d@a")


def test_what_cannot_be_held_says_what_to_allow(fake: FakeZfs) -> None:
    fake.answer("hold", err="cannot hold snapshot 't/d@a': permission denied\n", code=1)
    with pytest.raises(ZfsError) as caught:
        holds.hold(command(fake), TAG, "t/d@a")
    assert "permission denied" in caught.value.message
    assert " hold,release t/d" in caught.value.hint
    assert caught.value.exit_code == 1


def test_a_release_that_fails_otherwise_is_a_failure(fake: FakeZfs) -> None:
    fake.answer("release", err="cannot release hold from snapshot 't/d@a': permission denied\n", code=1)
    with pytest.raises(ZfsError, match="permission denied"):
        holds.release(command(fake), TAG, "t/d@a")
    fake.answer("release", "x", err="cannot release hold from snapshot 't/d@a': no such tag on this dataset\n", code=1)
    assert not holds.release(command(fake), "x", "t/d@a")


def test_holders_are_told_by_tag_and_time(fake: FakeZfs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "BATCH", 2)
    lines = "t/d@a b\ttag with\ttab\tFri Nov 20  9:05 2026\nt/d@a b\tkeep\tsome day\n"
    fake.answer("holds", "-H", "t/d@a b", "t/d@b", out=lines)
    fake.answer("holds", "-H", "t/d@c", out=f"t/d@c\t{TAG}\tFri Nov 20 10:11 2026\n")
    found = holds.holders(command(fake), ["t/d@a b", "t/d@b", "t/d@c"])
    assert set(found) == {"t/d@a b", "t/d@c"}
    since = found["t/d@a b"]["tag with\ttab"]
    assert since is not None
    assert (since.hour, since.minute, since.tzinfo is not None) == (9, 5, True)
    assert found["t/d@a b"]["keep"] is None
    assert list(found["t/d@c"]) == [TAG]
    fake.answer("holds", err="cannot open 't/d@x': dataset does not exist\n", code=1)
    with pytest.raises(ZfsError):
        holds.holders(command(fake), ["t/d@x"])


def test_bookmarks_are_made_in_the_dataset_and_destroyed_once(fake: FakeZfs) -> None:
    fake.answer("bookmark")
    fake.answer("destroy")
    holds.bookmark(command(fake), "t/d@a", "ours")
    holds.destroy_bookmark(command(fake), "t/d", "ours")
    assert fake.calls() == [["bookmark", "t/d@a", "t/d#ours"], ["destroy", "t/d#ours"]]
    fake.answer("destroy", "t/d#gone", err="bookmark 't/d#gone' does not exist.\n", code=1)
    holds.destroy_bookmark(command(fake), "t/d", "gone")
    fake.answer("destroy", "t/d#busy", err="cannot destroy 't/d#busy': permission denied\n", code=1)
    with pytest.raises(ZfsError):
        holds.destroy_bookmark(command(fake), "t/d", "busy")


def test_a_survey_starts_over_when_a_snapshot_vanishes(fake: FakeZfs) -> None:
    fake.answer("get", err="cannot open 't/d@gone': dataset does not exist\n", code=1)
    fake.answer("list", out="t/d\n")
    with pytest.raises(ZfsError, match="does not exist"):
        holds.survey(command(fake), "t/d", tree=True, bookmarks=False)
    assert [call[0] for call in fake.calls()].count("get") == 4


def test_a_dataset_that_is_not_there_has_nothing(fake: FakeZfs) -> None:
    for verb in ("get", "list"):
        fake.answer(verb, err="cannot open 't/d': dataset does not exist\n", code=1)
    assert holds.survey(command(fake), "t/d", tree=True, bookmarks=False) == {}
    assert [call[0] for call in fake.calls()] == ["get", "list"]


def test_one_command_surveys_a_tree_with_its_bookmarks(fake: FakeZfs) -> None:
    def rows(name: str, guid: int, references: str) -> str:
        values = {"guid": guid, "createtxg": guid, "creation": 1700000000, "userrefs": references}
        return "".join(f"{name}\t{key}\t{value}\t-\n" for key, value in values.items())

    told = rows("t/d", 1, "-") + rows("t/d@b", 3, "2") + rows("t/d@a", 2, "0")
    told += rows("t/d#z", 3, "-") + rows("t/d#y", 2, "-") + rows("t/d/e", 4, "-") + rows("t/d/e#x", 5, "-")
    fake.answer("get", "-Hp", "-r", "-t", "filesystem,volume,snapshot,bookmark", out=told)
    found = holds.survey(command(fake), "t/d", tree=True, bookmarks=True)
    assert list(found) == ["t/d", "t/d/e"]
    assert [(point.name, point.guid) for point in found["t/d"].snapshots] == [("a", 2), ("b", 3)]
    assert [(point.name, point.guid) for point in found["t/d"].bookmarks] == [("y", 2), ("z", 3)]
    assert found["t/d"].references == {2: 0, 3: 2}
    assert (found["t/d/e"].snapshots, [point.name for point in found["t/d/e"].bookmarks]) == ((), ["x"])
    assert len(fake.calls()) == 1
