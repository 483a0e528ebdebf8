"""Datasets: what lies below a root, and what must be known of each before it is sent.

Invariant: only `zfs get -Hp` in forms that zfs-fuse understands too; a property that this zfs doesn't know is absent,
not an error. Property values may hold tabs and newlines, so lines are told apart by the dataset's name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zfs_push_backups.errors import ConfigurationError, UsageError, ZfsError
from zfs_push_backups.zfs.command import failure
from zfs_push_backups.zfs.names import check_dataset, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zfs_push_backups.zfs.command import ZfsCommand


@dataclass(frozen=True)
class Property:
    """One property's value, and where it was set: `local`, `received`, `default`, `-` or `inherited from ...`."""

    value: str
    source: str


@dataclass(frozen=True)
class Dataset:
    """A filesystem or volume. Sizes in bytes; `properties` holds the local and received ones only."""

    name: str
    type: str
    guid: str | None
    encrypted: bool
    used: int
    referenced: int
    properties: dict[str, Property] = field(default_factory=dict)


def list_tree(zfs: ZfsCommand, root: str) -> list[str]:
    """The root and every filesystem and volume below it, parents first."""
    check_dataset(root)
    try:
        out = zfs.run("list", "-H", "-o", "name", "-t", "filesystem,volume", "-r", root)
    except ZfsError as error:
        raise not_found(zfs, root, error) from error
    return [line for line in out.split("\n") if line]


def list_all(zfs: ZfsCommand) -> list[str]:
    """Every filesystem and volume of this machine; empty when zfs can't say."""
    status, out, _ = zfs.attempt("list", "-H", "-o", "name", "-t", "filesystem,volume")
    return [line for line in out.split("\n") if line] if status == 0 else []


def exists(zfs: ZfsCommand, name: str) -> bool:
    """Whether a filesystem or volume of this name is there; raises `ZfsError` when zfs can't be asked."""
    status, out, err = zfs.attempt("list", "-H", "-o", "name", "-t", "filesystem,volume", check_dataset(name))
    if status == 0:
        return bool(out.strip())
    if "does not exist" in err or "invalid" in err:
        return False
    raise failure(("list", name), err, status)


def describe(zfs: ZfsCommand, name: str) -> Dataset:
    """Everything a push needs to know of one dataset."""
    check_dataset(name)
    try:
        everything = parse_get(zfs.run("get", "-Hp", "all", name), name)
    except ZfsError as error:
        raise not_found(zfs, name, error) from error
    # zfs-fuse has a guid, but not among all.
    guid = everything.get("guid") or parse_get(zfs.run("get", "-Hp", "guid", name), name).get("guid")
    encryption = everything.get("encryption")
    return Dataset(
        name=name,
        type=_value(everything, "type") or "filesystem",
        guid=guid.value if guid and guid.value.isdigit() else None,
        encrypted=encryption is not None and encryption.value not in ("off", "-", ""),
        used=_size(everything, "used"),
        referenced=_size(everything, "referenced"),
        properties={key: found for key, found in everything.items() if found.source in ("local", "received")},
    )


def guid_of(zfs: ZfsCommand, name: str) -> str | None:
    """A dataset's guid, None where it isn't there or zfs doesn't tell."""
    check_dataset(name)
    status, out, _ = zfs.attempt("get", "-Hp", "-o", "value", "guid", name)
    return out.strip() if status == 0 and out.strip().isdigit() else None


def raw_choice(dataset: Dataset, raw: bool | None, *, can_raw: bool) -> bool:
    """Whether to send raw. An encrypted dataset must say so itself: there is no default that is right for both."""
    if raw is None and dataset.encrypted:
        raise ConfigurationError(
            f"{dataset.name} is encrypted and nothing says whether to send it raw",
            hint="write `raw: true` (stays encrypted with its ZFS key, which you then need for a restore) "
            "or `raw: false` (decrypted by ZFS, sealed by age only) in the task",
            code="zfs.raw_unsaid",
        )
    if raw and not dataset.encrypted:
        return False
    if raw and not can_raw:
        raise ConfigurationError(f"{dataset.name}: `raw: true`, but this zfs has no `send -w`", code="zfs.no_raw")
    return bool(raw)


def set_property(zfs: ZfsCommand, name: str, key: str, value: str) -> None:
    """`zfs set` of one property."""
    zfs.run("set", f"{key}={value}", name)


def parse_get(out: str, name: str) -> dict[str, Property]:
    """The output of `zfs get -Hp ... name`: a line that doesn't begin with the name continues the value before it.

    Of two entries of one name the first counts: a user's property may hold lines that look like a native one's, and
    comes behind these.
    """
    entries: list[str] = []
    for line in out.split("\n"):
        if line.startswith(name + "\t"):
            entries.append(line[len(name) + 1 :])
        elif entries:
            entries[-1] += "\n" + line
    found: dict[str, Property] = {}
    for entry in entries:
        key, _, rest = entry.rstrip("\n").partition("\t")
        value, _, source = rest.rpartition("\t")
        found.setdefault(key, Property(value, source))
    return found


def not_found(zfs: ZfsCommand, name: str, error: ZfsError) -> ZfsError | UsageError:
    """Turns zfs's `does not exist` into a line with the nearest name that does; other errors pass through."""
    if error.code != "zfs.not_found":
        return error
    return unknown_dataset(name, list_all(zfs))


def unknown_dataset(name: str, existing: Sequence[str]) -> ZfsError:
    """The error for a dataset that isn't there, with the nearest name that is."""
    near = nearest(name, existing)
    hint = f"did you mean {near}?" if near else "`zfs list` shows what exists"
    return ZfsError(f"dataset {name} does not exist", hint=hint, code="zfs.not_found")


def _value(properties: dict[str, Property], key: str) -> str:
    found = properties.get(key)
    return found.value if found else ""


def _size(properties: dict[str, Property], key: str) -> int:
    value = _value(properties, key)
    return int(value) if value.isdigit() else 0
