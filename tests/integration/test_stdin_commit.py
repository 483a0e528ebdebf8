"""A stream on standard input never comes again: once it is stored, a commit that fails is made good by the next run."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.foreign import AgeIdentity
from harness.program import STREAMS, Place, folder_place

FULL = (STREAMS / "d-full.zs").read_bytes()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


@pytest.fixture
def place(store: Path) -> Place:
    return folder_place(store)


def without_its_manifest(place: Place, store: Path, recipient: str) -> Path:
    """Take a stream whose manifest can't be stored; returns the folder of its parts."""
    in_the_way = store / "manifests"
    in_the_way.write_text("a file where a folder is needed")
    place.take(FULL, recipient).refused(1, "manifests")
    in_the_way.unlink()
    (meta,) = store.rglob("meta.age")
    return meta.parent


def test_the_next_run_commits_what_lacked_only_its_manifest(
    place: Place, store: Path, age_identity: AgeIdentity
) -> None:
    parts = without_its_manifest(place, store, age_identity.recipient)
    done = place.take(FULL, age_identity.recipient, "tank/other@a").good()
    assert "which lacked its manifest" in done.err
    assert {parts.name} <= {backup["id"] for backup in place.listed()}
    assert {backup["dataset"] for backup in place.listed()} == {"tank/d", "tank/other"}


def test_a_file_of_somebody_else_keeps_it_from_nothing(place: Place, store: Path, age_identity: AgeIdentity) -> None:
    parts = without_its_manifest(place, store, age_identity.recipient)
    (parts / ".nfs000000000000beef").write_text("left by a network file system")
    place.take(FULL, age_identity.recipient, "tank/other@a").good()
    assert {backup["dataset"] for backup in place.listed()} == {"tank/d", "tank/other"}


def test_parts_that_are_not_its_own_end_it_and_no_other_push(
    place: Place, store: Path, age_identity: AgeIdentity
) -> None:
    parts = without_its_manifest(place, store, age_identity.recipient)
    (parts / "part-000009-01234567.age").write_bytes(b"another machine's")
    for name in ("tank/other@a", "tank/third@a"):
        place.take(FULL, age_identity.recipient, name).good()
    assert {backup["dataset"] for backup in place.listed()} == {"tank/other", "tank/third"}
