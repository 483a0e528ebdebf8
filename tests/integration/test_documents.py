"""Every command in the documents runs: README's blocks in their order, against a pool and folders of the test.

Only names of places are replaced (the pool, /etc, /root, /mnt), and the configuration's path is handed to the command.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.pool import Pool, zfs

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).with_name("zfs-push-backups")
BLOCKS = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(document: str, language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return [body for found, body in BLOCKS.findall(text) if found == language]


@dataclass
class Place:
    """A machine as the README sees it."""

    folder: Path
    pool: Pool

    def fitted(self, text: str) -> str:
        """The text with the README's places replaced by the test's."""
        places = {
            " /tank/": f" {self.pool.path}/",
            "tank/": f"{self.pool.name}/",
            "pool: tank": f"pool: {self.pool.name}",
            "/usr/local/bin/": "",
        }
        places |= {f"/{top}/": f"{self.folder}/{top}/" for top in ("etc", "root", "mnt")}
        pattern = re.compile("|".join(re.escape(place) for place in places))
        return pattern.sub(lambda found: places[found[0]], text)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a block with bash, as it stands."""
        environment = {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        environment["STATE_DIRECTORY"] = str(self.folder / "state")
        words = ["bash", "-e", "-c", self.fitted(script)]
        return subprocess.run(
            words, capture_output=True, text=True, timeout=120, check=False, env=environment, cwd=self.folder
        )


@pytest.fixture
def place(zfs_pool: Pool, tmp_path: Path) -> Iterator[Place]:
    for folder in ("bin", "root", "etc", "mnt"):
        (tmp_path / folder).mkdir()
    wrapper = tmp_path / "bin" / "zfs-push-backups"
    config = tmp_path / "etc/zfs-push-backups/config.yaml"
    wrapper.write_text(
        f'#!/bin/sh\nif [ "$1" = keygen ]; then exec {COMMAND} "$@"; fi\nexec {COMMAND} "$@" --config {config}\n'
    )
    wrapper.chmod(0o755)
    zfs("create", f"{zfs_pool.name}/important")
    (zfs_pool.path / "important" / "letter").write_text("dear reader\n")
    yield Place(tmp_path, zfs_pool)
    for name in ("important", "restored", "by-hand"):
        zfs_pool.destroy(f"{zfs_pool.name}/{name}")


def test_the_readme_works_as_it_stands(place: Place) -> None:
    scripts = [script for script in blocks("README.md", "sh") if "# readme: skip" not in script]
    assert len(scripts) >= 7
    for script in scripts:
        done = place.run(script)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    restored = place.pool.path / "restored" / "letter"
    assert restored.read_text() == "dear reader\n"
    zfs("mount", f"{place.pool.name}/by-hand")
    assert (place.pool.path / "by-hand" / "letter").read_text() == "dear reader\n"
    for line in scheduled():
        done = place.run(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


def scheduled() -> list[str]:
    """The commands that cron and systemd would run."""
    cron = [line.split(maxsplit=6)[6] for block in blocks("README.md", "cron") for line in block.splitlines()]
    units = "".join(blocks("README.md", "ini"))
    starts = re.findall(r"^ExecStart=(.*)$", units, re.MULTILINE)
    assert cron
    assert starts
    return cron + starts


def test_the_make_targets_that_documents_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    named = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", text, re.MULTILINE))
    assert {first or second for first, second in named} <= targets


def test_links_between_documents_lead_somewhere() -> None:
    for document in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(((?!http)[^)#]+)\)", text):
            assert (ROOT / target).exists(), f"{document}: {target}"
