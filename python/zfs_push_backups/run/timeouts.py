"""How long a stop may take: in all by the configuration, by phase from the environment.

Phases: `graceful` is what a running job gets to drain, `background` the cleanups, `db` the writing of run state, the
only one that a second signal doesn't cut. Without the environment they share `shutdown_timeout`: a phase may use what
those before it left over, and the last fifth is kept for the later two.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING, Final, Literal

from zfs_push_backups.errors import ConfigurationError
from zfs_push_backups.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

Phase = Literal["graceful", "background", "db"]
PHASES: Final[tuple[Phase, ...]] = ("graceful", "background", "db")
VARIABLES: Final[dict[Phase, str]] = {phase: f"SHUTDOWN_{phase.upper()}_TIMEOUT" for phase in PHASES}
DEFAULT_SECONDS: Final = 30.0
_SHARES: Final[dict[Phase, float]] = {"graceful": 0.8, "background": 0.1, "db": 0.1}
_SECONDS: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?")


class Timeouts(Record):
    """The limits; `own` are those that the environment gives to single phases."""

    total_seconds: float = DEFAULT_SECONDS
    own: Mapping[Phase, float] = field(default_factory=dict)

    def length(self, phase: Phase) -> float:
        """Seconds that a phase has for itself."""
        return self.own.get(phase, self.total_seconds * _SHARES[phase])

    def until(self, phase: Phase) -> float:
        """Seconds after the stop's beginning by which a phase is over, however long those before it took."""
        return sum(self.length(other) for other in PHASES[: PHASES.index(phase) + 1])


def timeouts(total_seconds: float, environment: Mapping[str, str]) -> Timeouts:
    """The limits of the configuration and the environment. Raises ConfigurationError for what is no number."""
    own: dict[Phase, float] = {}
    for phase, variable in VARIABLES.items():
        if text := environment.get(variable, "").strip():
            if not _SECONDS.fullmatch(text):
                raise ConfigurationError(
                    f"{variable}: found {text[:60]!r}; allowed: seconds such as 30 or 2.5",
                    hint="correct or unset it in the environment",
                )
            own[phase] = float(text)
    return Timeouts(total_seconds, own)
