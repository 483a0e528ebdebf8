"""How long stopping took, by cause; printed behind the tests, because a figure is no verdict."""

from __future__ import annotations

import statistics
from collections import defaultdict

TABLE: dict[str, list[float]] = defaultdict(list)


def note(cause: str, seconds: float) -> None:
    """Remember one stop."""
    TABLE[cause].append(seconds)


def as_text() -> str:
    """The table: cause, count, median, worst."""
    rows = [f"{'cause':<34} {'stops':>5} {'median s':>9} {'worst s':>8}"]
    for cause, seconds in sorted(TABLE.items()):
        rows.append(f"{cause:<34} {len(seconds):>5} {statistics.median(seconds):>9.2f} {max(seconds):>8.2f}")
    return "\n".join(rows)
