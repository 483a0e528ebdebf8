"""What this machine's zfs can do, read from its usage text and version: nothing is tried out on data.

Invariant: a capability that can't be read counts as absent, so the baseline of zfs-fuse 0.7.0 is what remains.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from zfs_push_backups.record import Record

if TYPE_CHECKING:
    from zfs_push_backups.zfs.command import ZfsCommand

MODULE_VERSION = Path("/sys/module/zfs/version")


class Capabilities(Record):
    """One flag a capability; `userland` and `kernel` are versions for the manifest."""

    userland: str
    kernel: str | None
    send_raw: bool = False
    send_large_blocks: bool = False
    send_embedded: bool = False
    send_compressed: bool = False
    send_resume: bool = False
    send_estimate: bool = False
    bookmarks: bool = False
    holds_list: bool = False
    list_parsable: bool = False
    receive_unmounted: bool = False
    receive_resumable: bool = False
    receive_options: bool = False

    def block_flags(self) -> tuple[str, ...]:
        """The flags of a plain send that keep blocks as they are, in a fixed order (they are pinned for a chain)."""
        wanted = (("-L", self.send_large_blocks), ("-e", self.send_embedded), ("-c", self.send_compressed))
        return tuple(flag for flag, present in wanted if present)

    def as_versions(self) -> dict[str, str | None]:
        """What the manifest records of the zfs in use."""
        return {"userland": self.userland, "kernel": self.kernel}

    def as_dict(self) -> dict[str, str | bool | None]:
        """Everything, for `--version --json` and the log."""
        return asdict(self)


def probe(zfs: ZfsCommand) -> Capabilities:
    """Reads usage text and versions: two commands at most, none of which changes anything."""
    _, out, err = zfs.attempt("-?", timeout=30.0)
    usage = out + "\n" + err
    userland, kernel = "unknown (no `zfs version`)", read_module_version()
    if _has_line(usage, "version"):
        status, text, _ = zfs.attempt("version", timeout=30.0)
        if status == 0 and text.strip():
            lines = text.split()
            userland = lines[0]
            kernel = kernel or next((line for line in lines if line.startswith("zfs-kmod-")), None)
    return from_usage(usage, userland, kernel)


def from_usage(usage: str, userland: str, kernel: str | None) -> Capabilities:
    """Pure half of `probe`: the capabilities that a usage text promises."""
    send, receive = _flags(usage, "send"), _flags(usage, "receive")
    return Capabilities(
        userland=userland,
        kernel=kernel,
        send_raw="w" in send,
        send_large_blocks="L" in send,
        send_embedded="e" in send,
        send_compressed="c" in send,
        send_resume=re.search(r"^\s+send\s.*-t\s", usage, re.MULTILINE) is not None,
        send_estimate="n" in send and "P" in send,
        bookmarks=_has_line(usage, "bookmark"),
        holds_list="H" in _flags(usage, "holds"),
        list_parsable="p" in _flags(usage, "list"),
        receive_unmounted="u" in receive,
        receive_resumable="s" in receive,
        receive_options=re.search(r"^\s+(receive|recv)\s.*-o\s+<?property", usage, re.MULTILINE) is not None,
    )


def read_module_version(path: Path = MODULE_VERSION) -> str | None:
    """The kernel module's version, or None where there is no module (zfs-fuse)."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip() or None
    except OSError:
        return None


def _has_line(usage: str, verb: str) -> bool:
    return re.search(rf"^\s+{verb}(\s|$)", usage, re.MULTILINE) is not None


def _flags(usage: str, verb: str) -> str:
    """All single-letter options that any usage line of `verb` shows in brackets."""
    pattern = rf"^\s+{verb}\s+\[-([A-Za-z]+)"
    return "".join(re.findall(pattern, usage, re.MULTILINE))
