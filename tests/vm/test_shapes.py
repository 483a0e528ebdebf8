"""A tree of every shape, pushed full and incremental to a folder and to a bucket, and back by command and stock tools.

The folder's increments stand on snapshots, the bucket's on bookmarks, since the snapshots are gone by then.
"""

from __future__ import annotations

from typing import Any

import pytest

from harness.pool import Pool, zfs
from vm.rig import EVERYTHING, HOSTS, Rig, bookmarks, device, facts, get, guids, held, mounted, whole
from vm.shapes import NOTE, SHAPES, VOLUME, Grove

pytestmark = [pytest.mark.pool, pytest.mark.garage, pytest.mark.timeout(1500)]

# Where a dataset is and where its key is differ for a copy; how it is encrypted came with the stream.
PLACED = {"mountpoint", "canmount", "keylocation", "keyformat", "pbkdf2iters", "encryption"}
EVERY = [*SHAPES, VOLUME]
STOCK = EVERY if EVERYTHING else ["plain", "secret", "record-16m"]
STORED = {"folder": EVERY, "bucket": EVERY if EVERYTHING else ["plain", "secret", VOLUME]}
CELLS = [(host, shape) for host, shapes in STORED.items() for shape in shapes]
Results = dict[str, list[list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def grove(zfs_pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Grove:
    return Grove(zfs_pool, tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def results(grove: Grove, module_rig: Rig) -> Results:
    """What the pushes said, by host: the full ones, the incremental ones."""
    rig = module_rig
    common = {"recursive": True, "raw": True}
    stored = [".", *STORED["bucket"]]
    rig.configure(
        [
            rig.task(grove.root, "whole", hosts=["folder"], **common),
            rig.task(grove.root, "some", hosts=["bucket"], **common, **({} if EVERYTHING else {"include": stored})),
        ]
    )
    zfs("set", "compression=lz4", f"{NOTE}=of the root", grove.root)
    grove.fill()
    zfs("snapshot", "-r", f"{grove.root}@one")
    grove.first = {shape: get(f"{grove.name(shape)}@one", "guid") for shape in EVERY}
    grove.close_secret()
    full = {host: rig.push(host=host) for host in HOSTS}
    grove.change()
    zfs("snapshot", "-r", f"{grove.root}@two")
    grove.close_secret()
    said = {"folder": [full["folder"], rig.push(host="folder")]}
    zfs("destroy", "-r", f"{grove.root}@one")
    return said | {"bucket": [full["bucket"], rig.push(host="bucket")]}


@pytest.fixture(scope="module")
def restored(results: Results, grove: Grove, module_rig: Rig) -> dict[str, str]:
    """The whole tree, restored from each host, from the folder with its properties."""
    folder = module_rig.restore(grove.root, "--recursive", "--properties", host="folder")
    return {"folder": folder, "bucket": module_rig.restore(grove.root, "--recursive", host="bucket")}


@pytest.mark.parametrize("host", HOSTS)
def test_everything_was_pushed_twice(results: Results, grove: Grove, host: str) -> None:
    full, incremental = results[host]
    names = set(zfs("list", "-H", "-o", "name", "-r", "-t", "filesystem,volume", grove.root).splitlines())
    if host == "bucket" and not EVERYTHING:
        names = {grove.root, *map(grove.name, STORED[host])}
    for level, said in enumerate((full, incremental)):
        assert {one["dataset"] for one in said} == names
        assert {(one["status"], one["level"]) for one in said} == {("pushed", level)}
    mark = {"folder": "@", "bucket": "#"}[host]
    assert all(mark in one["base"] for one in incremental), incremental


@pytest.mark.parametrize("host", HOSTS)
def test_the_flags_are_what_this_zfs_can_do(results: Results, grove: Grove, module_rig: Rig, host: str) -> None:
    for manifest in module_rig.manifests(host).values():
        raw = manifest["dataset"] == grove.name("secret")
        assert manifest["send"]["flags"] == (["-w"] if raw else ["-L", "-e", "-c"]), manifest["dataset"]
        assert manifest["send"]["raw"] is raw


def test_nothing_is_held_where_a_bookmark_does(results: Results, grove: Grove) -> None:
    for name in zfs("list", "-H", "-o", "name", "-r", "-t", "filesystem,volume", grove.root).splitlines():
        assert held(f"{name}@two") == []
        shape = name.removeprefix(f"{grove.root}/")
        hosts = 2 if EVERYTHING or shape in STORED["bucket"] or name == grove.root else 1
        # Of each host the level 0 and the level 1.
        assert len(bookmarks(name)) == 2 * hosts, name


def local(name: str) -> dict[str, str]:
    """The properties that were set on a dataset, but for those that say where it is."""
    keys = zfs("get", "-H", "-s", "local", "-o", "property", "all", name).split()
    return {key: get(name, key) for key in keys if key not in PLACED}


def same_files(pool: Pool, grove: Grove, shape: str, target: str) -> None:
    if shape == "secret" and get(target, "keystatus") == "unavailable":
        zfs("load-key", "-L", f"file://{grove.key}", target)
    if shape == "secret" and get(grove.name(shape), "keystatus") == "unavailable":
        grove.open_secret()
    assert facts(mounted(pool, target)) == facts(mounted(pool, grove.name(shape)))


def same_volume(one: str, other: str) -> None:
    assert get(one, "volsize") == get(other, "volsize")
    assert get(one, "volblocksize") == get(other, "volblocksize")
    assert device(one).read_bytes() == device(other).read_bytes()


def same(pool: Pool, grove: Grove, shape: str, target: str) -> None:
    ours, theirs = guids(grove.name(shape)), guids(target)
    assert theirs == {"one": grove.first[shape], "two": ours["two"]}
    if shape == VOLUME:
        same_volume(grove.name(shape), target)
    else:
        same_files(pool, grove, shape, target)


@pytest.mark.parametrize(("host", "shape"), CELLS)
def test_it_comes_back(restored: dict[str, str], grove: Grove, zfs_pool: Pool, host: str, shape: str) -> None:
    target = f"{restored[host]}/{shape}"
    if shape != VOLUME:
        assert get(target, "mounted") == "no"
    same(zfs_pool, grove, shape, target)


@pytest.mark.parametrize("shape", STOCK)
def test_stock_tools_bring_it_back(results: Results, grove: Grove, module_rig: Rig, zfs_pool: Pool, shape: str) -> None:
    name = grove.name(shape)
    target = module_rig.recover("folder", name)
    same(zfs_pool, grove, shape, target)
    # As RECOVER.md's last step says: take the properties that you want from what step 2 shows.
    shown = module_rig.shown_properties("folder", name)
    for key, about in shown.items():
        if about["source"] == "local" and key not in PLACED:
            zfs("set", f"{key}={about['value']}", target)
    assert NOTE in local(name)
    assert local(target) == local(name)


@whole
@pytest.mark.parametrize("shape", ["plain", "secret", VOLUME])
def test_stock_tools_bring_it_back_from_a_bucket(
    results: Results, grove: Grove, module_rig: Rig, zfs_pool: Pool, shape: str
) -> None:
    same(zfs_pool, grove, shape, module_rig.recover("bucket", grove.name(shape)))


def test_properties_come_back_where_asked(restored: dict[str, str], grove: Grove) -> None:
    target = restored["folder"]
    assert NOTE not in local(restored["bucket"])
    assert local(target) == local(grove.root)
    assert local(target)[NOTE] == "of the root"
    for shape in EVERY:
        assert NOTE in local(grove.name(shape))
        assert local(f"{target}/{shape}") == local(grove.name(shape)), shape


def test_the_secret_is_nowhere_in_the_store(results: Results, module_rig: Rig, grove: Grove) -> None:
    for path in module_rig.store.rglob("*"):
        if path.is_file():
            assert b"plaintext-marker" not in path.read_bytes()


def test_a_received_secret_is_as_encrypted_as_before(restored: dict[str, str], grove: Grove) -> None:
    target = f"{restored['folder']}/secret"
    assert get(target, "encryption") == "aes-256-gcm"
    assert get(target, "encryptionroot") == target
