"""Days of a real pool: changed targets, rollbacks, bookmarks that come and go, holds of others."""

from __future__ import annotations

import pytest

from harness.pool import Dataset, Pool, zfs
from vm.rig import Rig, bookmarks, facts, guids, mounted, whole

pytestmark = [pytest.mark.pool, pytest.mark.garage]


def test_a_changed_target_is_overwritten_only_by_force(rig: Rig, source: Dataset, zfs_pool: Pool) -> None:
    (source.path / "file").write_text("one")
    source.snapshot("one")
    rig.configure([rig.task(source.name)])
    rig.push()
    target = rig.restore(source.name)
    (mounted(zfs_pool, target) / "file").write_text("changed since")
    words = ("--dataset", source.name, "--to", target)
    rig.run("restore", *words).refused(2, target, "--force")
    zfs("destroy", f"{target}@one")
    done = rig.run("restore", *words, "--force")
    assert done.code == 0, done
    assert facts(mounted(zfs_pool, target)) == facts(source.path)


@whole
def test_a_rolled_back_dataset_begins_anew(rig: Rig, source: Dataset) -> None:
    (source.path / "file").write_text("one")
    source.snapshot("one")
    (source.path / "file").write_text("two")
    source.snapshot("two")
    rig.configure([rig.task(source.name)])
    rig.push()
    zfs("rollback", "-r", f"{source.name}@one")
    source.snapshot("three")
    done = rig.run("push", "--json").good()
    # The bookmark of @two went with the rollback: nothing here is committed there, so a full, loudly.
    assert [one["level"] for one in done.results()] == [0], done
    assert set(guids(rig.restore(source.name))) == {"three"}


@whole
def test_bookmarks_do_not_pile_up(rig: Rig, source: Dataset) -> None:
    rig.configure([rig.task(source.name, max_chain=3)])
    for number in range(5):
        (source.path / "file").write_text(str(number))
        source.snapshot(f"s{number}")
        rig.push()
        assert zfs("holds", "-H", f"{source.name}@s{number}") == ""
    levels = [manifest["level"] for manifest in rig.manifests("folder").values()]
    assert len(levels) == 5
    assert len(bookmarks(source.name)) <= 3
    assert set(guids(rig.restore(source.name))) <= {f"s{number}" for number in range(5)}


def test_holds_of_others_are_left_alone(rig: Rig, source: Dataset) -> None:
    source.snapshot("one")
    zfs("hold", "somebody", f"{source.name}@one")
    rig.configure([rig.task(source.name)])
    rig.push()
    assert [line.split("\t")[1] for line in zfs("holds", "-H", f"{source.name}@one").splitlines()] == ["somebody"]
    shown = rig.run("holds", "--json").good().json()
    assert shown == {"holds": []}
