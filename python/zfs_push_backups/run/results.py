"""What the use cases give back: plain frozen records, the same for scripts and for --json."""

from __future__ import annotations

from dataclasses import asdict, field
from typing import Any, Literal

from zfs_push_backups.record import Record

PushStatus = Literal["pushed", "up_to_date", "planned", "failed"]


class PushResult(Record, kw_only=True):
    """One dataset of a push. Sizes in bytes; `error` is set when `status` is `failed`.

    `made` is `zfs`, `stdin`, or `spliced` (from several runs of `zfs send`, joined at a proven place); `read_bytes` is
    what was read of the stream in this run, less than `stream_bytes` only for a spliced one.
    """

    task: str | None
    dataset: str
    status: PushStatus
    snapshot: str | None = None
    level: int | None = None
    base: str | None = None
    id: str | None = None
    manifest_key: str | None = None
    repository: str | None = None
    made: str | None = None
    stream_bytes: int | None = None
    read_bytes: int | None = None
    sealed_bytes: int | None = None
    parts: int | None = None
    estimated_bytes: int | None = None
    seconds: float | None = None
    requests: dict[str, int] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    error: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class PushSummary(Record, kw_only=True):
    """A whole push."""

    host: str
    source: str
    results: tuple[PushResult, ...]
    requests: dict[str, int] = field(default_factory=dict)

    def count(self, status: PushStatus) -> int:
        """How many datasets ended this way."""
        return sum(result.status == status for result in self.results)


class RestoredDataset(Record, kw_only=True):
    """One dataset or stream that was restored: `target` is a dataset, a file's path, or `-`."""

    dataset: str
    target: str
    backups: tuple[str, ...]
    snapshots: tuple[str, ...]
    stream_bytes: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class RestoreSummary(Record, kw_only=True):
    """A whole restore."""

    host: str
    source: str
    restored: tuple[RestoredDataset, ...]
    dry_run: bool = False


class Finding(Record, kw_only=True):
    """One line of a check: `level` is ok, warn or fail; `advice` says what to do."""

    level: Literal["ok", "warn", "fail"]
    name: str
    detail: str
    advice: str = ""


class CheckReport(Record, kw_only=True):
    """All findings of a check."""

    host: str | None
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(finding.level != "fail" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"host": self.host, "ok": self.ok, "findings": [asdict(finding) for finding in self.findings]}


def add_requests(total: dict[str, int], more: dict[str, int]) -> None:
    """Add request counts by kind."""
    for kind, count in more.items():
        total[kind] = total.get(kind, 0) + count
