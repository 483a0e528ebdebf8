"""What the benchmarks that need servers work with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.foreign import AgeIdentity, ForeignTools


@dataclass(frozen=True)
class Workshop:
    """A folder for everything, the Garage program, the stock tools, one key pair."""

    folder: Path
    garage: Path
    tools: ForeignTools
    identity: AgeIdentity
