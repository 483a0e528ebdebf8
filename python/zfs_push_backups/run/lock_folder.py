"""Where locks lie, and whether a lock there means anything.

Invariant: a folder on a network is refused by its file system's name: flock may seem to hold there and bind nobody
else, or outlive a dead owner on the server.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from zfs_push_backups.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zfs_push_backups.config.models import Config

ROOTS_FOLDER: Final = Path("/var/run")
MOUNTS: Final = Path("/proc/self/mountinfo")
NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "coda", "davfs", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "ocfs2", "orangefs"}
)
NETWORK_FUSE: Final = frozenset(
    {"ceph", "curlftpfs", "davfs", "davfs2", "gcsfuse", "glusterfs", "goofys", "hdfs", "httpfs", "juicefs", "mfs"}
    | {"moosefs", "mount-s3", "mountpoint-s3", "rclone", "s3fs", "s3ql", "seaweedfs", "smbnetfs", "sshfs"}
)
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


def lock_folder(config: Config, environment: Mapping[str, str] = os.environ) -> Path:
    """The configured folder, else root's or the user's own. Raises LockError where there is none."""
    if config.lock_dir is not None:
        return config.lock_dir
    if os.geteuid() == 0:
        return ROOTS_FOLDER
    own = environment.get("XDG_RUNTIME_DIR", "")
    if own.startswith("/"):
        return Path(own)
    raise LockError(
        "there is no folder for locks: lock_dir is not set, XDG_RUNTIME_DIR neither, and /var/run is root's",
        hint="set lock_dir in the configuration to a folder of yours, such as one below /run that your unit makes",
    )


def check_folder(folder: Path, mounts: str | None = None) -> None:
    """Refuse a folder where a lock would bind nobody. `mounts` is the kernel's list; absent: as it is now."""
    try:
        mode = folder.stat().st_mode
    except OSError as error:
        hint = "make it, or let systemd do so (RuntimeDirectory=)" if error.errno == errno.ENOENT else ""
        raise LockError(f"the lock folder {folder} can't be used: {error.strerror}", hint=hint) from error
    if not stat.S_ISDIR(mode):
        raise LockError(f"the lock folder {folder} is no folder")
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise LockError(f"the lock folder {folder} lets everybody remove other people's locks")
    kind = file_system(folder.resolve(), _mounts() if mounts is None else mounts)
    if is_network(kind):
        raise LockError(f"the lock folder {folder} lies on a network file system ({kind}), where a lock binds nobody")


def is_network(kind: str) -> bool:
    """Whether a file system's name is that of one on a network."""
    return kind.removeprefix("fuse.") in NETWORK_FUSE if kind.startswith("fuse.") else kind in NETWORK_FILE_SYSTEMS


def file_system(path: Path, mounts: str) -> str:
    """The kind of the file system that an absolute path lies on, or an empty string."""
    found, depth = "", -1
    for line in mounts.splitlines():
        # The fields before ` - ` vary in number, so the kind is counted from there.
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")[0]
        if len(fields) < 5 or not kind:  # noqa: PLR2004  # the mount point is the fifth
            continue
        point = Path(_ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        if path.is_relative_to(point) and len(point.parts) >= depth:
            # Of two mounts at one place the later one covers the earlier.
            found, depth = kind, len(point.parts)
    return found


def _mounts() -> str:
    try:
        return MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
