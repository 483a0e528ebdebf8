"""The files of the demonstration: what they are, how they change, and how two trees are compared."""

from __future__ import annotations

import hashlib
import os
import random
import stat
from pathlib import Path

MIB = 1 << 20
ODD_NAMES = (
    "two words",
    "100%",
    "%2e%2e",
    "grüße-日本語-🐟",
    "line\nbreak",
    "-rf",
    "back\\slash",
    "quote'\"quote",
    "*?[x]",
    "$HOME `id`",
    os.fsdecode(b"latin-\xe9"),
)


def fill(folder: Path) -> None:
    """Write small, large, sparse, linked and oddly named files."""
    chance = random.Random(2026)  # noqa: S311 - the same bytes each time
    small = folder / "small"
    small.mkdir()
    for number in range(200):
        (small / f"{number:03}").write_bytes(chance.randbytes(number * 37))
    (folder / "large.bin").write_bytes(chance.randbytes(48 * MIB))
    (folder / "text.log").write_bytes(b"the same line again and again\n" * 500_000)
    _sparse(folder / "sparse.img", 96 * MIB, chance)
    odd = folder / "odd names"
    odd.mkdir()
    for name in ODD_NAMES:
        (odd / name).write_bytes(os.fsencode(name))
    (folder / "empty").touch()
    os.link(folder / "small/100", folder / "hard-link")
    (folder / "soft-link").symlink_to("small/100")
    (folder / "dangling").symlink_to("no such file")
    (folder / "program").write_text("#!/bin/sh\necho hello\n")
    (folder / "program").chmod(0o4755)
    (small / "001").chmod(0o000)
    os.utime(small / "002", ns=(1_000_000_000_123_456_789, 1_000_000_000_123_456_789))


def change(folder: Path) -> None:
    """Edit, grow, shrink, rename, delete and add: what an incremental stream must carry."""
    chance = random.Random(2027)  # noqa: S311
    with (folder / "large.bin").open("r+b") as file:
        file.seek(20 * MIB + 12345)
        file.write(chance.randbytes(3 * MIB))
    with (folder / "text.log").open("ab") as file:
        file.write(b"a new line\n")
    os.truncate(folder / "small/199", 11)
    (folder / "small/050").rename(folder / "odd names" / "renamed\tfile")
    (folder / "small/051").unlink()
    (folder / "odd names/-rf").unlink()
    (folder / "new folder").mkdir()
    (folder / "new folder/added").write_bytes(chance.randbytes(5 * MIB))
    with (folder / "sparse.img").open("r+b") as file:
        file.seek(40 * MIB)
        file.write(b"in the middle of a hole")


def inventory(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return path -> all that must come back: kind, mode, owner, times, link count, content or link target."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [folder, *folder.rglob("*")]:
        facts = path.lstat()
        content: object = None
        if stat.S_ISLNK(facts.st_mode):
            content = path.readlink()
        elif stat.S_ISREG(facts.st_mode):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        size = facts.st_size if stat.S_ISREG(facts.st_mode) else 0
        about = (stat.filemode(facts.st_mode), facts.st_uid, facts.st_gid, facts.st_mtime_ns, facts.st_nlink, size)
        found[str(path.relative_to(folder))] = (*about, content)
    return found


def differences(here: dict[str, tuple[object, ...]], there: dict[str, tuple[object, ...]]) -> list[str]:
    """Return one line for each path that is missing, new or different."""
    lines = [f"{path!r} is missing" for path in sorted(here.keys() - there.keys())]
    lines += [f"{path!r} was not there before" for path in sorted(there.keys() - here.keys())]
    for path in sorted(here.keys() & there.keys()):
        if here[path] != there[path]:
            lines.append(f"{path!r}: {here[path]} became {there[path]}")
    return lines


def _sparse(path: Path, length: int, chance: random.Random) -> None:
    with path.open("wb") as file:
        file.truncate(length)
        for offset in (0, 7 * MIB + 3, length - 5000):
            file.seek(offset)
            file.write(chance.randbytes(5000))
