"""Datasets: what lies below a root, and what must be known of each before it is sent.

Invariant: only `zfs get -Hp` in forms that zfs-fuse understands too; a property that this zfs doesn't know is absent,
not an error. Property values may hold tabs and newlines, so lines are told apart by the dataset's name.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from zfs_push_backups.errors import ConfigurationError, UsageError, ZfsError
from zfs_push_backups.record import Record
from zfs_push_backups.zfs.command import failure, without_names
from zfs_push_backups.zfs.names import check_dataset, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zfs_push_backups.zfs.command import ZfsCommand


_FACTS: Final = ("type", "guid", "encryption", "used", "referenced")


class Property(Record):
    """One property's value, and where it was set: `local`, `received`, `default`, `-` or `inherited from ...`."""

    value: str
    source: str


class Dataset(Record):
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
    said = without_names(err)
    if "does not exist" in said or "invalid" in said:
        return False
    raise failure(("list", name), err, status)


def describe(zfs: ZfsCommand, name: str) -> Dataset:
    """Everything a push needs to know of one dataset."""
    check_dataset(name)
    try:
        entries = parse_entries(zfs.run("get", "-Hp", "all", name), name)
    except ZfsError as error:
        raise not_found(zfs, name, error) from error
    facts = {key: _fact(zfs, name, key, entries) for key in _FACTS}
    return Dataset(
        name=name,
        type=facts["type"] or "filesystem",
        guid=facts["guid"] if facts["guid"].isdigit() else None,
        encrypted=facts["encryption"] not in ("off", "-", ""),
        used=_size(facts["used"]),
        referenced=_size(facts["referenced"]),
        properties={key: found for key, found in entries if found.source in ("local", "received")},
    )


def guid_of(zfs: ZfsCommand, name: str) -> str | None:
    """A dataset's guid, None where it isn't there or has none. Raises `ZfsError` when zfs can't be asked."""
    arguments = ("get", "-Hp", "-o", "value", "guid", check_dataset(name))
    status, out, err = zfs.attempt(*arguments)
    if status == 0:
        return out.strip() if out.strip().isdigit() else None
    error = failure(arguments, err, status)
    if error.code != "zfs.not_found":
        raise error
    return None


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
    """The output of `zfs get -Hp ... name`, by property."""
    return dict(parse_entries(out, name))


def parse_entries(out: str, name: str) -> list[tuple[str, Property]]:
    """The same, as it stands there: a line that doesn't begin with the name continues the value before it.

    A value may hold lines that look like another property's, which then is there twice.
    """
    entries: list[str] = []
    for line in out.split("\n"):
        if line.startswith(name + "\t"):
            entries.append(line[len(name) + 1 :])
        elif entries:
            entries[-1] += "\n" + line
    found = []
    for entry in entries:
        key, _, rest = entry.rstrip("\n").partition("\t")
        value, _, source = rest.rpartition("\t")
        found.append((key, Property(value, source)))
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


def _fact(zfs: ZfsCommand, name: str, key: str, entries: Sequence[tuple[str, Property]]) -> str:
    """The value of a property that decides something; empty where this zfs doesn't know it.

    It is asked for by itself where it stands twice, because another property's value forges it, and where it isn't
    among all, as the guid of zfs-fuse.
    """
    values = [found.value for known, found in entries if known == key]
    if len(values) == 1:
        return values[0]
    if not values and key != "guid":
        return ""
    found = parse_get(zfs.run("get", "-Hp", key, name), name).get(key)
    return found.value if found else ""


def _size(value: str) -> int:
    return int(value) if value.isdigit() else 0
