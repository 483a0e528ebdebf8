from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from unit.fake_zfs import FakeZfs
from zfs_push_backups.errors import ShuttingDown, ZfsError
from zfs_push_backups.zfs import command
from zfs_push_backups.zfs.command import ZfsCommand

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def fake(tmp_path: Path) -> FakeZfs:
    return FakeZfs(tmp_path / "bin")


def test_no_zfs_command_names_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(command, "SBIN_FOLDERS", ())
    with pytest.raises(ZfsError, match="no zfs command") as caught:
        ZfsCommand()
    assert caught.value.code == "zfs.no_command"
    assert "install OpenZFS" in caught.value.hint


def test_the_sbin_folders_are_looked_through_as_cron_leaves_them_out(
    monkeypatch: pytest.MonkeyPatch, fake: FakeZfs
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(command, "SBIN_FOLDERS", (str(fake.folder),))
    assert ZfsCommand().program == str(fake.program)


def test_messages_are_english_and_the_child_has_its_own_session(fake: FakeZfs) -> None:
    fake.answer("list")
    ZfsCommand(str(fake.program)).run("list")
    (record,) = fake.records()
    assert record["LC_ALL"] == "C"
    assert record["sid"] != os.getsid(0)


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        ("cannot open 'tank': permission denied\n", "zfs.permission", "run as root"),
        (
            "connect: Permission denied\ninternal error: failed to initialize ZFS library\n",
            "zfs.permission",
            "zfs allow",
        ),
        ("cannot open 'tank/x': dataset does not exist\n", "zfs.not_found", "zfs list"),
        (
            "Please make sure that the zfs-fuse daemon is running.\ninternal error: failed to initialize ZFS library\n",
            "zfs.not_running",
            "zfs-fuse",
        ),
        ("The ZFS modules are not loaded.\n", "zfs.not_running", "modprobe"),
        ("cannot snapshot: out of space\n", "zfs.failed", ""),
        ("cannot open 'tank/what does not exist': I/O error\n", "zfs.failed", ""),
        ("cannot hold 'tank/permission denied@s': I/O error\n", "zfs.failed", ""),
        ("can't do that, it's 'tank/x': permission denied\n", "zfs.permission", "run as root"),
    ],
)
def test_failures_carry_the_command_its_words_and_a_hint(fake: FakeZfs, words: str, code: str, hint: str) -> None:
    fake.answer("snapshot", err=words, code=1)
    with pytest.raises(ZfsError) as caught:
        ZfsCommand(str(fake.program)).run("snapshot", "tank@with space")
    assert caught.value.code == code
    assert "`zfs snapshot 'tank@with space'` failed: " in caught.value.message
    assert words.splitlines()[-1] in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("words", "rights"),
    [
        (("send", "tank@s"), "send,hold,release"),
        (("release", "tag", "tank@s"), "release"),
        (("bookmark", "tank@s", "tank#b"), "bookmark"),
        (("destroy", "tank#b"), "destroy"),
        (("list", "tank"), "send,hold,release,bookmark,snapshot"),
    ],
)
def test_the_rights_that_a_command_takes_are_named(words: tuple[str, ...], rights: str) -> None:
    error = command.failure(words, "cannot do that: permission denied\n", 1)
    assert error.hint == f"run as root, or let the user do it: zfs allow USER {rights} DATASET"


def test_the_usage_text_behind_a_message_is_left_out(fake: FakeZfs) -> None:
    fake.answer("get", err="bad property list: invalid property 'x'\nusage:\n\tget [-rHp]\n", code=2)
    with pytest.raises(ZfsError) as caught:
        ZfsCommand(str(fake.program)).run("get", "x")
    assert caught.value.message.endswith("invalid property 'x'")


def test_a_hanging_command_ends_at_its_deadline(fake: FakeZfs) -> None:
    fake.answer("list", hang=True)
    started = time.monotonic()
    with pytest.raises(ZfsError, match="no answer in 0 s") as caught:
        ZfsCommand(str(fake.program)).run("list", timeout=0.3)
    assert caught.value.code == "zfs.timeout"
    assert time.monotonic() - started < 5


def test_a_stop_ends_a_hanging_command_at_once(fake: FakeZfs) -> None:
    fake.answer("list", hang=True)
    zfs = ZfsCommand(str(fake.program), stopping=lambda: bool(fake.calls()))
    started = time.monotonic()
    with pytest.raises(ShuttingDown):
        zfs.run("list")
    assert time.monotonic() - started < 5


def test_names_that_are_not_utf8_survive(fake: FakeZfs) -> None:
    assert command.decode(b"tank/\xff").encode("utf-8", "surrogateescape") == b"tank/\xff"


def test_a_program_that_cannot_run_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "zfs"
    broken.write_text("")
    with pytest.raises(ZfsError, match="cannot run"):
        ZfsCommand(str(broken)).run("list")
    assert shutil.which("zfs", path=str(tmp_path)) is None
