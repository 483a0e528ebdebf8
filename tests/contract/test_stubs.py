"""The stub of the Rust module says what the module has: names, arguments, defaults."""

import subprocess
import sys


def test_stub_matches_the_built_module() -> None:
    command = [sys.executable, "-m", "mypy.stubtest", "zfs_push_backups._engine", "--ignore-disjoint-bases"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
