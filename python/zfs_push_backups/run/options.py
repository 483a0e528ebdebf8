"""What the use cases are asked to do: one frozen record each, the same for commands and scripts.

Names are those of the command line. `config` None means the default file if there is one; sizes are bytes.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from zfs_push_backups.errors import UsageError
from zfs_push_backups.record import Record

# An empty one means AWS, whatever the configured host has.
_MAY_BE_EMPTY: Final = frozenset({"endpoint", "region"})


class HostOptions(Record, kw_only=True):
    """Which host, by configuration or ad hoc (`host` a URL). Raises UsageError for what is said and empty."""

    config: str | None = None
    host: str | None = None
    endpoint: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        """Refuse empty values: they come from a variable that isn't set, and would widen what was asked for."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in _MAY_BE_EMPTY and (value == "" or (isinstance(value, tuple) and "" in value)):
                raise UsageError(
                    f"{field.name.replace('_', ' ')}: found an empty value; allowed: something, or nothing at all",
                    hint="is a variable on the command line not set?",
                )


class PushOptions(HostOptions, kw_only=True):
    """A push. `level` None is `auto`; `stdin` is POOL/DATASET@SNAPSHOT, `stdin_fd` where its stream comes from.

    `wait_seconds` is how long to wait for another run on this host; None: not at all.
    """

    tasks: tuple[str, ...] = ()
    level: int | None = None
    snapshot: str | None = None
    dry_run: bool = False
    limit_upload: int | None = None
    dataset: str | None = None
    recipients: tuple[str, ...] = ()
    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    create: bool = False
    raw: bool | None = None
    stdin: str | None = None
    stdin_fd: int = 0
    source: str | None = None
    wait_seconds: float | None = None


class RestoreOptions(HostOptions, kw_only=True):
    """A restore: what (`task` or `dataset`; at most one of `snapshot`, `at`, `backup`, `group`), and where to."""

    task: str | None = None
    dataset: str | None = None
    source: str | None = None
    snapshot: str | None = None
    at: str | None = None
    backup: str | None = None
    group: str | None = None
    recursive: bool = False
    identities: tuple[str, ...] = ()
    to: str | None = None
    output: str | None = None
    force: bool = False
    mount: bool = False
    properties: bool = False
    mountpoints: bool = False
    dry_run: bool = False


class ListOptions(HostOptions, kw_only=True):
    """A listing, narrowed down to a source or dataset; `long` reads the manifests for names and sizes."""

    source: str | None = None
    dataset: str | None = None
    long: bool = False


class CheckOptions(HostOptions, kw_only=True):
    """A check. `max_age` as text (`26h`); `write` False leaves out what would write test objects."""

    recipients: tuple[str, ...] = ()
    max_age: str | None = None
    write: bool = True


class HoldsOptions(HostOptions, kw_only=True):
    """Holds of one host, or without `host` of all. For a release: snapshot `names`, or `every` one of them."""

    names: tuple[str, ...] = ()
    every: bool = False
    wait_seconds: float | None = None


class StatusOptions(HostOptions, kw_only=True):
    """A look at the run state; without a host at that of all. `limit` is how many ended runs to show of each."""

    limit: int = 10


class ForgetOptions(HostOptions, kw_only=True):
    """Which unfinished runs to forget: one by its `run_id`, those of a `task` or `dataset`, or the only one."""

    run_id: str | None = None
    task: str | None = None
    dataset: str | None = None
    source: str | None = None
    wait_seconds: float | None = None


class CleanupOptions(HostOptions, kw_only=True):
    """A sweep of what unfinished runs left; a dry run only shows it."""

    source: str | None = None
    dry_run: bool = False
    wait_seconds: float | None = None
