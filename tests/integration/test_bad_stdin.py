"""Streams on standard input that must not become backups, into a folder and into a bucket: nothing is left behind."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.damage import flipped
from harness.foreign import AgeIdentity
from harness.program import COMMAND, FURNITURE, SECONDS, STREAMS, Ended, Place, folder_place, server_place
from harness.s3 import S3Server

FULL = (STREAMS / "d-full.zs").read_bytes()


def recorded(name: str) -> bytes:
    return (STREAMS / f"{name}.zs").read_bytes()


# name: the bytes, the exit code (2: of a kind that is never taken, 1: damaged), words of the error.
CASES: dict[str, tuple[Callable[[], bytes], int, tuple[str, ...]]] = {
    "replication (-R)": (lambda: recorded("d-R"), 2, ("compound", "without -R, -I and -p")),
    "intermediates (-I)": (lambda: recorded("d-I"), 2, ("compound", "without -R, -I and -p")),
    "properties (-p)": (lambda: recorded("d-props"), 2, ("compound", "without -R, -I and -p")),
    "resumed": (lambda: recorded("z-full.resumed"), 2, ("resumed", "without -t")),
    "resumed raw": (lambda: recorded("e-raw.resumed"), 2, ("resumed", "without -t")),
    "dedup": (lambda: recorded("fuse-dedup"), 2, ("dedup", "without -D")),
    "text": (lambda: b"hello, world\n" * 1000, 2, ("not a ZFS send stream", "zfs send")),
    "gzipped": (lambda: b"\x1f\x8b\x08\0" + FULL, 2, ("not a ZFS send stream", "neither compressed nor encrypted")),
    "empty": (lambda: b"", 2, ("is empty", "zfs send")),
    "half a header": (lambda: FULL[:100], 2, ("ends after 100 bytes", "zfs send")),
    "BEGIN alone": (lambda: FULL[:312], 1, ("after 312 bytes", "without its END")),
    "cut in a payload": (lambda: FULL[:400_000], 1, ("after 400000 bytes", "without its END")),
    "cut at a record": (lambda: FULL[:-312], 1, ("without its END",)),
    "cut in END": (lambda: FULL[:-1], 1, ("without its END",)),
    "flipped payload": (lambda: flipped(FULL, 500_000), 1, ("checksum", "send it again")),
    "flipped header": (lambda: flipped(FULL, 312 + 40), 1, ("checksum", "send it again")),
    "flipped END": (lambda: flipped(FULL, len(FULL) - 300), 1, ("checksum",)),
    "flipped old sender's": (lambda: flipped(recorded("fuse-full"), 40_000), 1, ("checksum", "send it again")),
    "a byte after END": (lambda: FULL + b"\n", 1, ("bytes after the END", "byte 790136")),
    "two streams": (lambda: FULL + recorded("d-incr"), 1, ("bytes after the END", "one snapshot a stream")),
    "incremental without base": (lambda: recorded("d-incr"), 1, ("stands on the snapshot", "push that snapshot first")),
}


# A second store is worth its time only where something had been written before the damage showed.
LATE = ["replication (-R)", "cut in a payload", "flipped payload", "flipped END", "a byte after END"]
CASES_BY_PLACE = [("folder", name) for name in CASES] + [("garage", name) for name in LATE]


@pytest.fixture(params=["folder", "garage"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "garage":
        server: S3Server = request.getfixturevalue("garage")
        return server_place(server, f"bad-stdin/{tmp_path.name}")
    (tmp_path / "store").mkdir()
    return folder_place(tmp_path / "store")


def nothing_left(place: Place) -> None:
    assert place.backup_keys() == set()
    assert place.listed() == []


@pytest.mark.garage
@pytest.mark.parametrize(("place", "name"), CASES_BY_PLACE, indirect=["place"])
def test_a_bad_stream_is_refused_and_leaves_nothing(name: str, place: Place, age_identity: AgeIdentity) -> None:
    stream, code, words = CASES[name]
    place.take(stream(), age_identity.recipient).refused(code, *words)
    nothing_left(place)


@pytest.mark.garage
def test_a_bad_stream_leaves_the_backups_before_it_alone(
    place: Place, age_identity: AgeIdentity, tmp_path: Path
) -> None:
    place.take(FULL, age_identity.recipient).good()
    before = place.content()
    incremental = recorded("d-incr")
    bad = place.take(flipped(incremental, len(incremental) // 2), age_identity.recipient, name="tank/d@b")
    bad.refused(1, "checksum")
    assert place.content() == before
    place.take(incremental, age_identity.recipient, name="tank/d@b").good()
    assert [one["level"] for one in place.listed()] == [0, 1]
    out = tmp_path / "out"
    newest = place.listed()[1]["id"]
    place.run("restore", "--backup", newest, "--identity", age_identity.path, "--output", out).good()
    assert out.read_bytes() == incremental


def started(place: Place, recipient: str, stdin: int | None) -> Ended:
    """Run a push with a descriptor of our choice as standard input; None closes it."""
    push = ("push", "--host", place.url, "--stdin", "tank/d@a", "--recipient", recipient, "--source", "nas")
    shell = ("sh", "-c", 'exec "$@" <&-', "sh") if stdin is None else ()
    command = [*shell, str(COMMAND), *push]
    done = subprocess.run(
        command, check=False, capture_output=True, timeout=SECONDS, env=place.environment, stdin=stdin
    )
    return Ended(done.returncode, done.stdout, done.stderr.decode())


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    (tmp_path / "store").mkdir()
    return folder_place(tmp_path / "store")


def test_a_terminal_is_no_stream(folder: Place, age_identity: AgeIdentity) -> None:
    controller, terminal = pty.openpty()
    try:
        started(folder, age_identity.recipient, terminal).refused(2, "standard input is a terminal", "zfs send")
    finally:
        os.close(controller)
        os.close(terminal)
    nothing_left(folder)


def test_a_closed_standard_input_is_no_stream(folder: Place, age_identity: AgeIdentity) -> None:
    started(folder, age_identity.recipient, None).refused(2, "standard input can't be read", "zfs send")
    nothing_left(folder)


def test_a_descriptor_for_writing_is_no_stream(folder: Place, age_identity: AgeIdentity, tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    try:
        started(folder, age_identity.recipient, descriptor).refused(2, "standard input can't be read")
    finally:
        os.close(descriptor)
    nothing_left(folder)


def test_a_refusal_says_so_in_json(folder: Place, age_identity: AgeIdentity) -> None:
    words = ("--stdin", "tank/d@a", "--recipient", age_identity.recipient, "--json")
    ended = folder.run("push", *words, stdin=recorded("d-R"))
    error = ended.json()["error"]
    assert (ended.code, error["code"], error["exit_code"]) == (2, "stream.compound", 2)
    assert set(folder.content()) <= FURNITURE
