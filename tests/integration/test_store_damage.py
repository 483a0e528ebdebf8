"""A store that lost or changed bytes, seen through the command: the part is named, and no dataset is half restored."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from harness.foreign import AgeIdentity
from harness.pool import Pool, zfs
from harness.processes import CommandFailed
from harness.program import Place, folder_place, program

pytestmark = pytest.mark.pool

LABELS = ("monday", "tuesday")
SEALED_CHUNK = 65552


@dataclass(frozen=True)
class Store:
    """A copy of a sound store with a full and an incremental of several parts each."""

    place: Place
    dataset: str
    identity: Path

    def path(self, key: str) -> Path:
        assert self.place.folder is not None
        return self.place.folder / key

    def manifests(self) -> list[Path]:
        """Return the manifest files, the full's first."""
        return sorted(self.path("manifests").rglob("*.json"))

    def parts(self, number: int) -> list[Path]:
        """Return the part files of backup `number`, in order."""
        return [self.path(part["key"]) for part in json.loads(self.manifests()[number].read_text())["parts"]]

    def restore_words(self, *words: str | Path) -> tuple[str | Path, ...]:
        return ("--dataset", self.dataset, "--identity", self.identity, *words)


@pytest.fixture(scope="module")
def sound(zfs_pool: Pool, age_identity: AgeIdentity, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Nobody writes to this one."""
    source = zfs_pool.create("damage")
    folder = tmp_path_factory.mktemp("sound")
    (folder / "store").mkdir()
    pool, _, rest = source.name.partition("/")
    content = {
        "source": "damage",
        "recipients": [age_identity.recipient],
        "hosts": {"disk": {"url": (folder / "store").as_uri(), "part_size": "1MiB"}},
        "tasks": [{"name": "prod", "pool": pool, "dataset": rest}],
    }
    (folder / "config.yaml").write_text(json.dumps(content))
    for label in LABELS:
        (source.path / label).write_bytes(os.urandom(3 << 20))
        source.snapshot(label)
        program("push", "--config", folder / "config.yaml").good()
    yield Store(folder_place(folder / "store"), source.name, age_identity.path)
    zfs_pool.destroy(source.name)


@pytest.fixture
def store(sound: Store, tmp_path: Path) -> Store:
    assert sound.place.folder is not None
    copy = shutil.copytree(sound.place.folder, tmp_path / "store")
    return Store(folder_place(copy), sound.dataset, sound.identity)


@pytest.fixture
def target(zfs_pool: Pool) -> Iterator[str]:
    name = zfs_pool.unused_name("damage-back")
    yield name
    zfs_pool.destroy(name)


def snapshots(name: str) -> list[str] | None:
    """Return the labels of a dataset's snapshots, None where there is no such dataset."""
    try:
        zfs("list", "-H", "-o", "name", name)
    except CommandFailed:
        return None
    names = zfs("list", "-H", "-o", "name", "-t", "snapshot", "-r", name).split()
    return [one.partition("@")[2] for one in names]


Damage = Callable[[Store, int], Path]


def flip(store: Store, number: int) -> Path:
    part = store.parts(number)[1]
    body = bytearray(part.read_bytes())
    body[len(body) // 2] ^= 1
    part.write_bytes(body)
    return part


def flip_header(store: Store, number: int) -> Path:
    """In the age header of the first part: whoever opens it fails before the first byte."""
    part = store.parts(number)[0]
    body = bytearray(part.read_bytes())
    body[40] ^= 1
    part.write_bytes(body)
    return part


def truncate(store: Store, number: int) -> Path:
    """A whole chunk is gone: what is left is genuine."""
    part = store.parts(number)[-1]
    part.write_bytes(part.read_bytes()[:-SEALED_CHUNK])
    return part


def empty(store: Store, number: int) -> Path:
    part = store.parts(number)[0]
    part.write_bytes(b"")
    return part


def lose(store: Store, number: int) -> Path:
    part = store.parts(number)[1]
    part.unlink()
    return part


def grow(store: Store, number: int) -> Path:
    part = store.parts(number)[1]
    with part.open("ab") as file:
        file.write(b"more")
    return part


def pretend(store: Store, number: int, bodies: dict[Path, bytes]) -> None:
    """Put other bytes in the place of parts, and their lengths into the manifest, so that these give no hint."""
    manifest = store.manifests()[number]
    document = json.loads(manifest.read_text())
    for part in document["parts"]:
        body = bodies.get(store.path(part["key"]))
        if body is not None:
            part["sealed_length"] = len(body)
            store.path(part["key"]).write_bytes(body)
    manifest.write_text(json.dumps(document))


def swap(store: Store, number: int) -> Path:
    """Two genuine parts in each other's place."""
    first, second = store.parts(number)[:2]
    pretend(store, number, {first: second.read_bytes(), second: first.read_bytes()})
    return first


def repeat(store: Store, number: int) -> Path:
    """A genuine part stands twice."""
    first, second = store.parts(number)[:2]
    pretend(store, number, {second: first.read_bytes()})
    return second


def exchange(store: Store, number: int) -> Path:
    """A genuine part of the other backup."""
    mine, other = store.parts(number)[0], store.parts(1 - number)[0]
    pretend(store, number, {mine: other.read_bytes()})
    return mine


DAMAGES = [flip, flip_header, truncate, empty, lose, grow, swap, repeat, exchange]
SEEN_BY_LENGTH = {truncate, empty, lose, grow}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("number", [0, 1], ids=["full", "incremental"])
def test_a_damaged_part_is_named_and_never_half_restored(
    damage: Damage, number: int, store: Store, target: str, tmp_path: Path
) -> None:
    bad = damage(store, number)
    before = store.place.content()
    ended = store.place.run("restore", *store.restore_words("--to", target))
    ended.refused(1, bad.name, store.dataset)
    expected = snapshots(target)
    if number == 0 or damage in SEEN_BY_LENGTH:
        assert expected is None
    else:
        assert expected in (None, [LABELS[0]])
        assert expected is None or f"{target} is complete up to @{LABELS[0]}" in ended.err
    assert store.place.content() == before

    (backup,) = [one["id"] for one in store.place.listed() if one["level"] == number]
    out = tmp_path / "out"
    words = ("--backup", backup, "--identity", store.identity, "--output", out)
    store.place.run("restore", *words).refused(1, bad.name)
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["store"], "a partial file was left behind"


def test_the_same_store_unharmed_restores(store: Store, target: str) -> None:
    store.place.run("restore", *store.restore_words("--to", target)).good()
    assert snapshots(target) == list(LABELS)


@pytest.mark.parametrize("damage", [lose, truncate])
def test_a_target_that_exists_is_as_before(damage: Damage, store: Store, zfs_pool: Pool) -> None:
    """Even with --force nothing is touched before every part of the chain was looked at."""
    existing = zfs_pool.create("existing")
    (existing.path / "mine").write_text("keep me")
    bad = damage(store, 1)
    words = store.restore_words("--to", existing.name)
    store.place.run("restore", *words).refused(2, "exists")
    store.place.run("restore", *words, "--force").refused(1, bad.name)
    assert (existing.path / "mine").read_text() == "keep me"
    assert snapshots(existing.name) == []
    zfs_pool.destroy(existing.name)


def test_a_lost_base_is_said_in_the_list_and_in_the_restore(store: Store, target: str) -> None:
    full, _ = store.manifests()
    full.unlink()
    (orphan,) = store.place.listed()
    assert orphan["restorable"] is False
    assert "NOT RESTORABLE" in store.place.run("list").good().out.decode()
    ended = store.place.run("restore", "--backup", orphan["id"], "--identity", store.identity, "--to", target)
    ended.refused(ended.code, orphan["id"])
    assert ended.code in (1, 2)
    assert snapshots(target) is None


@pytest.mark.parametrize("damage", [flip, swap])
def test_a_part_of_many_pieces_is_named_too(
    damage: Damage, zfs_pool: Pool, age_identity: AgeIdentity, target: str, tmp_path: Path
) -> None:
    """With this budget a part is fetched in three pieces, and its digest is known only after the last."""
    source = zfs_pool.create("pieces")
    (source.path / "random").write_bytes(os.urandom(70 << 20))
    source.snapshot("monday")
    (tmp_path / "store").mkdir()
    store = Store(folder_place(tmp_path / "store"), source.name, age_identity.path)
    config = tmp_path / "config.yaml"
    content = {
        "source": "pieces",
        "recipients": [age_identity.recipient],
        "memory_budget": "32MiB",
        "hosts": {"disk": {"url": store.place.url, "part_size": "20MiB"}},
    }
    config.write_text(json.dumps(content))
    program("push", "--config", config, "--dataset", source.name).good()
    zfs_pool.destroy(source.name)
    restore = ("restore", "--config", config, *store.restore_words("--to", target))
    sound = store.place.content()
    bad = damage(store, 0)
    program(*restore).refused(1, bad.name, source.name, "now there: nothing")
    assert snapshots(target) is None
    for key, body in sound.items():
        store.path(key).write_bytes(body)
    program(*restore).good()
    assert snapshots(target) == [LABELS[0]]


def test_lost_furniture_stops_no_restore(store: Store, target: str) -> None:
    """RECOVER.md and RECOVER.txt are for people; the manifest alone counts."""
    for path in [store.path("RECOVER.md"), *store.path("data").rglob("RECOVER.txt")]:
        path.unlink()
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(store.path("runs"))
    store.place.run("restore", *store.restore_words("--to", target)).good()
    assert snapshots(target) == list(LABELS)


def test_an_unreadable_manifest_hides_no_other_backup(store: Store, target: str) -> None:
    _, increment = store.manifests()
    increment.write_text("")
    done = store.place.run("restore", *store.restore_words("--to", target, "--snapshot", LABELS[0])).good()
    assert f"a backup is left out: {increment.relative_to(store.path('.'))}" in done.err
    assert snapshots(target) == [LABELS[0]]
    listing = store.place.run("list", "--long").good()
    first, second = listing.out.decode().splitlines()[1:]
    assert f"@{LABELS[0]}" in first
    assert "NOT RESTORABLE: its manifest can't be read" in second
    whole, damaged = store.place.listed()
    assert (whole["restorable"], whole["damage"]) == (True, None)
    assert damaged["restorable"] is False
    assert "unreadable" in damaged["damage"]


@pytest.mark.parametrize("words", [(), ("--at", "2099-01-01"), ("--recursive",)])
def test_the_newest_state_is_never_silently_an_older_one(store: Store, target: str, words: tuple[str, ...]) -> None:
    """Not even where all was made within one second, as a quick machine does it."""
    full, increment = store.manifests()
    pushed = datetime.strptime(increment.name.partition("-")[0], "%Y%m%dT%H%M%S%z")
    full.write_text(json.dumps(json.loads(full.read_text()) | {"snapshot_created": int(pushed.timestamp())}))
    increment.write_text("{}")
    ended = store.place.run("restore", *store.restore_words("--to", target, *words))
    assert "list --long" in ended.refused(1, increment.name, "unreadable")
    assert snapshots(target) is None


def test_what_stands_on_an_unreadable_manifest_is_not_restorable(store: Store, target: str) -> None:
    full, _ = store.manifests()
    full.write_text("{")
    assert [one["restorable"] for one in store.place.listed()] == [False, False]
    store.place.run("restore", *store.restore_words("--to", target)).refused(1, full.name, "unreadable")
    assert snapshots(target) is None


def test_names_in_a_store_reach_no_terminal_as_they_are(store: Store) -> None:
    _, increment = store.manifests()
    document = json.loads(increment.read_text())
    document["snapshot"] = "evil\x1b[2J\nforged line"
    increment.write_text(json.dumps(document))
    for done in (store.place.run("list", "--long"), store.place.run("restore", *store.restore_words("--dry-run"))):
        shown = done.out.decode() + done.err
        assert "\x1b" not in shown
        assert not any(line.startswith("forged") for line in shown.splitlines()), shown
