"""The holds of this program as people see them: the journal, and what zfs says of it.

Invariants: looking changes nothing and needs no lock; a snapshot that was renamed is shown by its name of now; what zfs
can't tell is left open, not guessed.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from zfs_push_backups.errors import ZfsError
from zfs_push_backups.plan.holds import TAG_PREFIX, Place, hold_tag, places
from zfs_push_backups.record import Record
from zfs_push_backups.run.session import own_source
from zfs_push_backups.run.state import look_at_catalogue
from zfs_push_backups.run.store import StoreView
from zfs_push_backups.run.survey import Survey
from zfs_push_backups.zfs import holds as zfs_holds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from zfs_push_backups.catalogue.records import HeldSnapshot
    from zfs_push_backups.config.models import Config
    from zfs_push_backups.run.options import HoldsOptions
    from zfs_push_backups.run.session import Session

log = logging.getLogger(__name__)


class Hold(Record, kw_only=True):
    """One hold. `held` None: zfs can't tell whose holds a snapshot has. `noted` False: the journal doesn't know it."""

    host: str
    dataset: str
    snapshot: str
    snapshot_guid: str
    task: str | None
    reason: str
    since: str | None
    age_seconds: int | None
    repository: str | None
    held: bool | None
    noted: bool

    @property
    def name(self) -> str:
        """`pool/dataset@snapshot`."""
        return f"{self.dataset}@{self.snapshot}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class View:
    """The journal beside the machine. `tags` are the holders of a snapshot, by full name; None: zfs can't tell."""

    def __init__(self, session: Session, config: Config, noted: Sequence[HeldSnapshot]) -> None:
        self.session = session
        self.noted = noted
        self.seen = Survey(session, config, None)
        self.tags: dict[str, dict[str, datetime | None]] | None = None
        self.seen.look((), noted)
        self.looked = not self.seen.incomplete
        if self.looked:
            self._ask_holders()

    def _ask_holders(self) -> None:
        if not self.session.capabilities.holds_list:
            return
        try:
            self.tags = zfs_holds.holders(self.session.zfs, [self.name(place) for place in self.suspects()])
        except ZfsError as error:
            log.warning("zfs doesn't tell who holds what: %s", error)

    def suspects(self) -> list[Place]:
        """The snapshots that somebody holds."""
        return sorted(
            Place(here.name, guid) for here in self.seen.machine.values() for guid, n in here.references.items() if n
        )

    def name(self, place: Place) -> str:
        """The full name of a snapshot that is here."""
        point = self.seen.machine[place.dataset].snapshot(place.guid)
        return f"{place.dataset}@{point.name if point else place.guid}"

    def now(self, held: HeldSnapshot) -> tuple[Place, ...]:
        """Where a noted snapshot is now."""
        return places(held.dataset, held.snapshot_guid, self.seen.machine)

    def is_held(self, held: HeldSnapshot) -> bool | None:
        """Whether a noted hold is there."""
        here = self.now(held)
        if not here:
            pool = held.dataset.partition("/")[0]
            return False if pool in self.seen.whole_pools else None
        if self.tags is not None:
            return any(held.tag in self.tags.get(self.name(place), {}) for place in here)
        some = any(self.seen.machine[place.dataset].references.get(place.guid) for place in here)
        return None if some else False

    def rows(self) -> list[Hold]:
        """Everything that is noted, then what zfs shows beyond that."""
        rows = [self._noted(held) for held in self.noted]
        known = {(row.host, row.name) for row in rows}
        for full_name, tags in (self.tags or {}).items():
            for tag, since in tags.items():
                if tag.startswith(TAG_PREFIX) and (host_of(tag), full_name) not in known:
                    rows.append(self._unnoted(full_name, tag, since))
        return sorted(rows, key=lambda row: (row.dataset.split("/"), row.since or "", row.snapshot, row.host))

    def _noted(self, held: HeldSnapshot) -> Hold:
        here = self.now(held)
        dataset, _, snapshot = self.name(here[0]).partition("@") if here else (held.dataset, "@", held.snapshot)
        return Hold(
            host=host_of(held.tag),
            dataset=dataset,
            snapshot=snapshot,
            snapshot_guid=str(held.snapshot_guid),
            task=held.task,
            reason=held.reason,
            since=held.since.isoformat(timespec="seconds"),
            age_seconds=max(0, int((self.session.now() - held.since).total_seconds())),
            repository=held.repository,
            held=self.is_held(held),
            noted=True,
        )

    def _unnoted(self, full_name: str, tag: str, since: datetime | None) -> Hold:
        dataset, _, snapshot = full_name.partition("@")
        guids = [place.guid for place in self.suspects() if self.name(place) == full_name]
        return Hold(
            host=host_of(tag),
            dataset=dataset,
            snapshot=snapshot,
            snapshot_guid=str(guids[0]) if guids else "",
            task=None,
            reason="not in the journal",
            since=since.isoformat(timespec="seconds") if since else None,
            age_seconds=max(0, int((self.session.now() - since).total_seconds())) if since else None,
            repository=None,
            held=True,
            noted=False,
        )


def list_holds(options: HoldsOptions, session: Session) -> tuple[Hold, ...]:
    """List the holds of one host, or of all."""
    config = session.configuration(options)
    tag = tag_asked_for(options, session, config)
    catalogue = look_at_catalogue(config)
    noted: tuple[HeldSnapshot, ...] = ()
    if catalogue is not None:
        with catalogue:
            noted = catalogue.holds.noted()
    rows = View(session, config, noted).rows()
    return tuple(row for row in rows if tag is None or row.host == host_of(tag))


def tag_asked_for(options: HoldsOptions, session: Session, config: Config) -> str | None:
    """The tag of the host that the options name; None for every one."""
    if options.host is None:
        return None
    host = session.host(config, options)
    if "://" not in host.name:
        return hold_tag(host.name, None)
    store = StoreView(session, host)
    store.backups(own_source(None, config))
    return hold_tag(host.name, store.repository or "no repository")


def host_of(tag: str) -> str:
    """The host's name in a tag, or its repository's id."""
    return tag.removeprefix(TAG_PREFIX)


def as_table(rows: Iterable[Hold]) -> str:
    """The holds for people: one block a dataset, one line a hold."""
    lines: list[str] = []
    heading = ""
    for row in rows:
        if row.dataset != heading:
            lines += ["", row.dataset] if heading else [row.dataset]
            heading = row.dataset
        lines.append("  " + "  ".join(cells(row)))
    return "\n".join(lines) or "no holds"


def cells(row: Hold) -> list[str]:
    """The columns of one line."""
    age = "age unknown" if row.age_seconds is None else f"for {human_age(row.age_seconds)}"
    columns = [f"@{row.snapshot}", f"host {row.host}", f"task {row.task or '-'}", row.reason, age]
    return [*columns, "NOT HELD any more"] if row.held is False else columns


def human_age(seconds: int) -> str:
    """An age in its largest unit that has at least two of it."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
