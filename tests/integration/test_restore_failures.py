"""What a restore refuses by name, and what is there after one that failed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.damage import flipped
from harness.pool import DatasetFactory, Pool, zfs
from harness.program import STREAMS
from integration.workbench import Workbench
from zfs_push_backups import engine


@pytest.fixture
def stored(bench: Workbench) -> Workbench:
    """A host with one backup of `tank/x` by the bench's own source."""
    assert bench.run("--stdin", "tank/x@s", stdin=(STREAMS / "d-full.zs").read_bytes()).code == 0
    return bench


def restore(bench: Workbench, *words: object) -> tuple[int, str]:
    done = bench.run("restore", "--identity", bench.key, "--output", bench.folder / "out", *words)
    assert done.code != 0
    assert not (bench.folder / "out").exists()
    done.error_line()
    return done.code, done.err


def test_two_sources_in_one_prefix_are_never_guessed_between(stored: Workbench) -> None:
    stored.configure([], source="another")
    stream = (STREAMS / "d-full.zs").read_bytes()
    assert stored.run("--stdin", "tank/x@s", stdin=stream).code == 0
    stored.configure([], source="third")
    code, err = restore(stored, "--dataset", "tank/x")
    assert code == 2
    assert "--source another or --source bench-machine" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--dataset", "tank/y"], 2, "did you mean 'tank/x'"),
        (["--dataset", "tank/x", "--source", "bench-machin"], 2, "bench-machine"),
        (["--dataset", "tank/x", "--snapshot", "z"], 2, "no backup holds"),
        (["--dataset", "tank/x", "--at", "2001-01-01"], 2, "as old as"),
        (["--dataset", "tank/x", "--at", "yesterday"], 2, "isn't a time"),
        (["--backup", "20261121T000000Z"], 2, "no backup has the id"),
        (["--group", "feed"], 2, "a tree can't go into one file"),
    ],
)
def test_restores_of_what_is_not_there(stored: Workbench, words: list[str], code: int, message: str) -> None:
    found, err = restore(stored, *words)
    assert found == code
    assert message in err


def test_keys_that_do_not_open(stored: Workbench) -> None:
    secret, _ = engine.generate_identity()
    stored.key.write_text(secret + "\n")
    code, err = restore(stored, "--dataset", "tank/x")
    assert code == 1
    assert "identit" in err
    stored.key.unlink()
    code, err = restore(stored, "--dataset", "tank/x")
    assert code == 2
    assert "no such file" in err
    stored.key.write_text("nonsense\n")
    code, err = restore(stored, "--dataset", "tank/x")
    assert code == 1
    assert str(stored.key) in err


def test_an_identity_pasted_in_place_of_its_file_is_not_shown(bench: Workbench) -> None:
    secret = bench.key.read_text().strip()
    words = ("restore", "--dataset", "t/d", "--identity", secret, "--output", bench.folder / "out")
    done = bench.run(*words)
    assert "there is no such file" in done.error_line()
    assert secret not in done.out + done.err


def part(bench: Workbench) -> Path:
    return next(path for path in bench.store.rglob("part-*"))


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_a_damaged_part_is_named(stored: Workbench, damage: str) -> None:
    one = part(stored)
    if damage == "missing":
        one.unlink()
    else:
        data = one.read_bytes()
        one.write_bytes(data[:-1] if damage == "truncated" else flipped(data))
    code, err = restore(stored, "--dataset", "tank/x")
    assert code == 1
    assert one.name in err


@pytest.mark.pool
def test_a_damaged_part_leaves_no_dataset(bench: Workbench, dataset: DatasetFactory, zfs_pool: Pool) -> None:
    one = dataset("hurt")
    (one.path / "random").write_bytes(os.urandom(4 << 20))
    one.snapshot("s")
    assert bench.run("--dataset", one.name).code == 0
    file = part(bench)
    file.write_bytes(flipped(file.read_bytes()))
    target = zfs_pool.unused_name("hurt")
    done = bench.run("restore", "--dataset", one.name, "--identity", bench.key, "--to", target)
    assert done.code == 1
    assert file.name in done.error_line()
    assert "now there: nothing" in done.err
    assert target not in zfs("list", "-H", "-o", "name")


@pytest.mark.pool
def test_an_error_in_the_middle_of_a_chain_says_what_exists(
    bench: Workbench, dataset: DatasetFactory, zfs_pool: Pool
) -> None:
    one = dataset("half")
    for label in ("one", "two"):
        (one.path / label).write_bytes(os.urandom(1 << 20))
        one.snapshot(label)
        assert bench.run("--dataset", one.name).code == 0
    second = next(row for row in bench.listed() if row["level"] == 1)
    file = next(path for path in bench.store.rglob("part-*") if second["id"] in str(path))
    file.write_bytes(flipped(file.read_bytes()))
    target = zfs_pool.unused_name("half")
    done = bench.run("restore", "--dataset", one.name, "--identity", bench.key, "--to", target)
    assert done.code == 1
    assert f"{target} is complete up to @one" in done.err
    assert zfs("list", "-H", "-o", "name", "-t", "snapshot", "-r", target).split() == [f"{target}@one"]


@pytest.mark.pool
def test_the_parent_of_a_restore_must_exist(stored: Workbench, zfs_pool: Pool) -> None:
    words = ("restore", "--dataset", "tank/x", "--identity", stored.key, "--to", f"{zfs_pool.name}/no/where")
    done = stored.run(*words)
    assert done.code == 2
    assert "the parent" in done.error_line()
