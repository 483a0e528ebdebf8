"""The token with which `zfs send -t` goes on with a stream that broke off, and how much of it to keep."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from zfs_push_backups import engine
from zfs_push_backups.record import Record
from zfs_push_backups.report.visible import visible
from zfs_push_backups.run.jobs import run_job
from zfs_push_backups.run.stream_source import STDIN, length_of, shown, source

if TYPE_CHECKING:
    from zfs_push_backups.run.session import Session

# What the commands call a stream that came from stdin.
UNNAMED = "stream"


class Token(Record):
    """How to go on with the stream in `file`."""

    file: str
    report: dict[str, Any]

    def commands(self) -> list[str]:
        """What to type next, line by line."""
        name = UNNAMED if self.file == STDIN else self.file
        # A name that begins with a hyphen would be an option.
        name = f"./{name}" if name.startswith("-") else name
        stream, kept, resumed, whole = (shlex.quote(name + end) for end in ("", ".kept", ".resumed", ".whole"))
        return [
            f"head -c {self.report['keep_bytes']} {stream} >{kept}",
            f"zfs send -t {self.report['token']} >{resumed}",
            f"zfs-push-backups stream splice {kept} {resumed} --output {whole}",
        ]

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        file = None if self.file == STDIN else self.file
        return {"file": file, **self.report, "commands": self.commands()}


def token(file: str, session: Session, *, progress: bool = True) -> Token:
    """Find the last place in a stream that broke off at which it can be gone on with."""
    with source(file) as descriptor:
        total = length_of(descriptor)
        job = engine.StreamJob("token", [descriptor], [shown(file)])
        return Token(file, run_job(session, job, label=shown(file) if progress else "", total_bytes=total))


def as_text(found: Token) -> str:
    """For people: the facts, then the commands to type."""
    report = found.report
    begin = report["begin"]
    stands = "full" if begin["from_guid"] == "0" else f"incremental on guid {begin['from_guid']}"
    lines = [
        f"stream: {visible(begin['to_name'])}, guid {begin['to_guid']}, {stands}",
        f"broken: at byte {report['broken']['at']} ({report['broken']['code']})",
        f"goes on at: object {report['object']}, offset {report['offset']}, byte {report['border_bytes']}",
        f"keep: {report['keep_bytes']}",
        f"token: {report['token']}",
        "",
        "next, the second one where the snapshot is:",
        *(f"  {command}" for command in found.commands()),
    ]
    return "\n".join(lines)
