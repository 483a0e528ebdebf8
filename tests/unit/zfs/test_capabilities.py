from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unit.fake_zfs import FakeZfs
from zfs_push_backups.zfs import capabilities
from zfs_push_backups.zfs.command import ZfsCommand

if TYPE_CHECKING:
    from pathlib import Path

    from harness.pool import Pool

MODERN = """usage: zfs command args ...
\tversion [-j]
\tlist [-Hp] [-r|-d max] [-o property[,...]] [-s property]...
\tbookmark <snapshot|bookmark> <newbookmark>
\tsend [-DLPbcehnpsVvw] [-i|-I snapshot]
\t     [-R [-X dataset[,dataset]...]]     <snapshot>
\tsend [-DnVvPLecw] [-i snapshot|bookmark] <filesystem|volume|snapshot>
\tsend [-nVvPe] -t <receive_resume_token>
\treceive [-vMnsFhu] [-o <property>=<value>] ... [-x <property>] ...
\t    <filesystem|volume|snapshot>
\tholds [-rHp] <snapshot> ...
"""


def test_a_modern_usage_text_promises_everything() -> None:
    found = capabilities.from_usage(MODERN, "zfs-2.3.2-1", "2.3.2-1")
    missing = [name for name, value in found.as_dict().items() if value is False]
    assert missing == []
    assert found.block_flags() == ("-L", "-e", "-c")
    assert found.as_versions() == {"userland": "zfs-2.3.2-1", "kernel": "2.3.2-1"}


def test_an_unreadable_usage_text_promises_nothing() -> None:
    found = capabilities.from_usage("", "unknown", None)
    assert not any(value is True for value in found.as_dict().values())
    assert found.block_flags() == ()


@pytest.mark.parametrize("letter", ["L", "e", "c"])
def test_each_flag_needs_its_own_letter(letter: str) -> None:
    found = capabilities.from_usage(
        MODERN.replace(letter, "") if letter == "L" else f"\tsend [-n{letter}] <snapshot>\n", "x", None
    )
    assert (f"-{letter}" in found.block_flags()) is (letter != "L")


def test_probing_asks_for_usage_and_version_only(tmp_path: Path) -> None:
    fake = FakeZfs(tmp_path / "bin")
    fake.answer("-?", out=MODERN)
    fake.answer("version", out="zfs-2.1.11-1\nzfs-kmod-2.1.11-1\n")
    found = capabilities.probe(ZfsCommand(str(fake.program)))
    assert (found.userland, found.kernel) == ("zfs-2.1.11-1", "zfs-kmod-2.1.11-1")
    assert fake.calls() == [["-?"], ["version"]]


@pytest.mark.pool
def test_the_real_zfs_has_the_baseline(zfs_pool: Pool) -> None:
    found = capabilities.probe(ZfsCommand())
    if zfs_pool.kind == "zfs-fuse":
        assert not any(value is True for value in found.as_dict().values())
        assert found.kernel is None
    else:
        assert found.receive_unmounted
        assert found.send_estimate
        assert found.kernel


def test_the_module_version_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "version"
    assert capabilities.read_module_version(file) is None
    file.write_text("2.3.2-1\n")
    assert capabilities.read_module_version(file) == "2.3.2-1"
