"""Two machines in one prefix of a bucket: each has its own chains, and a restore never guesses which one is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.foreign import AgeIdentity
from harness.program import STREAMS, Place, server_place
from harness.s3 import S3Server

pytestmark = pytest.mark.garage

# Two machines that happen to call their dataset the same.
STREAM_OF = {"attic": STREAMS / "d-full.zs", "cellar": STREAMS / "l-lc.zs"}


@pytest.fixture(scope="module")
def shared(garage: S3Server, age_identity: AgeIdentity) -> Place:
    place = server_place(garage, "sources")
    for source, stream in STREAM_OF.items():
        place.take(stream, age_identity.recipient, source=source).good()
    return place


def test_an_ambiguous_restore_names_the_sources(shared: Place, age_identity: AgeIdentity, tmp_path: Path) -> None:
    words = ("--dataset", "tank/d", "--identity", age_identity.path, "--output", tmp_path / "out")
    shared.run("restore", *words).refused(2, "--source attic", "--source cellar")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("source", STREAM_OF)
def test_with_its_source_each_comes_back(source: str, shared: Place, age_identity: AgeIdentity, tmp_path: Path) -> None:
    words = ("--dataset", "tank/d", "--source", source, "--identity", age_identity.path)
    shared.run("restore", *words, "--output", tmp_path / "out").good()
    assert (tmp_path / "out").read_bytes() == STREAM_OF[source].read_bytes()


def test_the_list_tells_them_apart(shared: Place) -> None:
    assert {one["source"] for one in shared.listed()} == set(STREAM_OF)
    table = shared.run("list").good().out.decode()
    assert "tank/d  (source attic)" in table
    assert "tank/d  (source cellar)" in table
    only = shared.run("list", "--source", "attic", "--json").good().json()["backups"]
    assert [one["source"] for one in only] == ["attic"]


def test_no_chain_reaches_over_to_another_source(shared: Place, age_identity: AgeIdentity) -> None:
    """The base lies in the store, but under another machine's name."""
    before = shared.content()
    stream = STREAMS / "d-incr.zs"
    ended = shared.take(stream, age_identity.recipient, name="tank/d@b", source="cellar")
    ended.refused(1, "no whole backup", "push that snapshot first")
    assert shared.content() == before


def test_an_unknown_source_shows_the_known_ones(shared: Place, age_identity: AgeIdentity, tmp_path: Path) -> None:
    words = ("--dataset", "tank/d", "--source", "atic", "--identity", age_identity.path, "--output", tmp_path / "out")
    shared.run("restore", *words).refused(2, "attic")
    shared.run("list", "--source", "atic").refused(2, "attic")
