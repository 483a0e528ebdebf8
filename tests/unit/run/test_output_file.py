"""The file that a stream is written to: whole or not at all, with and without nameless files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from zfs_push_backups.errors import AccessDenied, UsageError
from zfs_push_backups.run import output_file


@pytest.fixture(params=["nameless", "named"])
def named(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the draft has a name; without /proc it must have one."""
    if request.param == "named":
        monkeypatch.setattr(output_file, "_DESCRIPTORS", "/nonexistent")
    return str(request.param) == "named"


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_appears_when_it_is_whole(named: bool, tmp_path: Path) -> None:
    with output_file.sink(str(tmp_path / "out"), force=False) as descriptor:
        os.write(descriptor, b"content")
        assert len(entries(tmp_path)) == named
        assert all(name.startswith(".out.") for name in entries(tmp_path))
        assert stat.S_IMODE(os.fstat(descriptor).st_mode) == 0o600
    assert entries(tmp_path) == ["out"]
    assert (tmp_path / "out").read_bytes() == b"content"


@pytest.mark.parametrize("force", [False, True])
def test_nothing_stays_of_what_was_not_finished(named: bool, force: bool, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")

    def write() -> None:
        with output_file.sink(str(tmp_path / "old"), force=force) as descriptor:
            os.write(descriptor, b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert entries(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "old"


def test_what_appeared_meanwhile_is_left_alone_unless_it_is_told_to_go(named: bool, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def write(force: bool) -> None:
        with output_file.sink(str(out), force=force) as descriptor:
            os.write(descriptor, b"new")
            out.write_text("meanwhile")

    with pytest.raises(UsageError, match="has appeared meanwhile"):
        write(force=False)
    assert out.read_text() == "meanwhile"
    write(force=True)
    assert out.read_text() == "new"
    assert entries(tmp_path) == ["out"]


def test_a_folder_that_goes_away_is_one_line(named: bool, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    def write() -> None:
        with output_file.sink(str(folder / "out"), force=False):
            for entry in folder.iterdir():
                entry.unlink()
            folder.rmdir()

    with pytest.raises(AccessDenied, match="out can't be written: No such file"):
        write()


def test_an_error_in_between_is_not_taken_for_one_of_the_file(named: bool, tmp_path: Path) -> None:
    def write() -> None:
        with output_file.sink(str(tmp_path / "out"), force=False):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        write()
    assert entries(tmp_path) == []
