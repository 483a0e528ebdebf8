"""The configuration's shape: what may stand in the file, and what the rest of the package gets.

Invariants: frozen and strict (no silent conversion: `yes` is text, "5" is no number); unknown keys are refused.
Defaults are the documented ones and live only here. `hosts` of a task None means every host.
Rationale: `FileModel` is the file as written, ZRB's keys included; `Config` is what it means (see zrb.py, load.py).
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from zfs_push_backups.config import fields
from zfs_push_backups.config.fields import empty_is_none, nothing_is_empty_list, nothing_is_empty_mapping, one_or_list
from zfs_push_backups.names import LONGEST_NAME_BYTES

Checksum = Literal["auto", "crc64nvme", "crc32c", "sha256", "md5", "none"]
PayloadSigning = Literal["auto", "always", "never"]
Compression = Literal["none", "zstd"]
DEFAULT_BASE_DIR = Path("/var/lib/zfs-push-backups")
DEFAULT_TEMPLATE = "zfs-push-backups_%Y-%m-%d_%H:%M:%S"
_ZERO_OR_MORE = Annotated[int, Field(ge=0)]
_ONE_OR_MORE = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    # Deferred: a section's own validator is hardly ever used, as the file's holds them all, and takes longest at start.
    # For the same reason what is valid already, such as a section of defaults, is made by `model_construct`.
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class StorageClasses(_Section):
    """Storage classes of the manifests and, by level, of the parts; absent: the store's default."""

    manifest: Annotated[fields.ManifestClass | None, BeforeValidator(empty_is_none)] = None
    backup_data: Annotated[tuple[fields.StorageClass, ...], BeforeValidator(one_or_list)] = ()

    def for_level(self, level: int) -> str | None:
        """The class of the parts of a backup of `level`: the last one named holds for all above it."""
        return self.backup_data[min(level, len(self.backup_data) - 1)] if self.backup_data else None


class HostSettings(_Section):
    """A host's entry in the file."""

    url: fields.StoreUrl
    endpoint: Annotated[fields.Endpoint | None, BeforeValidator(empty_is_none)] = None
    region: Annotated[str | None, BeforeValidator(empty_is_none)] = None
    storage_class: StorageClasses = StorageClasses.model_construct()
    part_size: Annotated[fields.PartSize | None, BeforeValidator(lambda v: None if v == "auto" else v)] = None
    checksum: Checksum = "auto"
    payload_signing: PayloadSigning = "auto"
    path_style: bool | None = None
    limit_upload: fields.Rate | None = None
    stall_timeout: fields.StallTimeout = timedelta(seconds=60)
    retry_timeout: fields.RetryTimeout = timedelta(minutes=5)
    credentials_file: fields.AbsolutePath | None = None
    profile: fields.Label | None = None


class Host(HostSettings):
    """A destination. `name` is the key in the file, or the URL of a host that stands on the command line only.

    `part_size` in bytes, None = auto; `limit_upload` in bytes a second.
    """

    name: str


class SnapshotRule(_Section):
    """Which snapshot a task sends: `match` are patterns of names (any may match); `create` takes one before."""

    match: Annotated[tuple[fields.Pattern, ...], BeforeValidator(one_or_list), Field(min_length=1)] = ("*",)
    create: bool = False
    name: fields.SnapshotTemplate = DEFAULT_TEMPLATE
    max_age: fields.Duration | None = timedelta(hours=48)


class Hook(_Section):
    """One command, run without a shell. `on_error: fail` before a task skips the task; after it, fails it."""

    command: Annotated[tuple[str, ...], Field(min_length=1)]
    on_error: Literal["fail", "continue"] = "fail"


def _hook(value: object) -> object:
    if isinstance(value, str):
        words = ", ".join(value.split()[:4])
        raise ValueError(f"found text; allowed: a list of words, without a shell, such as [{words}]")  # noqa: TRY004
    return {"command": value} if isinstance(value, tuple) else value


_Hooks = Annotated[tuple[Annotated[Hook, BeforeValidator(_hook)], ...], BeforeValidator(nothing_is_empty_list)]


class Hooks(_Section):
    """Commands around a task, in order."""

    before: _Hooks = ()
    after: _Hooks = ()


class Task(_Section):
    """A dataset, or a tree of datasets, to back up. `raw` None: not said, which encrypted datasets refuse."""

    name: fields.Label
    description: str = ""
    pool: fields.PoolName
    dataset: fields.RelativeDataset = ""
    enabled: bool = True
    hosts: Annotated[tuple[fields.Label, ...], BeforeValidator(one_or_list), Field(min_length=1)] | None = None
    snapshot: SnapshotRule = SnapshotRule.model_construct()
    recursive: bool = False
    include: Annotated[tuple[fields.Pattern, ...], BeforeValidator(one_or_list)] = ()
    exclude: Annotated[tuple[fields.Pattern, ...], BeforeValidator(one_or_list)] = ()
    raw: bool | None = None
    full_every: fields.Duration | None = None
    max_chain: _ONE_OR_MORE | None = None
    hooks: Hooks = Hooks.model_construct()
    compression: Compression = "none"

    @property
    def root(self) -> str:
        """The dataset's whole name: `tank/important`, or the pool's root dataset."""
        return f"{self.pool}/{self.dataset}" if self.dataset else self.pool

    @model_validator(mode="after")
    def _sensible(self) -> Task:
        if len(self.root) > LONGEST_NAME_BYTES:
            raise ValueError(f"pool and dataset have {len(self.root)} bytes together; allowed: at most 255")
        if (self.include or self.exclude) and not self.recursive:
            raise ValueError("found include or exclude without `recursive: true`; allowed: both, or neither")
        return self


class ZrbRetry(_Section):
    """ZRB's retry section. Accepted so that its file loads; retries here belong to the store's own client."""

    max_attempts: _ZERO_OR_MORE | None = None


class ZrbS3(_Section):
    """ZRB's `s3` section: the host `default`."""

    enabled: bool
    bucket: str = ""
    prefix: str = ""
    region: Annotated[str | None, BeforeValidator(empty_is_none)] = None
    endpoint: Annotated[fields.Endpoint | None, BeforeValidator(empty_is_none)] = None
    storage_class: StorageClasses = StorageClasses.model_construct()
    retry: ZrbRetry = ZrbRetry.model_construct()

    @model_validator(mode="after")
    def _complete(self) -> ZrbS3:
        if self.enabled:
            try:
                fields.check_url(self.url)
            except ValueError:
                found = f"bucket {fields.show(self.bucket)} with prefix {fields.show(self.prefix)}"
                raise ValueError(f"found {found}; allowed: a bucket's name, and a prefix such as zfs/nas") from None
        return self

    @property
    def url(self) -> str:
        """`s3://bucket/prefix`, of an enabled section."""
        prefix = self.prefix.strip("/")
        return f"s3://{self.bucket}/{prefix}" if prefix else f"s3://{self.bucket}"


class Common(_Section):
    """The keys that the file and what it means have in common."""

    base_dir: fields.AbsolutePath = DEFAULT_BASE_DIR
    source: fields.SourceName | None = None
    lock_dir: fields.AbsolutePath | None = None
    shutdown_timeout: fields.Seconds = timedelta(seconds=30)
    source_stall_timeout: fields.Duration | None = None
    memory_budget: fields.MemoryBudget = 256 * 1024**2
    identity: Annotated[tuple[fields.AbsolutePath, ...], BeforeValidator(one_or_list)] = ()


class FileModel(Common):
    """The file as written."""

    recipients: Annotated[tuple[fields.Recipient, ...], BeforeValidator(one_or_list), Field(min_length=1)] | None = None
    age_public_key: fields.Recipient | None = None
    hosts: Annotated[
        dict[fields.Label, Annotated[HostSettings, BeforeValidator(nothing_is_empty_mapping)]],
        BeforeValidator(nothing_is_empty_mapping),
    ] = Field(default_factory=dict)
    s3: ZrbS3 | None = None
    tasks: Annotated[tuple[Task, ...], BeforeValidator(nothing_is_empty_list)] = ()


class Config(Common):
    """What the file means. `Config()` is the configuration of a machine without one.

    `warnings` are lines for the log: usable, but worth a look. `path` is None without a file.
    """

    path: Path | None = None
    recipients: tuple[str, ...] = ()
    hosts: tuple[Host, ...] = ()
    tasks: tuple[Task, ...] = ()
    warnings: tuple[str, ...] = ()
