"""Files to back up, a change for an increment, and an exact comparison of two trees."""

from __future__ import annotations

import hashlib
import os
import random
import stat
from pathlib import Path

MIB = 1 << 20
# What stands in files and properties in clear text: a store that holds it leaks.
MARKER = "zfs-push-backups-plaintext-marker-0123456789"
ODD_NAMES = (
    "two words",
    "100%",
    "%2e%2e",
    "grüße-日本語",
    "line\nbreak",
    "-rf",
    "$HOME `id`",
    os.fsdecode(b"latin-\xe9"),
)


def fill(folder: Path, mebibytes: int = 6) -> None:
    """Write small, large, sparse, linked and oddly named files."""
    chance = random.Random(2026)  # noqa: S311 - the same bytes each time
    (folder / "large").write_bytes(chance.randbytes(mebibytes * MIB))
    (folder / "marked").write_text(f"{MARKER}\n" * 20_000)
    (folder / "odd").mkdir()
    for name in ODD_NAMES:
        (folder / "odd" / name).write_bytes(os.fsencode(name))
    with (folder / "sparse").open("wb") as file:
        file.truncate(64 * MIB)
        file.seek(5 * MIB)
        file.write(b"in the middle of a hole")
    (folder / "empty").touch(mode=0o600)
    os.link(folder / "marked", folder / "hard-link")
    (folder / "dangling").symlink_to("no such file")


def change(folder: Path) -> None:
    """Edit, append, rename, delete and add."""
    chance = random.Random(2027)  # noqa: S311
    with (folder / "large").open("r+b") as file:
        file.seek(2 * MIB + 123)
        file.write(chance.randbytes(MIB))
    with (folder / "marked").open("a") as file:
        file.write(f"more of {MARKER}\n" * 5000)
    (folder / "odd/100%").rename(folder / "odd/renamed")
    (folder / "odd/-rf").unlink()
    (folder / "new").mkdir(mode=0o700)
    (folder / "new/added").write_bytes(chance.randbytes(2 * MIB))


def inventory(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return path -> mode, owner, times, link count, size and content of everything in a tree, its root included."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [folder, *folder.rglob("*")]:
        facts = path.lstat()
        regular = stat.S_ISREG(facts.st_mode)
        content: object = path.readlink() if path.is_symlink() else None
        if regular:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        about = (facts.st_mode, facts.st_uid, facts.st_gid, facts.st_mtime_ns, facts.st_nlink)
        found[str(path.relative_to(folder))] = (*about, facts.st_size if regular else 0, content)
    return found
