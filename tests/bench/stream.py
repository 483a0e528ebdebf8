"""Makes valid send streams of any length, faster than anything reads them: `python tests/bench/stream.py BYTES >file`.

Every record carries its checksum. Fletcher-4 is linear, so the sums over a block of payload are taken once, and
appending the block to the stream is a little arithmetic instead of a pass over its bytes.
Payload blocks are random and come in random order, so that no compressor finds anything within its window.
Layout of the records: OpenZFS include/sys/zfs_ioctl.h.
"""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Iterator
from itertools import accumulate

HEADER_BYTES = 312
RECORD_BYTES = 128 << 10
TO_GUID = 0x1122_3344_5566_7788
_MAGIC = 0x2_F5BA_CBAC
_SUMS_AT = 280
_MASK = (1 << 64) - 1
_BLOCKS = 128
_OBJECT = 8
_BEGIN, _NEW_OBJECT, _WRITE, _END = 0, 1, 3, 5

Sums = tuple[int, int, int, int]


def sums_of(data: bytes) -> Sums:
    """Return the fletcher-4 sums of whole 32-bit little-endian words, begun at zero."""
    line: tuple[int, ...] = struct.unpack(f"<{len(data) // 4}I", data)
    found = []
    for _ in range(4):
        line = tuple(accumulate(line))
        found.append(line[-1] & _MASK)
    return found[0], found[1], found[2], found[3]


def joined(before: Sums, words: int, block: Sums) -> Sums:
    """Return the sums after `words` more words whose own sums are `block`."""
    a, b, c, d = before
    second = words * (words + 1) // 2
    third = second * (words + 2) // 3
    return (
        (a + block[0]) & _MASK,
        (b + words * a + block[1]) & _MASK,
        (c + words * b + second * a + block[2]) & _MASK,
        (d + words * c + second * b + third * a + block[3]) & _MASK,
    )


class _Records:
    """The running checksum, and records that carry it."""

    def __init__(self) -> None:
        self.sums: Sums = (0, 0, 0, 0)

    def add(self, data: bytes) -> None:
        self.sums = joined(self.sums, len(data) // 4, sums_of(data))

    def header(self, kind: int, body: bytes) -> bytes:
        head = (struct.pack("<II", kind, 0) + body).ljust(_SUMS_AT, b"\0")
        self.add(head)
        field = struct.pack("<4Q", *self.sums)
        self.add(field)
        return head + field


def _begin() -> bytes:
    body = struct.pack("<QQQIIQQ", _MAGIC, 1, 1_795_223_332, 2, 0, TO_GUID, 0) + b"tank/bench@s"
    return (struct.pack("<II", _BEGIN, 0) + body).ljust(HEADER_BYTES, b"\0")


def chunks(length: int, *, seed: int = 0) -> Iterator[bytes]:
    """Yield a full stream of at least `length` bytes: one file, made of WRITEs of 128 KiB."""
    dice = random.Random(seed)  # noqa: S311
    blocks = [dice.randbytes(RECORD_BYTES) for _ in range(_BLOCKS)]
    sums = [sums_of(block) for block in blocks]
    records = _Records()
    begin = _begin()
    records.add(begin)
    yield begin
    yield records.header(_NEW_OBJECT, struct.pack("<QIIII", _OBJECT, 19, 0, RECORD_BYTES, 0))
    offset = 0
    while offset < length:
        one = dice.randrange(_BLOCKS)
        yield records.header(_WRITE, struct.pack("<QIIQQ", _OBJECT, 19, 0, offset, RECORD_BYTES))
        yield blocks[one]
        records.sums = joined(records.sums, RECORD_BYTES // 4, sums[one])
        offset += RECORD_BYTES
    yield records.header(_END, struct.pack("<4QQ", *records.sums, TO_GUID))


def main() -> None:
    """Write a stream to stdout; a reader that goes away ends it quietly."""
    out = sys.stdout.buffer
    try:
        for chunk in chunks(int(sys.argv[1])):
            out.write(chunk)
        out.flush()
    except BrokenPipeError:
        sys.stderr.close()


if __name__ == "__main__":
    main()
