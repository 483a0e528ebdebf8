"""Sizes (`20MiB`, `5MB`) and durations (`90d`, `1d12h`) as people write them.

Invariants: sizes are whole bytes, durations whole microseconds; formatting a value and reading it back gives the value.
Rationale: `K`, `M`, `G` alone are binary because zfs(8) means 1024 by them; `MB` is decimal and `MiB` binary as in
IEC 80000-13. A duration always carries its unit, since a bare `30` has meant seconds, minutes and days in other tools.
"""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction
from typing import Final

_SIZE_UNITS: Final[dict[str, int]] = {
    "": 1,
    "b": 1,
    **{letter: 1024**power for power, letter in enumerate("kmgtp", start=1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgtp", start=1)},
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgtp", start=1)},
}
_SHOWN_SIZES: Final = (("PiB", 1024**5), ("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))
_SECONDS: Final[dict[str, int]] = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_NUMBER: Final = r"[0-9]{1,19}(?:\.[0-9]{1,9})?"
_SIZE: Final = re.compile(rf"({_NUMBER})\s*([A-Za-z]*)")
_DURATION: Final = re.compile(rf"(?:{_NUMBER}[wdhms]\s*)+")
_DURATION_STEP: Final = re.compile(rf"({_NUMBER})([wdhms])")
_LARGEST_SIZE: Final = 2**63 - 1
_LONGEST_SECONDS: Final = 100 * 365 * 86_400

SIZE_ALLOWED: Final = "a size such as 20MiB, 5MB, 1GiB or a number of bytes"
DURATION_ALLOWED: Final = "a duration such as 30s, 15m, 26h, 90d, 2w or 1d12h"


def parse_size(value: str | int) -> int:
    """Bytes of a size. Raises ValueError naming what was found and what is allowed."""
    match = _SIZE.fullmatch(str(value).strip())
    factor = _SIZE_UNITS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"found {value!r}; allowed: {SIZE_ALLOWED}")
    size = Fraction(match[1]) * factor
    if size.denominator != 1:
        raise ValueError(f"found {value!r}, which is not a whole number of bytes; allowed: {SIZE_ALLOWED}")
    if size > _LARGEST_SIZE:
        raise ValueError(f"found {value!r}; allowed: less than 8 EiB")
    return int(size)


def format_size(size_bytes: int) -> str:
    """The shortest exact way to write a number of bytes: `20MiB`, `1536KiB`, `1001B`."""
    for unit, factor in _SHOWN_SIZES:
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return f"{size_bytes}B"


def parse_duration(value: str) -> timedelta:
    """The time span of a duration. Raises ValueError naming what was found and what is allowed."""
    text = str(value).strip()
    if not _DURATION.fullmatch(text):
        raise ValueError(f"found {value!r}; allowed: {DURATION_ALLOWED}")
    seconds = sum((Fraction(number) * _SECONDS[unit] for number, unit in _DURATION_STEP.findall(text)), Fraction(0))
    if seconds > _LONGEST_SECONDS:
        raise ValueError(f"found {value!r}; allowed: at most 100 years")
    return timedelta(microseconds=int(seconds * 1_000_000))


def format_duration(span: timedelta) -> str:
    """A time span as `parse_duration` reads it: `1d12h`, `90d`, `0.5s`."""
    whole, rest = divmod(span, timedelta(seconds=1))
    shown = ""
    for unit in "dhm":
        count, whole = divmod(whole, _SECONDS[unit])
        shown += f"{count}{unit}" if count else ""
    if rest:
        return f"{shown}{whole}.{rest.microseconds:06d}".rstrip("0") + "s"
    return f"{shown}{whole}s" if whole or not shown else shown
