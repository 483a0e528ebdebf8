"""What a stop did, in one line for people and in fields for a log."""

from __future__ import annotations

from typing import Final, Literal

from zfs_push_backups.record import Record
from zfs_push_backups.run.timeouts import Phase

Fate = Literal["finished", "resumable", "pending", "failed"]
FATES: Final[tuple[Fate, ...]] = ("finished", "failed", "resumable", "pending")
PHASE_WORDS: Final[dict[Phase, str]] = {"graceful": "work", "background": "clean-ups", "db": "run state"}
_MOST_SHOWN: Final = 10


class Summary(Record):
    """What a stop did: seconds by phase, cleanups left behind or failed, and what became of the datasets."""

    reason: str
    seconds: dict[Phase, float]
    abandoned: tuple[str, ...]
    failed: tuple[str, ...]
    datasets: dict[Fate, tuple[str, ...]]

    def as_fields(self) -> dict[str, object]:
        """The same for a log that has fields."""
        fields: dict[str, object] = {"stopped_by": self.reason}
        fields.update({f"{phase}_seconds": round(seconds, 3) for phase, seconds in self.seconds.items()})
        fields.update({fate: ", ".join(names) for fate, names in self.datasets.items() if names})
        return fields

    def line(self) -> str:
        """One line for the log."""
        parts = [f"{PHASE_WORDS[phase]} {spent:.1f} s" for phase, spent in self.seconds.items()]
        text = f"stopped by {self.reason} in {sum(self.seconds.values()):.1f} s ({', '.join(parts)})"
        for fate, names in self.datasets.items():
            more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
            text += f"; {fate}: {', '.join(names[:_MOST_SHOWN])}{more}" if names else ""
        return text + (f"; left behind: {', '.join(self.abandoned)}" if self.abandoned else "")
