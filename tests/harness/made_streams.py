"""Send streams made by hand: kinds that no fixture has, and real ones changed, with all sums right.

Layout of the records: OpenZFS include/sys/zfs_ioctl.h. Slow; for small streams.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

Order = Literal["<", ">"]
HEADER_BYTES = 312
SUMS_AT = 280
MASK = (1 << 64) - 1
MAGIC = 0x2_F5BA_CBAC
BEGIN, OBJECT, WRITE, END, SPILL, EMBEDDED, OBJECT_RANGE, REDACT = 0, 1, 3, 5, 7, 8, 9, 10
REDACTED_BIT = 1 << 21


@dataclass
class Fletcher:
    """Running fletcher-4 sums over words of one byte order."""

    order: Order
    sums: tuple[int, ...] = (0, 0, 0, 0)

    def update(self, data: bytes) -> None:
        """Take whole words."""
        line: Iterable[int] = struct.unpack(f"{self.order}{len(data) // 4}I", data)
        ends = []
        for start in self.sums:
            line = tuple(accumulate(line, initial=start))
            ends.append(line[-1] & MASK)
            line = line[1:]
        self.sums = tuple(ends)


@dataclass(frozen=True)
class Record:
    """A record: its header with or without sums, and its payload."""

    header: bytes
    payload: bytes = b""

    @property
    def kind(self) -> int:
        """The type's number, in little-endian streams."""
        return int.from_bytes(self.header[:4], "little")


def begin(name: bytes, *, order: Order = "<", features: int = 0, header_type: int = 1, guid: int = 7) -> Record:
    """Make a BEGIN record of a full stream of a filesystem."""
    fields = (BEGIN, 0, MAGIC, header_type | features << 2, 1_700_000_000, 2, 4, guid, 0, name)
    return Record(struct.pack(f"{order}IIQQQIIQQ256s", *fields))


def record(kind: int, *words: int, order: Order = "<", payload: bytes = b"") -> Record:
    """Make a record of 64-bit words behind its type."""
    body = struct.pack(f"{order}II{len(words)}Q", kind, 0, *words)
    return Record(body.ljust(HEADER_BYTES, b"\0"), payload)


def end(*, order: Order = "<", guid: int = 7) -> Record:
    """Make an END record; its sums come with `summed`."""
    return record(END, 0, 0, 0, 0, guid, order=order)


def summed(records: Iterable[Record], *, order: Order = "<") -> bytes:
    """Join records into a stream with every sum right."""
    running = Fletcher(order)
    stream = bytearray()
    for number, one in enumerate(records):
        header = bytearray(one.header)
        if number:
            if struct.unpack_from(f"{order}I", header)[0] == END:
                struct.pack_into(f"{order}4Q", header, 8, *running.sums)
            running.update(bytes(header[:SUMS_AT]))
            struct.pack_into(f"{order}4Q", header, SUMS_AT, *running.sums)
            running.update(bytes(header[SUMS_AT:]))
        else:
            running.update(bytes(header))
        running.update(one.payload)
        stream += header + one.payload
    return bytes(stream)


def payload_bytes(header: bytes) -> int:
    """Say how long the payload behind a little-endian header is."""
    (kind,) = struct.unpack_from("<I", header)
    match kind:
        case 0:
            return int(struct.unpack_from("<I", header, 4)[0])
        case 1:
            bonus, raw = struct.unpack_from("<I4xI", header, 28)
            return int(raw or -(-bonus // 8) * 8)
        case 3:
            return int(struct.unpack_from("<Q", header, 96 if header[50] else 32)[0])
        case 7:
            whole, compressed = struct.unpack_from("<Q16xQ", header, 16)
            return int(compressed or whole)
        case 8:
            return -(-int(struct.unpack_from("<I", header, 52)[0]) // 8) * 8
    return 0


def records(stream: bytes) -> list[Record]:
    """Take a little-endian stream apart."""
    found, at = [], 0
    while at < len(stream):
        header = stream[at : at + HEADER_BYTES]
        behind = at + HEADER_BYTES + payload_bytes(header)
        found.append(Record(header, stream[at + HEADER_BYTES : behind]))
        at = behind
    return found


def altered(stream: bytes, number: int) -> bytes:
    """Change one byte of the payload of a record, counted from 0, and make all sums right again."""
    parts = records(stream)
    payload = parts[number].payload
    parts[number] = replace(parts[number], payload=payload[:-1] + bytes([payload[-1] ^ 1]))
    return summed(parts)
