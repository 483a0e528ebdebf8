"""Status: what runs now, what can be gone on with, what is pending, and the last runs, from this machine's run state.

Invariants: no lock is taken, no store and no zfs is asked, and nothing is changed, so it works beside a running push.
A run is running if the process that holds the host's lock is the one that worked on it last.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from zfs_push_backups.config.choice import choose_host, for_host
from zfs_push_backups.config.models import Host
from zfs_push_backups.record import Record
from zfs_push_backups.report.progress import human_bytes
from zfs_push_backups.run.locks import is_running
from zfs_push_backups.run.state import look_at_catalogue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zfs_push_backups.catalogue.catalogue import Catalogue
    from zfs_push_backups.catalogue.records import RunSummary
    from zfs_push_backups.config.models import Config
    from zfs_push_backups.run.lock_holder import Holder
    from zfs_push_backups.run.options import StatusOptions
    from zfs_push_backups.run.session import Session

# Of how many ended runs the last committed one of each task is looked for.
HISTORY_LENGTH = 500


class PendingTask(Record, kw_only=True):
    """An enabled task that neither runs nor can be gone on with; `last_committed` is None if that is long ago."""

    task: str
    dataset: str
    last_committed: str | None


class HostStatus(Record, kw_only=True):
    """One host. `holder` is who holds its lock now."""

    host: str
    holder: dict[str, Any] | None
    running: tuple[dict[str, Any], ...]
    resumable: tuple[dict[str, Any], ...]
    unfinished: tuple[dict[str, Any], ...]
    pending: tuple[PendingTask, ...]
    recent: tuple[dict[str, Any], ...]


class Status(Record, kw_only=True):
    """All hosts asked for."""

    hosts: tuple[HostStatus, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def status(options: StatusOptions, session: Session) -> Status:
    """Show the run state. Raises StateError where it can't be read."""
    config = session.configuration(options)
    catalogue = look_at_catalogue(config)
    try:
        return Status(
            hosts=tuple(_host(config, host, catalogue, options.limit) for host in _hosts(config, options, catalogue))
        )
    finally:
        if catalogue is not None:
            catalogue.close()


def _hosts(config: Config, options: StatusOptions, catalogue: Catalogue | None) -> list[Host]:
    """The host asked for, or every one that is configured or has runs."""
    if options.host is not None:
        return [choose_host(config, options.host)]
    known = {host.name for host in config.hosts}
    seen = [] if catalogue is None else [*catalogue.runs.open_runs(), *catalogue.runs.recent(limit=HISTORY_LENGTH)]
    others = sorted({run.host for run in seen} - known)
    # Only the name counts here: a host that is not configured any more has no URL to be asked.
    return [*config.hosts, *(Host.model_construct(name=name, url=name) for name in others)]


def _host(config: Config, host: Host, catalogue: Catalogue | None, limit: int) -> HostStatus:
    opened = () if catalogue is None else catalogue.runs.open_runs(host.name)
    ended = () if catalogue is None else catalogue.runs.recent(host.name, HISTORY_LENGTH)
    holder = _holder(config, host, opened)
    running = [run for run in opened if holder is not None and run.pid == holder.pid and _is_last(run, opened)]
    resumable = [run for run in opened if run not in running and (run.resumable or run.committing)]
    busy = {run.task for run in (*running, *resumable)}
    return HostStatus(
        host=host.name,
        holder=_holder_fields(holder),
        running=tuple(_run_fields(run) for run in running),
        resumable=tuple(_run_fields(run) for run in resumable),
        unfinished=tuple(_run_fields(run) for run in opened if run not in running and run not in resumable),
        pending=tuple(
            PendingTask(task=task.name, dataset=task.root, last_committed=_last_committed(task.name, ended))
            for task in config.tasks
            if task.enabled and for_host(task, host) and task.name not in busy
        ),
        recent=tuple(_run_fields(run) for run in ended[:limit]),
    )


def _holder(config: Config, host: Host, opened: Iterable[RunSummary]) -> Holder | None:
    """Who works on the host; one that is a URL has no lock but its repository's."""
    for repository in (None, *dict.fromkeys(run.repository for run in opened)):
        if (found := is_running(config, host, repository)) is not None:
            return found
    return None


def _is_last(run: RunSummary, opened: Iterable[RunSummary]) -> bool:
    """One process sends one dataset at a time: what it worked on before has ended, or stopped with an error."""
    return run.error is None and not any(other.pid == run.pid and other.begun > run.begun for other in opened)


def _last_committed(task: str, ended: Sequence[RunSummary]) -> str | None:
    return next((_time(run.ended) for run in ended if run.task == task and run.outcome == "committed"), None)


def _holder_fields(holder: Holder | None) -> dict[str, Any] | None:
    if holder is None:
        return None
    return {"pid": holder.pid, "since": _time(holder.since), "command": holder.command}


def _run_fields(run: RunSummary) -> dict[str, Any]:
    return {**asdict(run), "begun": _time(run.begun), "ended": _time(run.ended)}


def _time(moment: Any) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def as_text(found: Status) -> str:
    """The status for people: a block a host."""
    return "\n\n".join("\n".join(_block(host)) for host in found.hosts) or "no host is configured, and none has runs"


def _block(host: HostStatus) -> list[str]:
    holder = host.holder
    lines = [f"{host.host}: " + ("idle" if holder is None else _holder_words(holder))]
    lines += [f"  running    {_run_words(run)}" for run in host.running]
    lines += [f"  resumable  {_run_words(run)}{_why(run)}" for run in host.resumable]
    lines += [f"  leftover   {_run_words(run)}{_why(run)}" for run in host.unfinished]
    for task in host.pending:
        last = f"last committed {_clock(task.last_committed)}" if task.last_committed else "nothing committed lately"
        lines.append(f"  pending    {task.task} ({task.dataset}), {last}")
    lines += [f"  {_clock(run['ended'])}  {run['outcome']:<9}  {_run_words(run)}{_why(run)}" for run in host.recent]
    return lines


def _holder_words(holder: dict[str, Any]) -> str:
    return f"process {holder['pid']} ({holder['command']}) since {_clock(holder['since'])} UTC"


def _run_words(run: dict[str, Any]) -> str:
    # A stream from standard input is noted as a whole, not part by part.
    stored = f", {run['parts']} parts, {human_bytes(run['sealed_bytes'])}" if run["parts"] else ""
    task = f", task {run['task']}" if run["task"] else ""
    return f"{run['dataset']}@{run['snapshot']}  level {run['level']}{stored}{task}, id {run['id']}"


def _why(run: dict[str, Any]) -> str:
    return f": {run['error']}" if run["error"] else ""


def _clock(text: str | None) -> str:
    return (text or "").replace("T", " ").rstrip("Z")
