"""Streams of a real `zfs send` by standard input: what is taken, and what is refused with words that help."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.pool import Dataset, zfs
from harness.program import Ended, program
from vm.rig import Rig, guids, whole

pytestmark = [pytest.mark.pool, pytest.mark.garage]


def send(*words: str) -> bytes:
    return subprocess.run(["zfs", "send", *words], check=True, capture_output=True, timeout=120).stdout


def take(rig: Rig, stream: bytes, name: str) -> Ended:
    words = ("--stdin", name, "--recipient", rig.recipient, "--source", "vm-machine")
    return rig.place("folder").run("push", *words, stdin=stream)


@pytest.fixture
def two(source: Dataset) -> Dataset:
    (source.path / "one").write_bytes(b"one" * 100_000)
    source.snapshot("one")
    (source.path / "two").write_bytes(b"two" * 100_000)
    source.snapshot("two")
    return source


def test_a_full_and_its_increment(rig: Rig, two: Dataset) -> None:
    take(rig, send("-Lec", f"{two.name}@one"), f"{two.name}@one").good()
    take(rig, send("-Lec", "-i", "@one", f"{two.name}@two"), f"{two.name}@two").good()
    assert guids(rig.restore(two.name)) == guids(two.name)


def test_compound_streams_are_refused(rig: Rig, two: Dataset) -> None:
    for words in (("-R", f"{two.name}@two"), ("-p", f"{two.name}@two"), ("-I", "@one", f"{two.name}@two")):
        take(rig, send(*words), f"{two.name}@two").refused(2, "compound")
    assert rig.place("folder").backup_keys() == set()


def test_compound_streams_are_inspected_whole(two: Dataset, tmp_path: Path) -> None:
    """Their package is proven to its last bit, so that what this zfs writes there must be known."""
    last, file = f"{two.name}@two", tmp_path / "compound.zs"
    zfs("create", f"{two.name}/below")
    zfs("snapshot", f"{two.name}/below@two")
    several = (("-I", "@one", last), ("-R", last), ("-R", "-I", "@one", last), ("-w", "-R", last), ("-LecR", last))
    for words in (*several, ("-p", last), ("-b", last)):
        file.write_bytes(send(*words))
        report = program("stream", "inspect", "--json", file).good().json()
        assert report["package"]["whole"], words
    zfs("destroy", "-r", f"{two.name}/below")


def test_a_redacted_stream_is_refused(rig: Rig, two: Dataset, tmp_path: Path) -> None:
    clone = f"{two.name}-clone"
    zfs("clone", f"{two.name}@two", clone)
    (two.path.parent / clone.rpartition("/")[2] / "two").unlink()
    zfs("snapshot", f"{clone}@less")
    zfs("redact", f"{two.name}@two", "less", f"{clone}@less")
    stream, file = send("--redact", "less", f"{two.name}@two"), tmp_path / "redacted.zs"
    take(rig, stream, f"{two.name}@two").refused(2, "redact")
    file.write_bytes(stream)
    (seen,) = program("stream", "inspect", "--json", file).good().json()["streams"]
    assert "redacted" in seen["features"]
    assert [kind["records"] > 0 for kind in seen["records"] if kind["kind"] == "redact"] == [True]
    zfs("destroy", f"{two.name}#less")
    zfs("destroy", "-r", clone)


@whole
def test_a_resumed_stream_is_refused(rig: Rig, two: Dataset) -> None:
    target = rig.pool.unused_name("half")
    half = send(f"{two.name}@two")[:400_000]
    subprocess.run(["zfs", "receive", "-s", "-u", target], input=half, check=False, capture_output=True, timeout=60)
    token = zfs("get", "-Hp", "-o", "value", "receive_resume_token", target).strip()
    take(rig, send("-t", token), f"{two.name}@two").refused(2, "resum")
    rig.pool.destroy(target)


@whole
def test_a_cut_stream_leaves_nothing(rig: Rig, two: Dataset) -> None:
    take(rig, send(f"{two.name}@two")[:-1000], f"{two.name}@two").refused(1)
    assert rig.place("folder").backup_keys() == set()


@pytest.mark.parametrize("base", [(), ("-i", "@one")])
def test_what_stream_token_says_to_type(two: Dataset, tmp_path: Path, base: tuple[str, ...]) -> None:
    stream, broken = send("-Lec", *base, f"{two.name}@two"), tmp_path / "broken.zs"
    broken.write_bytes(stream[:-1000])
    said = program("stream", "token", "--json", broken).good().json()
    assert len(said["commands"]) == 3
    for command in said["commands"]:
        subprocess.run(["bash", "-c", command], check=True, cwd=tmp_path, timeout=120)
    assert Path(f"{broken}.whole").read_bytes() == stream
    program("stream", "inspect", f"{broken}.whole").good()
