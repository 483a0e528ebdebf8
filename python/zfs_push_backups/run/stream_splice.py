"""Make a whole stream out of the kept part of one that broke off and of what `zfs send -t` sent.

Invariants: a file appears whole or not at all; to stdout nothing goes before the resumed stream was accepted, and no
END before all of it was proven, so that no `zfs receive` takes a refused splice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zfs_push_backups import engine
from zfs_push_backups.errors import UsageError
from zfs_push_backups.record import Record
from zfs_push_backups.report.visible import visible
from zfs_push_backups.run.jobs import run_job
from zfs_push_backups.run.output_file import STDOUT, check_target, output_named, sink
from zfs_push_backups.run.stream_source import STDIN, shown, source

if TYPE_CHECKING:
    from zfs_push_backups.run.session import Session


class Spliced(Record):
    """The whole stream in `output`."""

    output: str
    report: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {"output": self.output, **self.report}

    def as_text(self) -> str:
        """One line for people."""
        name = visible(self.report["begin"]["to_name"])
        where = "stdout" if self.output == STDOUT else visible(self.output)
        return f"{name} is whole in {where}, {self.report['stream_bytes']} bytes"


class SpliceOptions(Record, kw_only=True):
    """What to splice."""

    kept: str
    resumed: str
    output: str
    force: bool = False


def splice(options: SpliceOptions, session: Session, *, progress: bool = True) -> Spliced:
    """Splice; raises, with nothing written to a file, unless every byte was proven."""
    if options.kept == options.resumed == STDIN:
        raise UsageError("the kept part and the resumed stream can't both be stdin", hint="name the file of the first")
    check_target(options.output, force=options.force)
    with (
        source(options.kept, seekable=True) as kept,
        source(options.resumed) as resumed,
        sink(options.output, force=options.force) as whole,
        output_named(options.output),
    ):
        job = engine.StreamJob("splice", [kept, resumed, whole], [shown(options.kept), shown(options.resumed)])
        label = shown(options.output) if progress else ""
        return Spliced(options.output, run_job(session, job, label=label, total_bytes=None))
