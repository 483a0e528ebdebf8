"""What to do with a run that did not end: it is done, its commit is repeated, it is gone on with, or begun anew.

Invariants: a run whose manifest stands is done, whatever else changed; nothing is gone on with under other recipients,
flags, compression or part sizes, nor without the snapshots and the parent that it stands on; parts that no session of
the saved run can have written mean that the state is not what happened, so it is begun anew. Every way that begins
anew carries its reason in words.
Rationale: the journal is a hint; the store decides what exists, the manifest what is committed. What the saved state
can't know (that the prefix is still the same) the engine proves: by its last part, made again from where the one
before it ended, or part by part from the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from zfs_push_backups.catalogue.records import Part, SavedRun
from zfs_push_backups.record import Record

LEAST_PARTS_TO_SPLICE: Final = 2


class Present(Record, kw_only=True):
    """The facts of now. `snapshot` is the present name of the snapshot with the run's guid, None if it is gone.

    `base` says whether the run's base exists here (snapshot or bookmark), `parent` whether the backup it stands on is
    committed in the store; both True for a full. `dataset_guid` is that of the dataset which has the snapshot now,
    `createtxg` the snapshot's, `renamed` what the run's dataset is called now. `can_resume`: whether this zfs has `zfs
    send -t`. `sent_since` is a backup of the same snapshot whose push began later.
    """

    recipients: frozenset[str]
    compression: str
    part_size_bytes: int | None
    raw: bool
    flags: tuple[str, ...]
    zfs_kernel: str | None
    snapshot: str | None
    dataset_guid: str | None = None
    createtxg: int | None = None
    renamed: str | None = None
    can_resume: bool = False
    base: bool = True
    parent: bool = True
    sent_since: str | None = None


class Asked(Record, kw_only=True):
    """What the operator named on the command line; None is the usual."""

    level: int | None = None
    snapshot: str | None = None


class Look(Record, kw_only=True):
    """What the store holds of a run. `stored` parts exist from the first one without a gap; `problem`: why no more."""

    manifest_key: str | None = None
    tombstone: bool = False
    stored: int = 0
    foreign: tuple[str, ...] = ()
    problem: str | None = None

    @classmethod
    def from_report(cls, report: Mapping[str, Any]) -> Look:
        """The engine's report of `resume_look`."""
        manifest = report.get("manifest") or {}
        return cls(
            manifest_key=manifest.get("key"),
            tombstone=bool(manifest.get("tombstone")),
            stored=int(report["stored"]),
            foreign=tuple(report["foreign"]),
            problem=report.get("problem"),
        )


class Done(Record):
    """Its manifest stands: it is committed."""

    manifest_key: str


class Recommit(Record):
    """Everything was stored and `zfs send` had ended well; only the manifest is missing."""


class GoOn(Record):
    """Keep the first `stored` parts, then upload on.

    `reread` says why the stream has to be read again from its start to prove them. None: `zfs send -t` can go on with
    the last of them, which proves itself by coming out the same.
    """

    stored: int
    reread: str | None
    notes: tuple[str, ...] = ()


class StartAnew(Record):
    """It can't be gone on with, for this reason."""

    reason: str


Verdict = Done | Recommit | GoOn | StartAnew


def resume(run: SavedRun, present: Present, asked: Asked, look: Look) -> Verdict:
    """What to do with an unfinished run."""
    if look.manifest_key is not None and not look.tombstone:
        return Done(look.manifest_key)
    reason = _spoilt(run, present, look)
    if reason is None and run.committing:
        # A pin that changed since makes the next backup a full; this one was whole before that.
        return Recommit()
    reason = reason or next(_changes(run, present, asked), None)
    if reason is not None:
        return StartAnew(reason)
    stored = min(look.stored, len(run.parts))
    reread = next(_whys(run, present, stored), None)
    if present.renamed is not None and reread is not None:
        # The name stands in the first record.
        return StartAnew(f"its dataset is called {present.renamed} now, so its stream begins otherwise, and {reread}")
    return GoOn(stored, reread, tuple(_notes(run, look)))


def _spoilt(run: SavedRun, present: Present, look: Look) -> str | None:
    """Why not even the commit may be repeated."""
    if look.tombstone:
        return "it was swept before it was committed"
    if look.foreign:
        return (
            f"the store holds {len(look.foreign)} objects of it that no session known here wrote"
            f" ({look.foreign[0]}): the run state is not the latest"
        )
    return None if present.parent else f"the backup {run.parent_id} that it stands on is gone from the store"


def _changes(run: SavedRun, present: Present, asked: Asked) -> Iterator[str]:
    yield from _pins(run, present)
    yield from _sources(run, present)
    yield from _since(present)
    yield from _wishes(run, asked)


def _pins(run: SavedRun, present: Present) -> Iterator[str]:
    if frozenset(run.recipients) != present.recipients:
        added, gone = len(present.recipients - {*run.recipients}), len({*run.recipients} - present.recipients)
        yield f"the recipients changed ({added} added, {gone} removed)"
    if run.raw != present.raw:
        yield f"it was {'raw' if run.raw else 'not raw'}, and the task says otherwise now"
    if run.flags != present.flags:
        yield f"the send flags were {_flags(run.flags)} and are {_flags(present.flags)} now"
    if run.compression != present.compression:
        yield f"the compression was {run.compression} and is {present.compression} now"
    if run.part_size_bytes != present.part_size_bytes:
        yield f"part_size was {run.part_size_bytes or 'auto'} and is {present.part_size_bytes or 'auto'} now"


def _sources(run: SavedRun, present: Present) -> Iterator[str]:
    if not run.resumable:
        yield "a stream from standard input can't be read again"
    if present.snapshot is None:
        yield f"the snapshot {run.name} (guid {run.snapshot_guid}) is gone"
    elif present.snapshot != run.snapshot:
        yield f"the snapshot {run.name} is called @{present.snapshot} now, so its stream is another"
    if not present.base:
        yield f"the base {run.dataset}{run.base} (guid {run.base_guid}) is gone"


def _since(present: Present) -> Iterator[str]:
    if present.sent_since is not None:
        yield f"its snapshot was sent since, as {present.sent_since}"


def _wishes(run: SavedRun, asked: Asked) -> Iterator[str]:
    if asked.level is not None and asked.level != run.level:
        yield f"level {asked.level} was asked for, and it is of level {run.level}"
    if asked.snapshot is not None and asked.snapshot != run.snapshot:
        yield f"the snapshot @{asked.snapshot} was asked for, and it is of @{run.snapshot}"


def _notes(run: SavedRun, look: Look) -> Iterator[str]:
    if look.stored < len(run.parts):
        yield f"{len(run.parts) - look.stored} parts are sent again: {look.problem or 'they are not there'}"


def _whys(run: SavedRun, present: Present, stored: int) -> Iterator[str]:
    """What speaks against `zfs send -t`."""
    if not present.can_resume:
        yield "this zfs has no zfs send -t"
    if run.splice_refused is not None:
        yield f"zfs send -t could not go on with it: {run.splice_refused}"
    if run.zfs_kernel is None or run.zfs_kernel != present.zfs_kernel:
        was, now = run.zfs_kernel or "unknown", present.zfs_kernel or "unknown"
        yield f"the zfs module was {was} and is {now} now, which may send other records"
    # A snapshot that was received again has its old guid; its records may be others.
    if run.dataset_guid is None or run.dataset_guid != present.dataset_guid:
        yield f"zfs doesn't tell that {run.dataset} is still the dataset it was"
    if run.createtxg is None or run.createtxg != present.createtxg:
        yield f"zfs doesn't tell that {run.name} is still the snapshot it was"
    if stored < LEAST_PARTS_TO_SPLICE:
        yield f"{stored} parts are too few to go on with: one is to stand on, one to be made again"
    elif run.begin_record is None or not _has_border(run.parts[stored - LEAST_PARTS_TO_SPLICE]):
        yield "the run state does not say where its last part but one ends"


def _has_border(part: Part) -> bool:
    proof = part.get("proof")
    return isinstance(proof, Mapping) and proof.get("border") is not None


def _flags(flags: tuple[str, ...]) -> str:
    return " ".join(flags) or "none"
