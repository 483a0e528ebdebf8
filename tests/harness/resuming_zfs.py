"""A `zfs` that is put first in PATH: zfs-fuse with `zfs send -t`, which it lacks, and with faults of that on demand.

Plain sends are the real ones with the checksums that newer senders give each record. What `-t` sends is made of the
stream that was sent before, as OpenZFS was seen to make it: BEGIN with the place in its list, the object announced
again, then the rest. OpenZFS itself proves the main road in the test machine; this one shows what happens when it errs.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness.made_streams import BEGIN, END, OBJECT, WRITE, Record, records, summed

Fault = Literal["none", "refuses", "dies", "dies-early", "differs", "late", "whole", "ends-badly"]
FOLDER = "ZPB_TEST_RESUMING_ZFS"
RESUMING = 1 << (20 + 2)
USAGE = "\tsend -t <receive_resume_token>\n\tversion\n"


@dataclass(frozen=True)
class ResumingZfs:
    """The folder with the program in it."""

    folder: Path

    @property
    def path(self) -> str:
        """PATH with this program first."""
        return os.pathsep.join([str(self.folder), os.environ["PATH"]])

    @property
    def sends(self) -> list[str]:
        """The first word behind `send` of each send so far."""
        log = self.folder / "sends"
        return log.read_text().split() if log.exists() else []

    def have(self, fault: Fault) -> None:
        """Let every `send -t` from now on fail in this way."""
        (self.folder / "fault").write_text(fault)

    def become(self, version: str) -> None:
        """Have another kernel module."""
        (self.folder / "kernel").write_text(version)


def make(folder: Path) -> ResumingZfs:
    """Write the program into `folder`."""
    folder.mkdir()
    made = ResumingZfs(folder)
    made.have("none")
    made.become("2.9.1")
    (folder / "real").write_text(str(shutil.which("zfs")))
    program = folder / "zfs"
    tests = Path(__file__).parents[1]
    program.write_text(
        "#!/bin/sh\n"
        f'case "$1" in send|version|-\\?) ;; *) exec {shutil.which("zfs")} "$@" ;; esac\n'
        f'{FOLDER}={folder} PYTHONPATH={tests} exec {sys.executable} -m harness.resuming_zfs "$@"\n'
    )
    program.chmod(0o755)
    return made


def main(words: list[str]) -> int:
    """Be that program."""
    folder = Path(os.environ[FOLDER])
    real = (folder / "real").read_text()
    if words == ["version"]:
        print(f"zfs-2.9.1\nzfs-kmod-{(folder / 'kernel').read_text()}")
        return 0
    if words == ["-?"]:
        done = subprocess.run([real, *words], capture_output=True, text=True, check=False)
        sys.stderr.write(done.stdout + done.stderr + USAGE)
        return done.returncode
    with (folder / "sends").open("a") as log:
        log.write(f"{words[1]}\n")
    if words[1] == "-t":
        return resume(folder, words[2])
    stream = subprocess.run([real, *words], capture_output=True, check=True).stdout
    return put(kept(folder, stream))


def kept(folder: Path, stream: bytes) -> bytes:
    """Give the stream its checksums, once: they take long."""
    file = folder / f"stream-{'-'.join(str(guid) for guid in struct.unpack_from('<2Q', stream, 40))}"
    if not file.exists():
        file.write_bytes(summed(records(stream)))
    return file.read_bytes()


def resume(folder: Path, token: str) -> int:
    """Send what lies behind the place in `token`."""
    place = decoded(token)
    fault = (folder / "fault").read_text()
    stream = (folder / f"stream-{place['toguid']}-{place.get('fromguid', 0)}").read_bytes()
    if fault == "refuses":
        print(f"cannot resume send: '{place['toname']}' is no longer the same snapshot", file=sys.stderr)
        return 255
    if fault == "whole":
        return put(stream)
    rest = continuation(stream, place)
    if fault == "differs":
        first = next(index for index, one in enumerate(rest) if one.kind == WRITE)
        rest[first] = replace(rest[first], payload=bytes([rest[first].payload[0] ^ 1]) + rest[first].payload[1:])
    if fault == "late":
        rest.insert(-1, next(one for one in records(stream) if one.kind == WRITE))
    made = summed(rest)
    ends = {"dies": len(made) * 3 // 4, "dies-early": 400, "ends-badly": len(made)}
    if fault in ends:
        put(made[: ends[fault]])
        print("warning: cannot send: Input/output error", file=sys.stderr)
        return 1
    return put(made)


def continuation(stream: bytes, place: dict[str, Any]) -> list[Record]:
    """The records that go on there, without sums."""
    at, announced = 0, None
    found: list[Record] = []
    for one in records(stream):
        if one.kind == BEGIN:
            found.append(begin(one, place))
        elif at >= place["bytes"]:
            if announced is not None:
                found.append(announced)
                announced = None
            found.append(one)
        elif one.kind == OBJECT and place["offset"] and struct.unpack_from("<Q", one.header, 8) == (place["object"],):
            announced = one
        at += len(one.header) + len(one.payload)
    assert found[-1].kind == END
    return found


def begin(one: Record, place: dict[str, Any]) -> Record:
    """BEGIN as resumed streams have it."""
    pairs = b"".join(
        struct.pack("<ihhii", 40, 14, 0, 1, 8) + name.ljust(16, b"\0") + struct.pack("<Q", place[key])
        for name, key in ((b"resume_object", "object"), (b"resume_offset", "offset"))
    )
    payload = struct.pack("<BBBBiI", 0, 1, 0, 0, 0, 1) + pairs + bytes(4)
    (version,) = struct.unpack_from("<Q", one.header, 16)
    header = bytearray(one.header)
    struct.pack_into("<I", header, 4, len(payload))
    struct.pack_into("<Q", header, 16, version | RESUMING)
    return Record(bytes(header), payload)


def decoded(token: str) -> dict[str, Any]:
    """The list in a resume token."""
    data = zlib.decompress(bytes.fromhex(token.split("-")[3]))
    found: dict[str, Any] = {}
    at = 12
    while size := struct.unpack_from("<i", data, at)[0]:
        name_bytes, count, kind = struct.unpack_from("<h2xii", data, at + 4)
        name = data[at + 16 : at + 16 + name_bytes - 1].decode()
        value = data[at + 16 + -(-name_bytes // 8) * 8 : at + size]
        if kind == 8:
            (found[name],) = struct.unpack_from("<Q", value)
        else:
            found[name] = value.split(b"\0")[0].decode() if count else True
        at += size
    return found


def put(data: bytes) -> int:
    """Write to stdout as a sender does: who reads no more ends it."""
    try:
        with os.fdopen(1, "wb", closefd=False) as out:
            out.write(data)
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
