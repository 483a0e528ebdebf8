"""Look into a send stream of any kind: what is in it, and whether it is whole.

Invariant: whatever the bytes are, the answer is a report; only what can't be read is an error.
"""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from zfs_push_backups import engine
from zfs_push_backups.errors import StreamUnfit
from zfs_push_backups.record import Record
from zfs_push_backups.report.visible import visible
from zfs_push_backups.run.jobs import run_job
from zfs_push_backups.run.stream_source import STDIN, length_of, shown, source

if TYPE_CHECKING:
    from zfs_push_backups.run.session import Session

Stream = dict[str, Any]
COLUMNS = ("records", "bytes", "payload_bytes", "logical_bytes")


class Inspected(Record):
    """What was found in `file`."""

    file: str
    report: dict[str, Any]

    @property
    def failure(self) -> StreamUnfit | None:
        """Why the stream is not whole; None if it is."""
        verdict = self.report["verdict"]
        if verdict["state"] == "whole":
            return None
        hint = ""
        if verdict["state"] == "truncated" and self._may_have_token():
            file = "FILE" if self.file == STDIN else shlex.quote(self.file)
            hint = f"`zfs-push-backups stream token {visible(file)}` says how `zfs send -t` can go on with it"
        return StreamUnfit(f"{shown(self.file)}: {verdict['reason']}", code=verdict["code"], hint=hint)

    def _may_have_token(self) -> bool:
        """Whether it is of a kind that can be gone on with: neither a package nor the rest of a stream."""
        streams = self.report["streams"]
        return bool(streams) and not self.report["package"] and "resuming" not in streams[0]["features"]

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {"file": None if self.file == STDIN else self.file, **self.report}


def inspect(file: str, session: Session, *, progress: bool = True) -> Inspected:
    """Read a stream to its end, or to where it is damaged."""
    with source(file) as descriptor:
        total = length_of(descriptor)
        job = engine.StreamJob("inspect", [descriptor], [shown(file)])
        return Inspected(file, run_job(session, job, label=shown(file) if progress else "", total_bytes=total))


def as_text(found: Inspected) -> str:
    """For people: the verdict first, then stream by stream."""
    report = found.report
    lines = [f"{shown(found.file)}: {report['verdict']['state']}, {report['bytes']} bytes"]
    if report["package"]:
        count = len(report["streams"]) + report["streams_left_out"]
        lines += ["", f"compound stream (-R, -I or -p) of {count} streams; zfs send closes one even after an error, so"]
        lines += ["  look whether all snapshots are there", *table(report["package"])]
    for stream in report["streams"]:
        lines += ["", visible(stream["to_name"]), *stream_lines(stream)]
    if report["streams_left_out"]:
        lines += ["", f"{report['streams_left_out']} more streams"]
    return "\n".join(lines)


def stream_lines(stream: Stream) -> list[str]:
    """One stream, each line indented."""
    stands = "full" if stream["from_guid"] is None else f"incremental on guid {stream['from_guid']}"
    ending = "whole" if stream["whole"] else "not whole"
    lines = [
        f"  {stream['objset']}, guid {stream['to_guid']}, {stands}, made {moment(stream['creation_unix_seconds'])}",
        f"  bytes {stream['at']} to {stream['at'] + stream['bytes']}, {ending}, {stream['byte_order']}-endian",
        f"  features: {names(stream['features'], stream['unknown_feature_bits'])}",
        f"  flags: {names(stream['flags'], stream['unknown_flag_bits'])}",
        f"  {stream['objects']} objects, highest {stream['highest_object']}; {stream['borders']} places to resume at",
    ]
    total = sum(kind["records"] for kind in stream["records"])
    lines.append(f"  {stream['records_with_checksum']} of {total} records carry a checksum of their own")
    if place := stream["resumes_at"]:
        lines.append(f"  a resumed stream: goes on at object {place['object']}, offset {place['offset']}")
    if stream["end_checksum"]:
        lines.append(f"  checksum in END: {stream['end_checksum']}")
    return [*lines, *table(stream)]


def table(stream: Stream) -> list[str]:
    """The records by kind."""
    heading = f"  {'':<16}" + "".join(f"{name.replace('_', ' '):>16}" for name in COLUMNS)
    rows = [f"  {kind['kind']:<16}" + "".join(f"{kind[name]:>16}" for name in COLUMNS) for kind in stream["records"]]
    return [heading, *rows]


def names(known: list[str], unknown_bits: int) -> str:
    """The names of what is set, then the bits that have none."""
    listed = [*known, *([f"unknown({unknown_bits:#x})"] if unknown_bits else [])]
    return ", ".join(listed) or "none"


def moment(seconds: int) -> str:
    """A time in UTC; what no calendar holds stays a number."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s after 1970"
