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
from harness.program import STREAMS

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
        f'#!/bin/sh\ncase $1 in keygen | stream) exec {COMMAND} "$@" ;; esac\nexec {COMMAND} "$@" --config {config}\n'
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


# Sends what a recorded ZFS sent for this token.
FAKE_ZFS = f"""#!/bin/sh
case "$1 $2 $3" in "send -t 1-cebf0aaee-f0-789c"*) exec cat {STREAMS}/z-full.resumed.zs ;; esac
exit 9
"""


def test_a_stream_that_broke_off_is_gone_on_with_as_the_readme_says(tmp_path: Path) -> None:
    (command,) = [script for script in blocks("README.md", "sh") if "stream token" in script]
    (shown,) = blocks("README.md", "text")
    whole = (STREAMS / "z-full.zs").read_bytes()
    (tmp_path / "broken.zs").write_bytes(whole[:231_500])
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "zfs").write_text(FAKE_ZFS)
    (tmp_path / "bin" / "zfs").chmod(0o755)
    (tmp_path / "bin" / "zfs-push-backups").symlink_to(COMMAND)
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}

    def bash(script: str) -> str:
        words = ["bash", "-ec", script]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=tmp_path
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    told = bash(command)
    assert re.sub(r"(1-cebf0aaee-f0-789c)[0-9a-f]+", r"\1...", told) == shown
    bash("\n".join(line for line in told.splitlines() if line.startswith("  ")))
    assert (tmp_path / "broken.zs.whole").read_bytes() == whole


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


# What zfs says, not this program.
SAID_BY_ZFS = {"dataset is busy", "zfs destroy"}


def test_the_troubleshooting_table_quotes_what_the_program_says() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Troubleshooting")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)[2:]
    quoted = {words for row in rows for words in re.findall(r"`(.*?)`", row)} - SAID_BY_ZFS
    files = [*ROOT.glob("python/**/*.py"), *ROOT.glob("rust/*/src/**/*.rs")]
    # Literals that go on in the next line are one.
    said = re.sub(r'"\s*\n\s*f?"|\\\n\s*', "", "\n".join(file.read_text(encoding="utf-8") for file in files))
    assert len(quoted) > 10
    assert [words for words in sorted(quoted) if words not in said] == []
