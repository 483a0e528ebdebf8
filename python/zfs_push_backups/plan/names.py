"""The name under which this machine's backups lie in a store.

Invariants: the same machine always gets the same name, two machines of one host name get different ones; the name holds
only letters, digits, `.`, `_` and `-`, so that it stands in keys, file names and hold tags as it is.
"""

from __future__ import annotations

import re
from typing import Final

from zfs_push_backups.errors import ConfigurationError

_NOT_ALLOWED: Final = re.compile(r"[^A-Za-z0-9._-]+")
_MACHINE_ID: Final = re.compile(r"[0-9a-f]{32}")
_LONGEST_HOST_NAME: Final = 64
_ID_DIGITS: Final = 8


def source_name(host_name: str, machine_id: str) -> str:
    """`nas-1a2b3c4d`: the short host name and the first 8 hex digits of machine-id(5).

    Raises ConfigurationError if there is no machine id: a name that changes with each boot would strand the chains.
    """
    digits = machine_id.strip().replace("-", "").lower()
    if not _MACHINE_ID.fullmatch(digits) or not digits.strip("0"):
        raise ConfigurationError(
            "this machine has no usable machine id, so its backups have no name to lie under",
            hint="write `source: NAME` in the configuration, or run systemd-machine-id-setup",
        )
    short = _NOT_ALLOWED.sub("-", host_name.strip().partition(".")[0])[:_LONGEST_HOST_NAME].strip("-._")
    return f"{short or 'host'}-{digits[:_ID_DIGITS]}"
