from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.pool import DatasetFactory, Pool, zfs
from unit.fake_zfs import FakeZfs
from zfs_push_backups.errors import ConfigurationError, UsageError, ZfsError
from zfs_push_backups.zfs import datasets
from zfs_push_backups.zfs.command import ZfsCommand

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.pool
def test_a_tree_is_listed_parents_first_with_blanks_in_names(dataset: DatasetFactory) -> None:
    root = dataset("tree")
    zfs("create", f"{root.name}/a b")
    zfs("create", f"{root.name}/a b/c")
    assert datasets.list_tree(ZfsCommand(), root.name) == [root.name, f"{root.name}/a b", f"{root.name}/a b/c"]


@pytest.mark.pool
def test_properties_are_the_local_ones_tabs_and_newlines_included(dataset: DatasetFactory) -> None:
    one = dataset("props", compression="on")
    value = "tab\there\nand a line\nthere"
    zfs("set", f"test:note={value}", one.name)
    found = datasets.describe(ZfsCommand(), one.name)
    assert found.properties["test:note"] == datasets.Property(value, "local")
    assert found.properties["compression"] == datasets.Property("on", "local")
    assert "atime" not in found.properties
    assert found.type == "filesystem"
    assert found.guid is not None
    assert int(found.guid) > 0
    assert not found.encrypted


@pytest.mark.pool
def test_an_unknown_dataset_gets_the_nearest_name(dataset: DatasetFactory) -> None:
    one = dataset("nearby")
    zfs_command = ZfsCommand()
    for action in (datasets.describe, datasets.list_tree):
        with pytest.raises(ZfsError, match="does not exist") as caught:
            action(zfs_command, one.name + "x")
        assert one.name in caught.value.hint
        assert caught.value.code == "zfs.not_found"


@pytest.mark.pool
def test_existence(zfs_pool: Pool, dataset: DatasetFactory) -> None:
    assert datasets.exists(ZfsCommand(), dataset("here").name)
    assert not datasets.exists(ZfsCommand(), zfs_pool.unused_name())
    with pytest.raises(UsageError):
        datasets.exists(ZfsCommand(), "-x")


def test_what_cannot_be_asked_is_not_taken_for_gone(tmp_path: Path) -> None:
    fake = FakeZfs(tmp_path / "bin")
    fake.answer("get", "-Hp", "-o", "value", "guid", "t/here", out="77\n")
    fake.answer("get", "-Hp", "-o", "value", "guid", "t/fuse", out="-\n")
    fake.answer(
        "get", "-Hp", "-o", "value", "guid", "t/gone", err="cannot open 't/gone': dataset does not exist", code=1
    )
    fake.answer("get", "-Hp", "-o", "value", "guid", "t/sick", err="internal error: out of memory", code=1)
    command = ZfsCommand(str(fake.program))
    assert [datasets.guid_of(command, name) for name in ("t/here", "t/fuse", "t/gone")] == ["77", None, None]
    with pytest.raises(ZfsError, match="out of memory"):
        datasets.guid_of(command, "t/sick")


def encrypted(tmp_path: Path) -> datasets.Dataset:
    fake = FakeZfs(tmp_path / "bin")
    rows = "t/e\ttype\tfilesystem\t-\nt/e\tencryption\taes-256-gcm\t-\nt/e\tused\t5\t-\nt/e\tcopies\t2\treceived\n"
    fake.answer("get", "-Hp", "all", out=rows)
    fake.answer("get", "-Hp", "guid", out="t/e\tguid\t77\t-\n")
    return datasets.describe(ZfsCommand(str(fake.program)), "t/e")


def test_a_value_that_looks_like_a_line_of_zfs_changes_no_property(tmp_path: Path) -> None:
    rows = "t/e\ttype\tfilesystem\t-\nt/e\tguid\t77\t-\nt/e\tencryption\taes-256-gcm\t-\n"
    hostile = "t/e\t{}\tx\nt/e\tencryption\toff\tdefault\nt/e\tguid\t66\t-\nt/e\tend\ty\tlocal\n"
    # A user's property stands behind the native ones, a mountpoint before some.
    texts = {"plain": rows, "user": rows + hostile.format("org:note"), "mount": hostile.format("mountpoint") + rows}
    commands = {}
    for name, text in texts.items():
        fake = FakeZfs(tmp_path / name)
        fake.answer("get", "-Hp", "all", out=text)
        fake.answer("get", "-Hp", "encryption", out="t/e\tencryption\taes-256-gcm\t-\n")
        fake.answer("get", "-Hp", "guid", out="t/e\tguid\t77\t-\n")
        found = datasets.describe(ZfsCommand(str(fake.program)), "t/e")
        assert (found.encrypted, found.guid) == (True, "77"), name
        commands[name] = len(fake.calls())
    assert commands == {"plain": 1, "user": 3, "mount": 3}


def test_an_encrypted_dataset_must_say_raw(tmp_path: Path) -> None:
    found = encrypted(tmp_path)
    assert found.encrypted
    assert found.guid == "77"
    assert found.properties == {"copies": datasets.Property("2", "received")}
    with pytest.raises(ConfigurationError, match="encrypted") as caught:
        datasets.raw_choice(found, None, can_raw=True)
    assert "raw: true" in caught.value.hint
    assert "raw: false" in caught.value.hint
    assert datasets.raw_choice(found, True, can_raw=True) is True
    assert datasets.raw_choice(found, False, can_raw=True) is False
    with pytest.raises(ConfigurationError, match="send -w"):
        datasets.raw_choice(found, True, can_raw=False)


@pytest.mark.pool
def test_a_plain_dataset_is_never_raw(dataset: DatasetFactory) -> None:
    found = datasets.describe(ZfsCommand(), dataset("plain").name)
    assert datasets.raw_choice(found, None, can_raw=False) is False
    assert datasets.raw_choice(found, True, can_raw=False) is False
