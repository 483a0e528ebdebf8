"""What one cycle at a time may use: a dataset, a proxy, and machines made for the moment."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from faults.machine import Machine, Source
from faults.places import BucketPlace, FolderPlace, Place
from harness.foreign import AgeIdentity
from harness.proxy import Proxy
from harness.s3 import S3Server
from harness.storage_faults import StorageFaults


@dataclass
class Worker:
    """What one cycle at a time may use."""

    source: Source
    server: S3Server
    proxy: Proxy
    credentials: Path
    identity: AgeIdentity
    faults: StorageFaults
    folder: Path
    _numbers: Iterator[int] = field(default_factory=count)

    @contextlib.contextmanager
    def machine(self, kind: str, *, at: Place | None = None, **more: object) -> Iterator[Machine]:
        """Make a machine with a store of its own ("folder" or "bucket") or one that exists; its holds go at the end."""
        self.proxy.clear()
        here = self.folder / f"{next(self._numbers)}"
        here.mkdir()
        place = at or self.place(kind, here)
        one = Machine(here, self.source, place, self.identity.recipient, self.identity.path)
        for key, value in more.items():
            setattr(one, key, value)
        one.configure()
        with one.tidy():
            yield one
        self.proxy.clear()
        shutil.rmtree(here)

    def place(self, kind: str, here: Path) -> Place:
        """Make an empty store."""
        if kind == "folder":
            (here / "store").mkdir()
            return FolderPlace(here / "store")
        return BucketPlace(self.server, self.proxy, f"faults/{here.parent.name}/{here.name}", self.credentials)
