"""Where this machine keeps its run state, and by what it knows that the state is its own.

Rationale: without a configured `base_dir` a unit's `StateDirectory=` counts, then the folder that fits the user, so
that an ad hoc push of an ordinary user needs no configuration.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from zfs_push_backups.catalogue.catalogue import Catalogue
from zfs_push_backups.config.models import DEFAULT_BASE_DIR
from zfs_push_backups.run.session import MACHINE_ID_FILES, machine_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zfs_push_backups.config.models import Config


def state_folder(config: Config, environment: Mapping[str, str] = os.environ) -> Path:
    """The configured `base_dir`, else systemd's state folder, else root's or the user's own."""
    if "base_dir" in config.model_fields_set:
        return config.base_dir
    given = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    if given.startswith("/"):
        return Path(given)
    if os.geteuid() == 0:
        return DEFAULT_BASE_DIR
    own = environment.get("XDG_STATE_HOME", "")
    home = Path(own) if own.startswith("/") else Path.home() / ".local" / "state"
    return home / DEFAULT_BASE_DIR.name


def open_catalogue(config: Config) -> Catalogue:
    """Open this machine's catalogue for writing. Raises StateError."""
    return Catalogue.open(state_folder(config), machine=machine_key())


def look_at_catalogue(config: Config) -> Catalogue | None:
    """Open it for reading only; None where there is none."""
    return Catalogue.look(state_folder(config), machine=machine_key())


def machine_key(files: tuple[Path, ...] = MACHINE_ID_FILES) -> str:
    """What tells this machine from a clone of its disk: a digest, since machine-id(5) asks not to spread the id."""
    known = machine_id(files)
    return hashlib.sha256(f"zfs-push-backups {known}".encode()).hexdigest()[:32] if known else ""
