"""Identities that do not fit, documents of a later version, another repository: refused, and nothing is changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.foreign import AgeIdentity, ForeignTools
from harness.program import COMMAND, FURNITURE, SECONDS, STREAMS, Ended, Place, folder_place

FULL, INCREMENTAL = STREAMS / "d-full.zs", STREAMS / "d-incr.zs"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def place(folder: Path, age_identity: AgeIdentity) -> Place:
    """A store with one full backup of tank/d."""
    made = folder_place(folder)
    made.take(FULL, age_identity.recipient).good()
    return made


def restore(place: Place, identity: Path, out: Path) -> Ended:
    ended = place.run("restore", "--dataset", "tank/d", "--identity", identity, "--output", out)
    assert out.exists() is (ended.code == 0)
    return ended


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def manifest_of(folder: Path) -> Path:
    (path,) = (folder / "manifests").rglob("*.json")
    return path


def test_an_identity_of_somebody_else(place: Place, foreign: ForeignTools, tmp_path: Path) -> None:
    other = foreign.new_identity(tmp_path)
    restore(place, other.path, tmp_path / "out").refused(1, "none of the given identities", "part-000000")


def test_one_of_several_identities_suffices(
    place: Place, foreign: ForeignTools, age_identity: AgeIdentity, tmp_path: Path
) -> None:
    other = foreign.new_identity(tmp_path)
    words = ("--identity", other.path, "--identity", age_identity.path)
    place.run("restore", "--dataset", "tank/d", *words, "--output", tmp_path / "out").good()
    assert (tmp_path / "out").read_bytes() == FULL.read_bytes()


def test_an_identity_file_that_is_none(place: Place, age_identity: AgeIdentity, tmp_path: Path) -> None:
    recipients = tmp_path / "recipients.txt"
    recipients.write_text(f"{age_identity.recipient}\n")
    empty = tmp_path / "empty.txt"
    empty.touch()
    restore(place, recipients, tmp_path / "out").refused(1, "recipients.txt")
    restore(place, empty, tmp_path / "out").refused(1, "empty.txt")
    restore(place, tmp_path / "missing", tmp_path / "out").refused(2, "missing", "no such file")
    restore(place, tmp_path, tmp_path / "out").refused(2, str(tmp_path))


def test_an_identity_file_that_may_not_be_read(place: Place, age_identity: AgeIdentity, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden.txt"
    shutil.copy(age_identity.path, hidden)
    hidden.chmod(0)
    restore(place.without_override(), hidden, tmp_path / "out").refused(1, "hidden.txt", "not readable")
    ended = restore(place, hidden, tmp_path / "out")
    assert (ended.code == 0) is (os.geteuid() == 0)


def require(document: dict[str, Any]) -> None:
    document["requires"] = ["time-travel"]


def newer(document: dict[str, Any]) -> None:
    document["format"] = 2


def unknown_key(document: dict[str, Any]) -> None:
    document["of_a_later_version"] = {"harmless": True}


LATER = {"requires": (require, ("time-travel", "upgrade")), "format": (newer, ("format", "2", "upgrade"))}


@pytest.mark.parametrize("later", LATER)
@pytest.mark.parametrize("document", ["manifest", "repository"])
def test_a_document_of_a_later_version_is_never_guessed_at(
    later: str, document: str, place: Place, folder: Path, age_identity: AgeIdentity, tmp_path: Path
) -> None:
    change, words = LATER[later]
    edit(manifest_of(folder) if document == "manifest" else folder / "repository.json", change)
    before = place.content()
    restore(place, age_identity.path, tmp_path / "out").refused(1, *words)
    place.take(INCREMENTAL, age_identity.recipient, name="tank/d@b").refused(1, *words)
    if document == "repository":
        place.take(FULL, age_identity.recipient, name="tank/other@a").refused(1, *words)
        place.run("list").refused(1, *words)
    assert place.content() == before


def test_an_unknown_key_is_no_hindrance(place: Place, folder: Path, age_identity: AgeIdentity, tmp_path: Path) -> None:
    edit(manifest_of(folder), unknown_key)
    edit(folder / "repository.json", unknown_key)
    restore(place, age_identity.path, tmp_path / "out").good()
    place.take(INCREMENTAL, age_identity.recipient, name="tank/d@b").good()


# Up to 19 bytes are the mark of a backup that was never finished (rust/format/FORMAT.md).
NO_DOCUMENTS = {
    "a beginning": b'{"format":1,"requires":[],"to',
    "a list": b"[1, 2, 3, 4, 5, 6, 7, 8, 9]",
    "text": b"not JSON, and quite sure of it\n",
    "zeros": bytes(100),
    "another type": b'{"format": "one", "requires": []}',
}


@pytest.mark.parametrize("body", NO_DOCUMENTS.values(), ids=NO_DOCUMENTS)
@pytest.mark.parametrize("document", ["manifest", "repository"])
def test_a_document_that_is_no_document(
    body: bytes, document: str, place: Place, folder: Path, age_identity: AgeIdentity, tmp_path: Path
) -> None:
    path = manifest_of(folder) if document == "manifest" else folder / "repository.json"
    path.write_bytes(body)
    before = place.content()
    restore(place, age_identity.path, tmp_path / "out").refused(1, path.name)
    place.take(INCREMENTAL, age_identity.recipient, name="tank/d@b").refused(1, path.name)
    assert place.content() == before


def test_a_manifest_in_the_wrong_place(place: Place, folder: Path, age_identity: AgeIdentity, tmp_path: Path) -> None:
    """A file copied under another dataset's name must not pass for its backup."""
    right = manifest_of(folder)
    wrong = folder / "manifests/nas-1a2b3c4d/tank/other/@" / right.name
    wrong.parent.mkdir(parents=True)
    shutil.copy(right, wrong)
    words = ("--dataset", "tank/other", "--identity", age_identity.path, "--output", tmp_path / "out")
    place.run("restore", *words).refused(1, right.name)
    assert not (tmp_path / "out").exists()


def test_an_empty_store_under_the_same_url(place: Place, folder: Path, age_identity: AgeIdentity) -> None:
    """The wrong disk is mounted: an incremental finds no base and says so; a full begins a repository of its own."""
    first = json.loads((folder / "repository.json").read_text())["id"]
    folder.rename(folder.with_name("right-disk"))
    folder.mkdir()
    ended = place.take(INCREMENTAL, age_identity.recipient, name="tank/d@b")
    ended.refused(1, "no whole backup", "push that snapshot first")
    assert place.backup_keys() == set()
    place.take(FULL, age_identity.recipient).good()
    assert json.loads((folder / "repository.json").read_text())["id"] != first
    assert [one["level"] for one in place.listed()] == [0]


def test_a_repository_that_changes_in_mid_run(folder: Path, age_identity: AgeIdentity, tmp_path: Path) -> None:
    """Another disk is mounted while the stream runs: the commit refuses, and nothing of the run is left on either."""
    place = folder_place(folder)
    place.run("list").good()
    stream = FULL.read_bytes()
    words = ("push", "--host", place.url, "--stdin", "tank/d@a", "--recipient", age_identity.recipient)
    command = [str(COMMAND), *words, "--source", "nas"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(place.environment)
    ) as process:
        assert process.stdin is not None
        process.stdin.write(stream[:400_000])
        process.stdin.flush()
        until(lambda: any((folder / "runs").rglob("*.json")))
        edit(folder / "repository.json", lambda document: document.update(id="f" * 32))
        out, err = process.communicate(stream[400_000:], timeout=SECONDS)
    ended = Ended(process.returncode, out, err.decode())
    ended.refused(1, "repository", "another")
    assert place.backup_keys() == set()
    assert set(place.content()) == FURNITURE


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
