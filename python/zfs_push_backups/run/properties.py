"""Sets recorded ZFS properties on a restored dataset: only when asked, and where it mounts or shares only by name.

Rationale: a restored root that sets its recorded mountpoint would cover / at the next mount.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from zfs_push_backups.errors import ZfsError
from zfs_push_backups.zfs.datasets import set_property

if TYPE_CHECKING:
    from zfs_push_backups.zfs.command import ZfsCommand

PLACES = frozenset({"mountpoint", "canmount", "sharenfs", "sharesmb", "shareiscsi"})

log = logging.getLogger(__name__)


def apply_properties(
    zfs: ZfsCommand, target: str, meta: dict[str, Any], *, ordinary: bool, mountpoints: bool
) -> tuple[str, ...]:
    """Set the recorded properties; returns those that zfs refused (read-only, unknown here), with a warning."""
    refused = []
    for name, entry in sorted(dict(meta.get("properties") or {}).items()):
        if not (mountpoints if name in PLACES else ordinary):
            continue
        try:
            set_property(zfs, target, name, str(entry["value"]))
        except ZfsError as error:
            refused.append(name)
            log.warning("the property %s of %s stays as it is: %s", name, target, error.message)
    return tuple(refused)
