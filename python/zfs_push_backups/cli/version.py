"""`--version`: the versions of all parts, as text or JSON. Works without zfs and says so."""

from __future__ import annotations

import platform
from typing import Any

import zfs_push_backups
from zfs_push_backups import engine
from zfs_push_backups.cli.parser import PROGRAM
from zfs_push_backups.errors import UsageError, ZfsError
from zfs_push_backups.report.progress import emit_json, write_stdout
from zfs_push_backups.zfs.capabilities import probe
from zfs_push_backups.zfs.command import ZfsCommand

AGE_FORMAT = "age-encryption.org/v1"
STORE_FORMAT = 1


def run_version(words: list[str]) -> int:
    """Print the versions."""
    rest = [word for word in words if word != "--json"]
    if rest:
        raise UsageError(f"unexpected argument {rest[0]!r} after --version", hint="only --json can follow")
    found = versions()
    if "--json" in words:
        emit_json(found)
        return 0
    lines = [f"{PROGRAM} {found['package']}"]
    for key, value in found.items():
        if key == "engine":
            lines.append("engine: " + ", ".join(f"{name} {text}" for name, text in value.items()))
        elif key != "package":
            lines.append(f"{key.replace('_', ' ')}: {value}")
    write_stdout("\n".join(lines))
    return 0


def versions() -> dict[str, Any]:
    """The versions of all parts."""
    try:
        capabilities = probe(ZfsCommand())
        zfs = capabilities.userland + (f", kernel {capabilities.kernel}" if capabilities.kernel else "")
    except ZfsError as error:
        zfs = error.message
    return {
        "package": zfs_push_backups.__version__,
        "engine": dict(engine.BUILD_INFO),
        "python": platform.python_version(),
        "zfs": zfs,
        "age_format": AGE_FORMAT,
        "store_format": STORE_FORMAT,
    }
