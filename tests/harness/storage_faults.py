"""Kills a program at the n-th change it makes to files, or lets that change fail: exact, whichever thread makes it.

A small library is preloaded into the program (`storage_faults.c`), so the program itself knows nothing of it. A tracer
would count each thread by itself.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.processes import run

SOURCE = Path(__file__).with_suffix(".c")


@dataclass(frozen=True)
class Change:
    """One call that changed, or made durable, something below the folders watched."""

    number: int
    call: str
    path: str


@dataclass(frozen=True)
class StorageFaults:
    """The built library."""

    library: Path

    def watch(self, under: Sequence[Path], log: Path) -> dict[str, str]:
        """Return the variables under which a program's changes are only noted."""
        folders = ":".join(str(folder) for folder in under)
        return {"LD_PRELOAD": str(self.library), "ZPB_FAULT_UNDER": folders, "ZPB_FAULT_LOG": str(log)}

    def kill_at(self, under: Sequence[Path], log: Path, number: int) -> dict[str, str]:
        """Return the variables under which a program dies in front of its n-th change."""
        return {**self.watch(under, log), "ZPB_FAULT_AT": str(number), "ZPB_FAULT_DO": "kill"}

    def fail_at(self, under: Sequence[Path], log: Path, number: int, error: str, *, stays: bool) -> dict[str, str]:
        """Return the variables under which the n-th change fails, such as "EIO"; all later ones too if it `stays`."""
        more = {"ZPB_FAULT_STAYS": "1"} if stays else {}
        code = str(getattr(errno, error))
        return {**self.watch(under, log), "ZPB_FAULT_AT": str(number), "ZPB_FAULT_DO": code, **more}

    def clock(self, wrong_by_seconds: int) -> dict[str, str]:
        """Return the variables under which a program's clock of the day is wrong."""
        return {"LD_PRELOAD": str(self.library), "ZPB_FAULT_CLOCK": str(wrong_by_seconds)}


def build(folder: Path) -> StorageFaults:
    """Compile the library into `folder`."""
    library = folder / "storage_faults.so"
    run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"])
    return StorageFaults(library)


def changes(log: Path) -> list[Change]:
    """Read what a watched program did."""
    if not log.exists():
        return []
    rows = (line.split(" ", 2) for line in log.read_text().splitlines())
    return [Change(int(number), call, path) for number, call, path in rows]
