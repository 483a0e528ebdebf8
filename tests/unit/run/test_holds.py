"""The roads that only OpenZFS has (`zfs holds`, bookmarks), and what a real zfs can't be made to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from property.plan_builders import NOON, Snap, backup
from unit.fake_zfs import FakeZfs
from zfs_push_backups.catalogue.catalogue import Catalogue
from zfs_push_backups.catalogue.records import HeldSnapshot
from zfs_push_backups.config.models import Config, Host, Task
from zfs_push_backups.errors import ShuttingDown, UsageError, ZfsError
from zfs_push_backups.plan.history import Base
from zfs_push_backups.plan.holds import bookmark_name, is_own_bookmark
from zfs_push_backups.run.held import View, as_table
from zfs_push_backups.run.holds import reconcile, take
from zfs_push_backups.run.options import HoldsOptions
from zfs_push_backups.run.reconciling import Reconciled
from zfs_push_backups.run.release import Releasing
from zfs_push_backups.run.session import Session
from zfs_push_backups.zfs.capabilities import Capabilities
from zfs_push_backups.zfs.command import ZfsCommand

REPOSITORY = "00112233445566778899aabbccddeeff"
HOST = Host(name="backup1", url="file:///backup")
TAG = "zfs-push-backups:backup1"
MODERN = Capabilities(userland="fake", kernel=None, bookmarks=True, holds_list=True)
MARKED = ("-t", "filesystem,volume,snapshot,bookmark")
LISTING = replace(MODERN, bookmarks=False)
OLD, NEW = (Snap(name, guid, guid, int(NOON.timestamp()) + guid) for name, guid in (("a", 11), ("b", 12)))
FULL = backup(OLD, "0" * 11 + "1", dataset="t/d")
CONFIG = Config(source=FULL.source, hosts=(HOST,), tasks=(Task(name="prod", pool="t", dataset="d"),))


def rows(name: str, snap: Snap, references: int = 0) -> str:
    values = {"guid": snap.guid, "createtxg": snap.createtxg, "creation": snap.creation, "userrefs": references}
    return "".join(f"{name}\t{key}\t{value}\t-\n" for key, value in values.items())


class Bench:
    """A fake zfs with one dataset, and a real catalogue."""

    def __init__(self, folder: Path, catalogue: Catalogue, capabilities: Capabilities) -> None:
        self.fake = FakeZfs(folder / "bin")
        self.catalogue = catalogue
        self.session = Session()
        self.session.zfs = ZfsCommand(str(self.fake.program))
        self.session.capabilities = capabilities
        for verb in ("hold", "release", "bookmark", "destroy"):
            self.fake.answer(verb)
        self.fake.answer("list", "-H", "-o", "name", "-t", "filesystem,volume", out="t\nt/d\n")

    def machine(self, *snapshots: tuple[Snap, int], bookmarks: tuple[Snap, ...] = (), holds: str = "") -> None:
        """What zfs tells of t/d: each snapshot with its number of holds, its bookmarks, the text of `zfs holds`."""
        survey = "t/d\tguid\t1\t-\n" + "".join(rows(f"t/d@{snap.name}", snap, count) for snap, count in snapshots)
        marks = "".join(rows(f"t/d#{mark.name}", mark) for mark in bookmarks)
        self.fake.answer("get", "-Hp", "-r", "-d", "1", out=survey)
        self.fake.answer("get", "-Hp", "-r", "-d", "1", *MARKED, out=survey + marks)
        for mark, points in (("@", [snap for snap, _ in snapshots]), ("#", list(bookmarks))):
            for point in points:
                self.fake.answer("get", "-Hp", "-o", "value", "guid", f"t/d{mark}{point.name}", out=f"{point.guid}\n")
        self.fake.answer("holds", "-H", out=holds)

    def reconcile(self, *backups: Any, runs: tuple[Any, ...] = ()) -> Reconciled:
        return reconcile(
            self.session, CONFIG, HOST, REPOSITORY, self.catalogue, backups, runs, source=FULL.source
        )  # fmt: skip

    def changes(self) -> list[list[str]]:
        return [call for call in self.fake.calls() if call[0] in {"hold", "release", "bookmark", "destroy"}]

    def note(self, snap: Snap, **other: Any) -> None:
        held = HeldSnapshot(
            repository=REPOSITORY, tag=TAG, dataset="t/d", snapshot=snap.name, snapshot_guid=snap.guid,
            task="prod", reason="newest of level 0", since=NOON,
        )  # fmt: skip
        self.catalogue.holds.note(replace(held, **other))

    def noted(self) -> set[int]:
        return {held.snapshot_guid for held in self.catalogue.holds.noted(REPOSITORY)}


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with Catalogue.open(tmp_path / "state", machine="m") as catalogue:
        yield catalogue


@pytest.fixture
def modern(tmp_path: Path, catalogue: Catalogue) -> Bench:
    return Bench(tmp_path, catalogue, MODERN)


@pytest.fixture
def listing(tmp_path: Path, catalogue: Catalogue) -> Bench:
    return Bench(tmp_path, catalogue, LISTING)


def test_a_committed_snapshot_is_bookmarked_then_released(modern: Bench) -> None:
    modern.note(OLD)
    modern.machine((OLD, 1), holds=f"t/d@a\t{TAG}\tFri Nov 20 10:11 2026\n")
    done = modern.reconcile(FULL)
    name = bookmark_name(REPOSITORY, OLD.guid)
    assert modern.changes() == [["bookmark", "t/d@a", f"t/d#{name}"], ["release", TAG, "t/d@a"]]
    assert done.bookmarked == [f"t/d#{name}"]
    assert modern.noted() == set()


def test_a_bookmark_that_cannot_be_made_leaves_the_hold(modern: Bench) -> None:
    modern.machine((OLD, 0))
    modern.fake.answer("bookmark", "t/d@a", err="cannot create bookmark: permission denied\n", code=1)
    assert modern.reconcile(FULL).problems == []
    assert modern.changes()[1:] == [["hold", TAG, "t/d@a"]]
    assert modern.noted() == {OLD.guid}


def test_a_bookmark_that_is_there_is_not_made_again(modern: Bench) -> None:
    own = replace(OLD, name=bookmark_name(REPOSITORY, OLD.guid))
    modern.machine((OLD, 0), bookmarks=(own,))
    modern.reconcile(FULL)
    assert modern.changes() == []


def test_a_bookmark_of_something_else_under_our_name_is_left_alone(modern: Bench) -> None:
    name = bookmark_name(REPOSITORY, OLD.guid)
    modern.machine((OLD, 0), bookmarks=(replace(NEW, name=name),))
    modern.reconcile(FULL)
    assert modern.changes() == [["bookmark", "t/d@a", f"t/d#{name}-1"]]
    assert is_own_bookmark(replace(OLD, name=f"{name}-1"), REPOSITORY)


def test_only_our_own_bookmarks_that_nothing_needs_are_destroyed(modern: Bench) -> None:
    needed, gone, theirs, another = (
        replace(OLD, name=bookmark_name(REPOSITORY, OLD.guid)),
        replace(NEW, name=bookmark_name(REPOSITORY, NEW.guid)),
        replace(NEW, name="syncoid_b"),
        replace(NEW, name=bookmark_name("ff" * 16, NEW.guid)),
    )
    modern.machine((OLD, 0), bookmarks=(needed, gone, theirs, another))
    assert modern.reconcile(FULL).unmarked == [f"t/d#{gone.name}"]
    assert modern.changes() == [["destroy", f"t/d#{gone.name}"]]


def test_the_bookmark_that_a_resumable_run_stands_on_stays(modern: Bench) -> None:
    base, nothing_more = (
        replace(snap, name=bookmark_name(REPOSITORY, snap.guid)) for snap in (OLD, Snap("c", 13, 13, 0))
    )
    modern.machine((NEW, 0), bookmarks=(base, nothing_more))
    run = SimpleNamespace(
        id="x", task="prod", dataset="t/d", dataset_guid="1", snapshot_guid=NEW.guid, base_guid=OLD.guid
    )
    modern.reconcile(runs=(run,))
    assert modern.changes() == [["hold", TAG, "t/d@b"], ["destroy", f"t/d#{nothing_more.name}"]]


def test_a_bookmark_of_a_snapshot_made_again_meanwhile_is_undone(modern: Bench) -> None:
    modern.machine((OLD, 0))
    modern.fake.answer("get", "-Hp", "-o", "value", "guid", f"t/d#{bookmark_name(REPOSITORY, OLD.guid)}", out="99\n")
    modern.reconcile(FULL)
    assert [call[0] for call in modern.changes()] == ["bookmark", "destroy", "hold"]


def test_zfs_holds_finds_what_no_journal_knows_and_spares_what_is_not_ours(listing: Bench) -> None:
    text = f"t/d@a\t{TAG}\tx\nt/d@b\t{TAG}\tx\nt/d@b\tzfs-push-backups:backup2\tx\nt/d@a\tkeep\tx\n"
    listing.machine((OLD, 2), (NEW, 2), holds=text)
    done = listing.reconcile(FULL)
    assert listing.changes() == [["release", TAG, "t/d@b"]]
    assert (done.taken, done.released) == ([], ["t/d@b"])
    assert listing.noted() == {OLD.guid}


def test_a_note_without_a_hold_is_forgotten(listing: Bench) -> None:
    listing.note(NEW)
    listing.machine((OLD, 0), (NEW, 1), holds="t/d@b\tkeep\tx\n")
    listing.reconcile(FULL)
    assert listing.changes() == [["hold", TAG, "t/d@a"]]
    assert listing.noted() == {OLD.guid}


def test_what_another_repository_noted_under_the_same_tag_stays(listing: Bench) -> None:
    listing.note(NEW, repository="ff" * 16)
    listing.machine((OLD, 0), (NEW, 1), holds=f"t/d@b\t{TAG}\tx\n")
    listing.reconcile(FULL)
    assert listing.changes() == [["hold", TAG, "t/d@a"]]
    assert {held.repository for held in listing.catalogue.holds.noted()} == {REPOSITORY, "ff" * 16}


def test_where_zfs_holds_fails_it_is_found_out_by_trying(listing: Bench) -> None:
    listing.machine((OLD, 1), (NEW, 1))
    listing.fake.answer("holds", "-H", "t/d@a", err="internal error\n", code=255)
    listing.fake.answer("hold", TAG, err="cannot hold snapshot: tag already exists on this dataset\n", code=1)
    done = listing.reconcile(FULL)
    assert listing.changes() == [["hold", TAG, "t/d@a"], ["release", TAG, "t/d@b"]]
    assert (done.taken, done.released) == ([], ["t/d@b"])


def test_nothing_is_freed_while_a_task_cannot_be_looked_at(listing: Bench) -> None:
    listing.note(NEW)
    listing.fake.answer("get", "-Hp", "-r", "-d", "1", err="cannot open 't/d': I/O error\n", code=1)
    listing.fake.answer("holds", "-H")
    assert any("I/O error" in problem for problem in listing.reconcile(FULL).problems)
    assert listing.changes() == []
    assert listing.noted() == {NEW.guid}


def test_a_pool_that_is_not_here_keeps_its_notes(listing: Bench) -> None:
    listing.note(NEW, dataset="usb/d")
    listing.machine((OLD, 0))
    missing = "cannot open 'usb/d': dataset does not exist\n"
    listing.fake.answer("get", "-Hp", "-r", "-d", "1", "guid,createtxg,creation,userrefs", "usb/d", err=missing, code=1)
    listing.fake.answer("get", "-Hp", "-r", "guid,createtxg,creation,userrefs", "usb", err=missing, code=1)
    for name in ("usb", "usb/d"):
        listing.fake.answer("list", "-H", "-o", "name", "-t", "filesystem,volume", name, err=missing, code=1)
    listing.reconcile(FULL)
    assert listing.noted() == {OLD.guid, NEW.guid}


def taken(bench: Bench, *points: Any) -> None:
    where = (bench.session, CONFIG, HOST, REPOSITORY, bench.catalogue)
    take(*where, dataset="t/d", points=points, task="prod", reason="run x")


def test_a_bookmark_as_base_needs_no_hold(modern: Bench) -> None:
    mark = replace(OLD, name="mark")
    modern.machine((NEW, 0), bookmarks=(mark,))
    taken(modern, NEW, Base(mark, is_bookmark=True))
    assert modern.changes() == [["hold", TAG, "t/d@b"]]
    modern.fake.answer("hold", TAG, "t/d@mark", err="cannot hold: dataset does not exist\n", code=1)
    taken(modern, Base(mark, is_bookmark=False))
    assert modern.noted() == {NEW.guid}
    with pytest.raises(ZfsError, match="does not exist"):
        taken(modern, mark)


def test_a_snapshot_made_again_while_it_is_held_is_let_go(listing: Bench) -> None:
    listing.fake.answer("get", "-Hp", "-o", "value", "guid", "t/d@b", out="99\n")
    with pytest.raises(ZfsError, match="made again"):
        taken(listing, NEW)
    assert listing.changes() == [["hold", TAG, "t/d@b"], ["release", TAG, "t/d@b"]]
    assert listing.noted() == set()


def test_what_a_refused_hold_noted_is_forgotten_and_an_open_one_is_not(
    listing: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing.fake.answer("hold", TAG, "t/d@b", err="cannot hold snapshot 't/d@b': permission denied\n", code=1)
    with pytest.raises(ZfsError, match="permission denied"):
        taken(listing, NEW)
    assert listing.noted() == set()
    listing.fake.answer("hold", TAG, "t/d@a", hang=True)
    # As when the stop comes while the command runs.
    monkeypatch.setattr(listing.session.zfs, "stopping", lambda: True)
    with pytest.raises(ShuttingDown):
        taken(listing, OLD)
    assert listing.noted() == {OLD.guid}


def test_a_stop_frees_nothing(listing: Bench) -> None:
    listing.note(NEW)
    listing.machine((OLD, 0), (NEW, 1), holds=f"t/d@b\t{TAG}\tx\n")
    listing.session.stop.request("test")
    with contextlib.suppress(ShuttingDown):
        listing.reconcile(FULL)
    assert listing.changes() == []
    assert listing.noted() == {NEW.guid}


def test_the_listing_shows_what_is_noted_and_what_is_not(listing: Bench) -> None:
    listing.note(NEW, snapshot="renamed-since")
    listing.note(OLD, since=listing.session.now() - timedelta(hours=3))
    listing.machine((OLD, 1), (NEW, 2), holds="t/d@b\tzfs-push-backups:gone\tFri Nov 20 10:11 2026\nt/d@a\tkeep\tx\n")
    shown = View(listing.session, CONFIG, listing.catalogue.holds.noted()).rows()
    found = {(row.name, row.host, row.held, row.noted) for row in shown}
    assert found == {
        ("t/d@a", "backup1", False, True),
        ("t/d@b", "backup1", False, True),
        ("t/d@b", "gone", True, False),
    }
    text = as_table(shown)
    for words in ("for 3 h", "NOT HELD any more", "not in the journal", "task prod"):
        assert words in text
    assert listing.changes() == []


def test_without_zfs_the_journal_is_shown(listing: Bench) -> None:
    listing.note(OLD)
    listing.fake.answer("get", err="The ZFS modules are not loaded.\n", code=1)
    assert [(row.name, row.held) for row in View(listing.session, CONFIG, listing.catalogue.holds.noted()).rows()] == [
        ("t/d@a", None)
    ]


def test_a_release_by_name_frees_what_only_zfs_knows(listing: Bench) -> None:
    listing.machine((OLD, 1), (NEW, 1), holds=f"t/d@b\t{TAG}\tx\nt/d@a\tkeep\tx\n")
    work = Releasing(listing.session, CONFIG, listing.catalogue, (), {TAG, "zfs-push-backups:backup2"})
    with pytest.raises(UsageError, match="no hold of this program on t/d@a"):
        work.run(HoldsOptions(names=("t/d@a",)))
    assert listing.changes() == []
    assert work.run(HoldsOptions(names=("t/d@b",))) == ("t/d@b",)
    assert listing.changes() == [["release", TAG, "t/d@b"]]
