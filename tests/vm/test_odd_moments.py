"""Days of a real pool: changed targets, rollbacks, bookmarks that come and go, holds of others."""

from __future__ import annotations

import os
import socket
import stat
import struct

import pytest

from harness.pool import Dataset, Pool, zfs
from vm.rig import Rig, bookmarks, facts, guids, mounted, whole

pytestmark = [pytest.mark.pool, pytest.mark.garage]
# Version 2; owner rw, user 4321 r, group r, mask r, others nothing (Linux include/uapi/linux/posix_acl_xattr.h).
NOBODY = 0xFFFF_FFFF
ENTRIES = ((1, 6, NOBODY), (2, 4, 4321), (4, 4, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY))
ACCESS_LIST = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in ENTRIES)


def test_a_changed_target_is_overwritten_only_by_force(rig: Rig, source: Dataset, zfs_pool: Pool) -> None:
    (source.path / "file").write_text("one")
    source.snapshot("one")
    rig.configure([rig.task(source.name)])
    rig.push()
    target = rig.restore(source.name)
    (mounted(zfs_pool, target) / "file").write_text("changed since")
    words = ("--dataset", source.name, "--to", target)
    rig.run("restore", *words).refused(2, target, "--force")
    zfs("destroy", f"{target}@one")
    done = rig.run("restore", *words, "--force")
    assert done.code == 0, done
    assert facts(mounted(zfs_pool, target)) == facts(source.path)


@whole
def test_a_rolled_back_dataset_begins_anew(rig: Rig, source: Dataset) -> None:
    (source.path / "file").write_text("one")
    source.snapshot("one")
    (source.path / "file").write_text("two")
    source.snapshot("two")
    rig.configure([rig.task(source.name)])
    rig.push()
    zfs("rollback", "-r", f"{source.name}@one")
    source.snapshot("three")
    done = rig.run("push", "--json").good()
    # The bookmark of @two went with the rollback: nothing here is committed there, so a full, loudly.
    assert [one["level"] for one in done.results()] == [0], done
    assert set(guids(rig.restore(source.name))) == {"three"}


@whole
def test_bookmarks_do_not_pile_up(rig: Rig, source: Dataset) -> None:
    rig.configure([rig.task(source.name, max_chain=3)])
    for number in range(5):
        (source.path / "file").write_text(str(number))
        source.snapshot(f"s{number}")
        rig.push()
        assert zfs("holds", "-H", f"{source.name}@s{number}") == ""
    levels = [manifest["level"] for manifest in rig.manifests("folder").values()]
    assert len(levels) == 5
    assert 1 <= len(bookmarks(source.name)) <= 3
    restored = guids(rig.restore(source.name))
    assert "s4" in restored
    assert restored.items() <= guids(source.name).items()


def test_holds_of_others_are_left_alone(rig: Rig, source: Dataset) -> None:
    source.snapshot("one")
    zfs("hold", "somebody", f"{source.name}@one")
    rig.configure([rig.task(source.name)])
    rig.push()
    assert [line.split("\t")[1] for line in zfs("holds", "-H", f"{source.name}@one").splitlines()] == ["somebody"]
    shown = rig.run("holds", "--json").good().json()
    assert shown == {"holds": []}


def test_owners_access_lists_and_special_files_come_back(rig: Rig, zfs_pool: Pool) -> None:
    made = zfs_pool.create("special", acltype="posixacl", xattr="sa")
    for name, mode in {"plain": 0o640, "setuid": 0o4755, "listed": 0o640}.items():
        (made.path / name).write_text(name)
        os.chown(made.path / name, 1234, 5678)
        (made.path / name).chmod(mode)
    os.setxattr(made.path / "listed", "system.posix_acl_access", ACCESS_LIST)
    os.mkfifo(made.path / "pipe")
    os.mknod(made.path / "device", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(made.path / "socket"))
    made.snapshot("one")
    rig.configure([rig.task(made.name)])
    rig.push()
    target = mounted(zfs_pool, rig.restore(made.name, "--properties"))
    assert facts(target) == facts(made.path)
    assert os.getxattr(target / "listed", "system.posix_acl_access") == ACCESS_LIST
    assert (target / "device").stat().st_rdev == os.makedev(1, 3)
    zfs_pool.destroy(made.name)
