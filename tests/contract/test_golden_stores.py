"""Stores written by released versions restore for ever, byte for byte, through the public command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
COMMAND = Path(sys.executable).with_name("zfs-push-backups")
BACKUPS = [
    ("tank/odd name:x", "a", "fuse-full.zs"),
    ("tank/odd name:x", "b", "fuse-incr.zs"),
    ("tank/zvol", "a", "z-full.zs"),
]


@pytest.mark.parametrize("version", ["v1"])
@pytest.mark.parametrize(("dataset", "snapshot", "stream"), BACKUPS)
def test_a_golden_store_restores(version: str, dataset: str, snapshot: str, stream: str, tmp_path: Path) -> None:
    golden = FIXTURES / "stores" / version
    store = shutil.copytree(golden / "store", tmp_path / "store")
    manifests = [json.loads(path.read_text()) for path in (store / "manifests").rglob("*.json")]
    (backup,) = [one["id"] for one in manifests if (one["dataset"], one["snapshot"]) == (dataset, snapshot)]
    words = ["restore", "--host", f"file://{store}", "--dataset", dataset, "--backup", backup]
    target = tmp_path / "stream"
    words += ["--identity", str(golden / "identity.txt"), "--output", str(target)]
    found = subprocess.run([COMMAND, *words], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr
    assert target.read_bytes() == (FIXTURES / "streams" / stream).read_bytes()
