from __future__ import annotations

import os
from pathlib import Path

import pytest

from zfs_push_backups.config.load import parse
from zfs_push_backups.config.models import DEFAULT_BASE_DIR, Config
from zfs_push_backups.run.state import look_at_catalogue, machine_key, open_catalogue, state_folder


def test_the_state_lies_where_the_configuration_the_unit_or_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_folder(Config(base_dir=Path("/srv/x")), {"STATE_DIRECTORY": "/y"}) == Path("/srv/x")
    said = parse(f"base_dir: {DEFAULT_BASE_DIR}\n")
    assert state_folder(said, {"STATE_DIRECTORY": "/y"}) == DEFAULT_BASE_DIR
    assert state_folder(parse("source: nas\n"), {"STATE_DIRECTORY": "/y"}) == Path("/y")
    assert state_folder(Config(), {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}) == Path("/var/lib/a")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state_folder(Config(), {}) == DEFAULT_BASE_DIR
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/home/op")
    assert state_folder(Config(), {}) == Path("/home/op/.local/state/zfs-push-backups")
    assert state_folder(Config(), {"XDG_STATE_HOME": "/s"}) == Path("/s/zfs-push-backups")
    assert state_folder(Config(), {"XDG_STATE_HOME": "s", "STATE_DIRECTORY": "x"}).parts[:3] == ("/", "home", "op")


def test_a_machine_is_told_by_its_id_which_itself_is_not_kept(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1a2b3c4d" * 4 + "\n")
    other.write_text("5e6f7a8b" * 4 + "\n")
    assert machine_key((tmp_path / "absent", one)) == machine_key((one, other))
    assert machine_key((one,)) != machine_key((other,))
    assert "1a2b3c4d" not in machine_key((one,))
    assert machine_key((tmp_path / "absent",)) == ""


def test_opening_and_looking_use_the_same_file(tmp_path: Path) -> None:
    config = Config(base_dir=tmp_path / "state")
    assert look_at_catalogue(config) is None
    with open_catalogue(config):
        found = look_at_catalogue(config)
        assert found is not None
        found.close()
