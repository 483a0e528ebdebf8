"""Bytes that were whole once."""

from __future__ import annotations


def flipped(data: bytes, at: int | None = None, bit: int = 0) -> bytes:
    """The bytes with one bit turned over, in the middle unless said."""
    place = len(data) // 2 if at is None else at
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
