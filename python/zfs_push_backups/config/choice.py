"""Which host and which tasks a command means.

Invariants: nothing is guessed: a name that is unknown, disabled or not for this host is refused with the nearest one
and all that exist. Errors are about what was typed, hence UsageError; only a file that offers no choice is at fault.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from zfs_push_backups.config.fields import check_url, looks_like_machine
from zfs_push_backups.config.models import Config, Host, Task
from zfs_push_backups.config.problems import MACHINE_HINT
from zfs_push_backups.config.zrb import ZRB_HOST
from zfs_push_backups.errors import ConfigurationError, UsageError
from zfs_push_backups.names import instead


def choose_host(config: Config, wanted: str | None, *, endpoint: str | None = None, region: str | None = None) -> Host:
    """The host `wanted`: a name, a URL, or None for the sole host or the one called `default`.

    `endpoint` and `region` replace the host's own. Raises UsageError or ConfigurationError.
    """
    host = _host(config, wanted, endpoint)
    changes = {key: value for key, value in (("endpoint", endpoint), ("region", region)) if value is not None}
    if not changes:
        return host
    try:
        return Host.model_validate({**dict(host), **changes})
    except ValidationError as error:
        raise _refused("--endpoint or --region", error) from None


def _host(config: Config, wanted: str | None, endpoint: str | None) -> Host:
    hosts = {host.name: host for host in config.hosts}
    if wanted is None:
        return _only_host(config, hosts)
    if wanted in hosts:
        return hosts[wanted]
    if "://" in wanted:
        return _host_at(config, wanted, endpoint)
    if looks_like_machine(wanted):
        raise UsageError(f"unknown host {wanted!r}", hint=MACHINE_HINT.format(name=wanted))
    raise UsageError(f"unknown host {wanted!r}", hint=instead(wanted, hosts, "hosts"))


def _only_host(config: Config, hosts: dict[str, Host]) -> Host:
    if len(hosts) == 1:
        return next(iter(hosts.values()))
    if ZRB_HOST in hosts:
        return hosts[ZRB_HOST]
    if hosts:
        raise UsageError("which host? there are several", hint=f"say --host with one of: {', '.join(sorted(hosts))}")
    where = f"{config.path} names no host" if config.path else "there is no configuration that names a host"
    raise ConfigurationError(where, hint="add one under `hosts:`, or say --host s3://bucket/prefix")


def _host_at(config: Config, url: str, endpoint: str | None) -> Host:
    """The configured host with this URL, so that its settings count; else a host of this URL and defaults.

    The same bucket's name at another endpoint is another store, which credentials and classes aren't meant for.
    """
    try:
        plain = check_url(url)
    except ValueError as error:
        raise UsageError(f"--host: {error}") from None
    try:
        made = Host.model_validate({"name": plain, "url": plain, "endpoint": endpoint})
    except ValidationError as error:
        raise _refused("--endpoint", error) from None
    here = [host for host in config.hosts if host.url == plain]
    if endpoint is not None:
        here = [host for host in here if host.endpoint == made.endpoint]
    if len(here) > 1:
        names = ", ".join(host.name for host in here)
        raise UsageError(f"which host? several have the URL {plain}", hint=f"say --host with one of: {names}")
    return here[0] if here else made


def choose_tasks(config: Config, host: Host, wanted: Sequence[str] = ()) -> tuple[Task, ...]:
    """The enabled tasks for `host`, in the order of the file, or exactly those `wanted` by name.

    Raises UsageError for a name that is unknown, disabled or not for this host, ConfigurationError if nothing is left.
    """
    tasks = {task.name: task for task in config.tasks}
    for name in wanted:
        _check_named(name, tasks, host)
    chosen = tuple(
        task for task in config.tasks if (task.name in wanted if wanted else task.enabled and for_host(task, host))
    )
    if not chosen:
        where = str(config.path) if config.path else "the configuration"
        why = f"no enabled task for the host {host.name!r}" if config.tasks else "no task"
        raise ConfigurationError(f"{where} has {why}", hint="add one under `tasks:`, or enable one")
    return chosen


def for_host(task: Task, host: Host) -> bool:
    """Whether the task goes to this host; without `hosts` it goes to every one."""
    return task.hosts is None or host.name in task.hosts


def _check_named(name: str, tasks: dict[str, Task], host: Host) -> None:
    task = tasks.get(name)
    if task is None:
        raise UsageError(f"unknown task {name!r}", hint=instead(name, tasks, "tasks"))
    if not task.enabled:
        raise UsageError(f"the task {name!r} is disabled", hint="set `enabled: true` in the configuration to run it")
    if not for_host(task, host):
        own = ", ".join(task.hosts or ())
        raise UsageError(f"the task {name!r} is not for the host {host.name!r}", hint=f"its hosts are: {own}")


def required_recipients(config: Config, given: Sequence[str] = ()) -> tuple[str, ...]:
    """The recipients of a push: those given on the command line, else the file's. Raises if there are none."""
    recipients = tuple(given) or config.recipients
    if not recipients:
        where = f"{config.path} names no recipient" if config.path else "no recipient is given"
        raise ConfigurationError(
            f"{where}, and nothing is ever stored unencrypted",
            hint="run `zfs-push-backups keygen`, then write its public key under `recipients:` or say --recipient",
        )
    return recipients


def _refused(what: str, error: ValidationError) -> UsageError:
    reasons = [str(finding.get("ctx", {}).get("error", finding["msg"])) for finding in error.errors()]
    return UsageError(f"{what}: {'; '.join(reasons)}")
