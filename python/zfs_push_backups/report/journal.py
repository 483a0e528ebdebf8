r"""A small sender for the systemd journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

A field is `KEY=value\\n`, or for values with newlines `KEY\\n`, a little-endian 64-bit length, the bytes, `\\n`.
What doesn't fit into a datagram travels in a sealed-off memory file whose descriptor is sent instead.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

JOURNAL_SOCKET = "/run/systemd/journal/socket"


class JournalSocket:
    """A connected datagram socket to journald."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    @classmethod
    def open(cls, path: str = JOURNAL_SOCKET) -> JournalSocket | None:
        """Connects, or None where no journal listens."""
        endpoint = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            endpoint.connect(path)
        except OSError:
            endpoint.close()
            return None
        return cls(endpoint)

    def send(self, fields: Mapping[str, str]) -> None:
        """Sends one entry."""
        data = encode(fields)
        try:
            self._socket.send(data)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._send_file(data)

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def _send_file(self, data: bytes) -> None:
        descriptor = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.write(descriptor, data)
            import fcntl

            fcntl.fcntl(descriptor, 1033, 0x1 | 0x2 | 0x4 | 0x8)  # F_ADD_SEALS: journald takes sealed files only
            socket.send_fds(self._socket, [b""], [descriptor])
        finally:
            os.close(descriptor)


def encode(fields: Mapping[str, str]) -> bytes:
    """One entry in the native protocol; names are brought to the letters that journald accepts."""
    out = bytearray()
    for name, value in fields.items():
        key = re.sub(r"[^A-Z0-9_]", "_", name.upper()).lstrip("_")[:64].encode("ascii")
        data = value.encode("utf-8", "surrogateescape")
        if b"\n" in data:
            out += key + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
        else:
            out += key + b"=" + data + b"\n"
    return bytes(out)


def stderr_is_journal() -> bool:
    """Whether stderr goes to the journal: JOURNAL_STREAM must name the very device and inode behind it."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    if not device.isdigit() or not inode.isdigit():
        return False
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return (found.st_dev, found.st_ino) == (int(device), int(inode))
