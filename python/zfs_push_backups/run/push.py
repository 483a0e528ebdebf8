"""Push: a queue of tasks, each of one or more datasets; what fails is reported and doesn't stop the others.

Invariants: the host is locked and the run state open before anything is looked at, and nothing of both is touched in a
dry run; after a stop nothing new begins; finished datasets stay done. One failure alone ends with its own error and
exit code, several tasks or datasets with a failure among them end with `SomeTasksFailed` (3).
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from zfs_push_backups import engine
from zfs_push_backups.config.choice import choose_tasks, required_recipients
from zfs_push_backups.config.fields import check_source
from zfs_push_backups.config.models import SnapshotRule, Task
from zfs_push_backups.errors import Cancelled, SomeTasksFailed, UsageError, ZfsPushBackupsError
from zfs_push_backups.report.failures import describe
from zfs_push_backups.report.progress import human_bytes
from zfs_push_backups.run.hooks import run_hook
from zfs_push_backups.run.ledger import ledger_of
from zfs_push_backups.run.push_stdin import push_stdin
from zfs_push_backups.run.push_task import Destination, TaskPush
from zfs_push_backups.run.results import PushResult, PushSummary
from zfs_push_backups.run.session import own_source
from zfs_push_backups.run.state import look_at_catalogue
from zfs_push_backups.run.store import StoreView
from zfs_push_backups.zfs.names import check_dataset

if TYPE_CHECKING:
    from zfs_push_backups.catalogue.records import SavedRun
    from zfs_push_backups.config.models import Config, Hook, Host
    from zfs_push_backups.run.options import PushOptions
    from zfs_push_backups.run.session import Session
    from zfs_push_backups.run.shutdown import Shutdown

log = logging.getLogger(__name__)


def push(options: PushOptions, session: Session) -> PushSummary:
    """Run the pushes that the options mean. Raises the error of a sole failure, `SomeTasksFailed` or `Cancelled`."""
    refuse_contradictions(options)
    config = session.configuration(options)
    host = session.host(config, options)
    recipients = tuple(engine.check_recipients(list(required_recipients(config, options.recipients))))
    tasks = () if options.stdin is not None else wanted_tasks(options, config, host)
    destination = Destination(
        config=config,
        store=StoreView(session, host),
        host=host,
        recipients=recipients,
        source=own_source(options.source, config),
        memory_budget=config.memory_budget,
        limit_upload=options.limit_upload or host.limit_upload,
    )
    for task in tasks:
        session.stop.note(task.root, "pending")
    if options.dry_run:
        return run_queue(options, session, replace(destination, foreseen=saved_runs(destination)), tasks)
    with ledger_of(
        session, config, destination.store, destination.source, command="push", wait_seconds=options.wait_seconds
    ) as ledger:
        ledger.tasks = tasks
        return run_queue(options, session, replace(destination, ledger=ledger), tasks)


def run_queue(options: PushOptions, session: Session, destination: Destination, tasks: tuple[Task, ...]) -> PushSummary:
    """Run the stream on standard input, or one task after the other."""
    queue = Queue(options, session, destination)
    if options.stdin is not None:
        queue.run_stdin()
    queue.several = len(tasks) > 1 or any(task.recursive for task in tasks)
    for task in tasks:
        queue.run_task(task)
    if destination.ledger is not None:
        destination.ledger.end()
    return queue.finish()


def saved_runs(destination: Destination) -> tuple[SavedRun, ...]:
    """The unfinished runs of this host, for a dry run."""
    catalogue = look_at_catalogue(destination.config)
    if catalogue is None:
        return ()
    with catalogue:
        found = (catalogue.runs.find(run.id) for run in catalogue.runs.open_runs(destination.host.name))
        return tuple(run for run in found if run is not None and run.source == destination.source)


class Queue:
    """The tasks of one push, in order, and what became of them."""

    def __init__(self, options: PushOptions, session: Session, destination: Destination) -> None:
        self.options = options
        self.session = session
        self.destination = destination
        self.results: list[PushResult] = []
        self.errors: list[ZfsPushBackupsError] = []
        self.several = False

    def run_stdin(self) -> None:
        """Push the stream on standard input: a run of one."""
        self.done(push_stdin(self.options, self.session, self.destination))

    def run_task(self, task: Task) -> None:
        """Run one task between its hooks."""
        self.session.stop.check()
        before, ended = len(self.errors), False
        try:
            if not self.options.dry_run:
                self.hooks(task, task.hooks.before, "starting", self.session.stop)
            work = TaskPush(task, self.options, self.session, self.destination)
            for attempt in work.attempts():
                self.session.stop.check()
                try:
                    self.done(attempt.run())
                except Cancelled:
                    raise
                except ZfsPushBackupsError as error:
                    self.failed(error, task, attempt.dataset)
            ended = True
        except Cancelled:
            raise
        except ZfsPushBackupsError as error:
            self.failed(error, task, task.root)
        finally:
            # Whatever leaves this early, also what nobody expected, is no success in the eyes of an `after` hook.
            if not self.options.dry_run:
                self.after(task, ok=ended and len(self.errors) == before)

    def after(self, task: Task, *, ok: bool) -> None:
        """Run the hooks behind a task; their failure fails the task unless they say otherwise."""
        status, stop = "ok" if ok else "failed", self.session.stop
        if stop.requested:
            # As a cleanup with its deadline: the stop that they follow must not end them.
            stop.push(f"what comes after task {task.name}", partial(self.after_stop, task, status))()
            return
        try:
            self.hooks(task, task.hooks.after, status, stop)
        except Cancelled:
            raise
        except ZfsPushBackupsError as error:
            self.failed(error, task, task.root)

    def after_stop(self, task: Task, status: str) -> None:
        """Run the hooks behind a task after a stop; what fails is a warning, as the run ends by its signal."""
        try:
            self.hooks(task, task.hooks.after, status, None)
        except ZfsPushBackupsError as error:
            log.warning("%s", error.message)

    def hooks(self, task: Task, hooks: tuple[Hook, ...], status: str, stop: Shutdown | None) -> None:
        """Run hooks in order, or until `stop`; one that may fail only leaves a warning."""
        variables = {
            "ZPB_TASK": task.name,
            "ZPB_DATASET": task.root,
            "ZPB_HOST": self.destination.host.name,
            "ZPB_STATUS": status,
        }
        for hook in hooks:
            try:
                run_hook(hook.command, variables, stop)
            except Cancelled:
                raise
            except ZfsPushBackupsError as error:
                if hook.on_error == "fail":
                    raise
                log.warning("%s", error.message)

    def done(self, result: PushResult) -> None:
        """Note and report one dataset that is done."""
        self.results.append(result)
        self.session.stop.note(result.dataset, "finished")
        self.session.reporter.step(line_of(result), dataset=result.dataset)
        self.session.reporter.result(result.as_dict())

    def failed(self, error: ZfsPushBackupsError, task: Task, dataset: str) -> None:
        """Note and report one failure; the queue goes on."""
        name = None if self.options.dataset else task.name
        result = PushResult(task=name, dataset=dataset, status="failed", error=describe(error))
        self.results.append(result)
        self.errors.append(error)
        self.session.stop.note(dataset, "failed")
        self.session.reporter.result(result.as_dict())
        # A sole failure is the command's own error line; of several each is told as it happens.
        log.log(logging.ERROR if self.several else logging.DEBUG, "%s: %s", dataset, error)

    def finish(self) -> PushSummary:
        """Sum up; raises when something failed."""
        if len(self.errors) == 1 and len(self.results) == 1:
            raise self.errors[0]
        if self.errors:
            for error in self.errors if not self.several else ():
                log.error("%s", error)
            failed = ", ".join(sorted({result.dataset for result in self.results if result.status == "failed"}))
            raise SomeTasksFailed(
                f"{len(self.errors)} of {len(self.results)} pushes failed: {failed}",
                hint="the lines above say why; the others are done, run again for these",
            )
        return PushSummary(
            host=self.destination.host.name,
            source=self.destination.source,
            results=tuple(self.results),
            requests=dict(self.destination.store.requests),
        )


def wanted_tasks(options: PushOptions, config: Config, host: Host) -> tuple[Task, ...]:
    """The tasks of the configuration, or one made up for --dataset."""
    if options.dataset is None:
        return choose_tasks(config, host, options.tasks)
    pool, _, rest = check_dataset(options.dataset).partition("/")
    task = Task(
        name=options.dataset,
        pool=pool,
        dataset=rest,
        recursive=options.recursive,
        include=options.include,
        exclude=options.exclude,
        raw=options.raw,
        snapshot=SnapshotRule(create=options.create),
    )
    return (task,)


def refuse_contradictions(options: PushOptions) -> None:
    """Refuse options that don't go together, before anything is looked at."""
    if options.dataset and options.tasks:
        raise UsageError("--task and --dataset contradict each other", hint="name one of them")
    if options.source is not None:
        try:
            check_source(options.source)
        except ValueError as error:
            raise UsageError(f"--source: {error}") from None
    if options.stdin is not None and (options.dataset or options.tasks or options.snapshot or options.create):
        raise UsageError(
            "--stdin names dataset and snapshot itself", hint="leave out --task, --dataset, --snapshot, --create"
        )
    if options.create and options.snapshot:
        raise UsageError("--create and --snapshot contradict each other", hint="name one of them")
    needs_dataset = {"--recursive": options.recursive, "--create": options.create, "--raw": options.raw is not None}
    needs_dataset |= {"--exclude": bool(options.exclude), "--include": bool(options.include)}
    for name, given in needs_dataset.items():
        if given and not options.dataset:
            raise UsageError(f"{name} goes with --dataset only", hint="a task says it in the configuration")
    if (options.exclude or options.include) and not options.recursive:
        raise UsageError("--include and --exclude go with --recursive only")


def line_of(result: PushResult) -> str:
    """One line for people."""
    name = f"{result.dataset}@{result.snapshot}" if result.snapshot else result.dataset
    on = f" on {result.base}" if result.base else ""
    if result.status == "up_to_date":
        return f"{name}: {'; '.join(result.reasons) or 'up to date'}"
    if result.status == "planned":
        size = "size unknown" if result.estimated_bytes is None else f"about {human_bytes(result.estimated_bytes)}"
        because = f" ({'; '.join(result.reasons)})" if result.reasons else ""
        requests = ", ".join(f"{count} {kind}" for kind, count in result.requests.items() if count) or "none"
        return f"would send {name}: level {result.level}{on}, {size}{because}; requests made: {requests}"
    stored = human_bytes(result.sealed_bytes or 0)
    return f"{name}: level {result.level}{on} committed, {stored} in {result.parts} parts, {result.seconds:.1f} s"
