"""Check: one finding a line, each ok, warn or fail and what to do; nothing stops at the first one.

Invariants: only small probe objects are written, and with `write` False none; what can't be looked at is a finding.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from zfs_push_backups import engine
from zfs_push_backups.config.choice import for_host, required_recipients
from zfs_push_backups.config.quantities import format_duration, parse_duration
from zfs_push_backups.errors import Cancelled, ConfigurationError, UsageError, ZfsPushBackupsError
from zfs_push_backups.plan.freshness import CLOCKS_DIFFER, freshness
from zfs_push_backups.plan.tree import expand
from zfs_push_backups.run.results import CheckReport, Finding
from zfs_push_backups.run.session import own_source
from zfs_push_backups.run.store import StoreView
from zfs_push_backups.zfs import datasets

if TYPE_CHECKING:
    from collections.abc import Callable

    from zfs_push_backups.config.models import Config, Host, Task
    from zfs_push_backups.run.options import CheckOptions
    from zfs_push_backups.run.session import Session

Level = Literal["ok", "warn", "fail"]
MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def check(options: CheckOptions, session: Session) -> CheckReport:
    """Look at everything that a push will need. Raises only for a wrong command line or a stop."""
    max_age = span(options.max_age)
    inspection = Inspection(options, session)
    try:
        config = session.configuration(options)
    except ConfigurationError as error:
        for problem in error.problems:
            inspection.add("fail", "configuration", problem, error.hint)
        return inspection.report(None)
    where = str(config.path) if config.path else "none: everything comes from the command line"
    inspection.add("ok", "configuration", where)
    every = options.host is None and len(config.hosts) > 1
    if every and (options.endpoint is not None or options.region is not None):
        raise UsageError("--endpoint and --region go with one host", hint="say --host as well")
    hosts = config.hosts if every else (session.host(config, options),)
    inspection.attempt("recipients", partial(inspection.recipients, config))
    if config.identity:
        inspection.attempt("identity", partial(inspection.identities, config, hosts[0]))
    inspection.attempt("zfs", inspection.zfs)
    for task in (task for task in config.tasks if task.enabled):
        inspection.attempt(f"task {task.name}", partial(inspection.task, task))
    for host in hosts:
        inspection.attempt(f"host {host.name}", partial(inspection.host, config, host, max_age))
    return inspection.report(hosts[0].name if len(hosts) == 1 else None)


class Inspection:
    """Collects findings."""

    def __init__(self, options: CheckOptions, session: Session) -> None:
        self.options = options
        self.session = session
        self.findings: list[Finding] = []
        self.trees: dict[str, tuple[str, ...]] = {}

    def add(self, level: Level, name: str, detail: str, advice: str = "") -> None:
        """Note one finding."""
        self.findings.append(Finding(level=level, name=name, detail=detail, advice=advice))

    def attempt(self, name: str, look: Callable[[], None]) -> None:
        """Look at one thing; an expected failure is a finding."""
        self.session.stop.check()
        try:
            look()
        except (Cancelled, UsageError):
            raise
        except ZfsPushBackupsError as error:
            self.add("fail", name, error.message, error.hint)

    def report(self, host: str | None) -> CheckReport:
        """All findings."""
        return CheckReport(host=host, findings=tuple(self.findings))

    def recipients(self, config: Config) -> None:
        """Whether there is a recipient, and each can be parsed."""
        both = (*config.recipients, *self.options.recipients)
        found = engine.check_recipients(list(required_recipients(config, tuple(dict.fromkeys(both)))))
        self.add("ok", "recipients", f"{len(found)}: {', '.join(found)}")

    def identities(self, config: Config, host: Host) -> None:
        """Whether the configured identity files can be read."""
        files = [str(path) for path in config.identity]
        StoreView(self.session, host).call({"preflight": {"keys": [], "identity_files": files}})
        self.add("ok", "identity", ", ".join(files))

    def zfs(self) -> None:
        """Whether there is a zfs that answers."""
        capabilities = self.session.capabilities
        self.session.zfs.run("list", "-H", "-o", "name", "-d", "0")
        raw = "raw sends" if capabilities.send_raw else "no raw sends"
        self.add("ok", "zfs", f"{self.session.zfs.program}, {capabilities.userland}, {raw}")

    def task(self, task: Task) -> None:
        """Whether the task's datasets exist and could be sent."""
        names: tuple[str, ...] = (task.root,)
        if task.recursive:
            existing = datasets.list_tree(self.session.zfs, task.root)
            tree = expand(task.root, existing, task.include, task.exclude)
            names = tree.datasets
            for pattern in tree.unmatched:
                self.add(
                    "warn", f"task {task.name}", f"the pattern {pattern!r} matches no dataset", "correct or drop it"
                )
        for name in names:
            facts = datasets.describe(self.session.zfs, name)
            datasets.raw_choice(facts, task.raw, can_raw=self.session.capabilities.send_raw)
        self.trees[task.name] = names
        self.add("ok", f"task {task.name}", f"{len(names)} dataset{'s' * (len(names) != 1)} from {task.root}")

    def host(self, config: Config, host: Host, max_age: timedelta | None) -> None:
        """Probe the store, then look how fresh it is."""
        store = StoreView(self.session, host)
        classes = dict.fromkeys((host.storage_class.manifest, *host.storage_class.backup_data))
        wanted = [name for name in classes if name]
        found = store.probe(write=self.options.write, storage_classes=wanted)
        for entry in found["checks"]:
            self.add(level_of(entry), f"host {host.name}: {entry['name']}", entry["detail"], entry.get("advice") or "")
        if max_age is not None:
            self.freshness(config, host, store, max_age)

    def freshness(self, config: Config, host: Host, store: StoreView, max_age: timedelta) -> None:
        """Compare the newest backup of every task's dataset with the age allowed."""
        source = own_source(None, config)
        names = [name for task in config.tasks if task.enabled and for_host(task, host) for name in self.names_of(task)]
        if not names:
            self.add(
                "warn", f"host {host.name}: freshness", "no task goes to this host", "add one, or leave --max-age out"
            )
            return
        for state in freshness(store.backups(source), names, max_age, self.session.now()):
            age = age_of(state.age)
            advice = "" if state.fresh else f"allowed: {self.options.max_age}; look at the log of the last run"
            self.add("ok" if state.fresh else "fail", f"host {host.name}: {state.dataset}", age, advice)

    def names_of(self, task: Task) -> tuple[str, ...]:
        """The datasets of a task, or its root where zfs couldn't be asked."""
        return self.trees.get(task.name, (task.root,))


def level_of(entry: dict[str, Any]) -> Level:
    """An engine's check as a level: `ok` None means it couldn't be known."""
    if entry["ok"] is None:
        return "warn"
    return "ok" if entry["ok"] else "fail"


def age_of(age: timedelta | None) -> str:
    """An age for people."""
    if age is None:
        return "no backup at all"
    shown = format_duration(timedelta(minutes=int(abs(age).total_seconds() // 60)))
    if age < -CLOCKS_DIFFER:
        return f"its only backups are dated {shown} in the future, so a clock was or is wrong"
    return f"newest backup {shown} old"


def span(text: str | None) -> timedelta | None:
    """`26h` as a time span."""
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--max-age: {error}") from None


def as_text(report: CheckReport) -> str:
    """The findings for people, then the verdict."""
    lines = []
    for finding in report.findings:
        lines.append(f"{MARKS[finding.level]}  {finding.name}: {finding.detail}")
        if finding.advice and finding.level != "ok":
            lines.append(f"      -> {finding.advice}")
    failed = sum(finding.level == "fail" for finding in report.findings)
    warned = sum(finding.level == "warn" for finding in report.findings)
    lines.append(f"{failed} failed, {warned} to look at" if failed or warned else "all well")
    return "\n".join(lines)
