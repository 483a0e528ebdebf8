from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from zfs_push_backups.catalogue.catalogue import Catalogue
from zfs_push_backups.catalogue.records import HeldSnapshot

if TYPE_CHECKING:
    from pathlib import Path

HELD = HeldSnapshot(
    repository="r1",
    tag="zfs-push-backups:backup1",
    dataset="tank/d",
    snapshot="a",
    snapshot_guid=2**64 - 1,
    task="prod",
    reason="newest of level 0",
    since=datetime(2026, 11, 20, 10, 11, 12, 345678, tzinfo=UTC),
)


def test_a_note_survives_and_comes_back_as_it_was(tmp_path: Path) -> None:
    abroad = replace(HELD, snapshot_guid=7, task=None, since=HELD.since.astimezone(timezone(timedelta(hours=9))))
    with Catalogue.open(tmp_path, machine="m") as catalogue:
        catalogue.holds.note(HELD)
        catalogue.holds.note(abroad)
    with Catalogue.open(tmp_path, machine="m") as catalogue:
        assert set(catalogue.holds.noted("r1")) == {HELD, abroad}
        assert catalogue.holds.noted("r2") == ()
    looked = Catalogue.look(tmp_path, machine="m")
    assert looked is not None
    with looked:
        assert len(looked.holds.noted()) == 2


def test_noting_again_changes_the_reason_and_not_the_beginning(tmp_path: Path) -> None:
    later = replace(HELD, snapshot="renamed", reason="base of x", task="other", since=HELD.since + timedelta(days=1))
    with Catalogue.open(tmp_path, machine="m") as catalogue:
        catalogue.holds.note(HELD)
        catalogue.holds.note(later)
        assert catalogue.holds.noted("r1") == (replace(later, since=HELD.since),)


def test_only_what_is_named_is_forgotten(tmp_path: Path) -> None:
    others = (
        replace(HELD, repository="r2"),
        replace(HELD, dataset="tank/e"),
        replace(HELD, snapshot_guid=1),
        replace(HELD, tag="zfs-push-backups:backup2"),
    )
    with Catalogue.open(tmp_path, machine="m") as catalogue:
        for one in (HELD, *others):
            catalogue.holds.note(one)
        catalogue.holds.forget("r1", "tank/d", HELD.snapshot_guid, tag=HELD.tag)
        assert set(catalogue.holds.noted()) == set(others)
        catalogue.holds.forget("r1", "tank/d", HELD.snapshot_guid)
        assert set(catalogue.holds.noted()) == set(others[:3])
