"""The source's name: which machine a backup is of. Configured, or the host's name and 8 hex of its machine id."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from zfs_push_backups.errors import ConfigurationError

MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
SHOWN_DIGITS = 8


def source_name(configured: str | None, files: tuple[Path, ...] = MACHINE_ID_FILES) -> str:
    """Name this machine; two machines of one name stay apart in one prefix by their machine ids."""
    if configured:
        return configured
    for path in files:
        try:
            digits = path.read_text(encoding="ascii", errors="replace").strip().lower()
        except OSError:
            continue
        if re.fullmatch(r"[0-9a-f]{32}", digits):
            return f"{socket.gethostname().split('.', 1)[0] or 'host'}-{digits[:SHOWN_DIGITS]}"
    shown = " nor ".join(str(path) for path in files)
    raise ConfigurationError(
        f"this machine can't be told from others: no machine id in {shown}",
        hint="write `source: NAME` in the configuration, or run systemd-machine-id-setup",
    )
