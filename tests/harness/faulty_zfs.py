"""A `zfs` that is put first in PATH and runs the real one, but for one fault in one subcommand.

Unlike a fake it sends real streams, so what follows the fault can be told right from wrong.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Fault = Literal["dies", "cut", "hangs", "deaf", "escapes", "waits", "late"]

SCRIPT = """#!/bin/sh
# The subcommand's bytes go through head, so that the fault meets the stream at a place that is known.
case " $* " in *" -nP "*) exec {real} "$@" ;; esac
[ "$1" = {subcommand} ] || exec {real} "$@"
[ -e {folder}/off ] && exec {real} "$@"
said() {{ echo $$ >>{folder}/met; }}
case {fault} in
dies)
    {real} "$@" | head -c {after}; said
    echo "warning: Input/output error" >&2
    exit 1 ;;
cut) {real} "$@" 2>/dev/null | head -c {after}; said; exit 0 ;;
hangs) {real} "$@" | head -c {after}; said; exec sleep 600 ;;
deaf) trap '' TERM INT HUP; {real} "$@" | head -c {after}; said; while :; do sleep 600; done ;;
escapes)
    {real} "$@" | head -c {after}
    setsid sleep 600 & echo $! >>{folder}/escaped; said
    wait ;;
waits) said; while [ ! -e {folder}/go ]; do sleep 0.05; done; exec {real} "$@" ;;
late)
    # Whole, first: a send that is stalled lets other commands of zfs-fuse wait.
    {real} "$@" >{folder}/stream || exit
    head -c {after} {folder}/stream; said
    while [ ! -e {folder}/go ]; do sleep 0.05; done
    tail -c +$(({after} + 1)) {folder}/stream ;;
esac
"""


@dataclass(frozen=True)
class FaultyZfs:
    """The folder with the program in it."""

    folder: Path

    @property
    def path(self) -> str:
        """PATH with this program first."""
        return os.pathsep.join([str(self.folder), os.environ["PATH"]])

    @property
    def met(self) -> bool:
        """Whether the fault has happened."""
        return (self.folder / "met").exists()

    def go(self) -> None:
        """Let go of what waits."""
        (self.folder / "go").touch()

    def repair(self) -> None:
        """Have no fault any more, and end what escaped from its process group."""
        (self.folder / "off").touch()
        escaped = self.folder / "escaped"
        for line in escaped.read_text().split() if escaped.exists() else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line), signal.SIGKILL)
        escaped.unlink(missing_ok=True)


def make(folder: Path, fault: Fault, *, subcommand: str = "send", after_bytes: int = 0) -> FaultyZfs:
    """Write the program into `folder`; the fault comes behind so many bytes of the subcommand's output."""
    folder.mkdir()
    program = folder / "zfs"
    real = shutil.which("zfs")
    program.write_text(SCRIPT.format(real=real, subcommand=subcommand, folder=folder, fault=fault, after=after_bytes))
    program.chmod(0o755)
    return FaultyZfs(folder)
