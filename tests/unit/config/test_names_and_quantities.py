"""ZFS names, sizes, durations, and the shape of the errors."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from zfs_push_backups import errors
from zfs_push_backups.config.quantities import format_duration, format_size, parse_duration, parse_size
from zfs_push_backups.config.schema import json_schema
from zfs_push_backups.names import check_dataset_name, check_pool_name, check_snapshot_name, instead


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20MiB", 20 * 2**20),
        ("5MB", 5_000_000),
        ("1.5GiB", 3 * 2**29),
        ("64k", 65536),
        ("7", 7),
        (7, 7),
        ("1 TB", 10**12),
    ],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.5", "0.3B", "5XB", "1e3", "9EiB", "9999999PiB", "5 M B", "٣MiB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: "):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "span"),
    [("90d", timedelta(90)), ("26h", timedelta(hours=26)), ("1d12h", timedelta(1.5)), ("0.5s", timedelta(seconds=0.5)),
     ("2w", timedelta(14)), ("15m", timedelta(minutes=15)), ("1h 30m", timedelta(hours=1.5))],
)  # fmt: skip
def test_durations(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1y", "101w53w1000000w", "1d-", "1 d"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: "):
        parse_duration(text)


def test_formats() -> None:
    assert [format_size(n) for n in (0, 1001, 1536 * 1024, 2**40)] == ["0B", "1001B", "1536KiB", "1TiB"]
    assert [format_duration(timedelta(seconds=n)) for n in (0, 90, 129600, 0.5)] == ["0s", "1m30s", "1d12h", "0.5s"]


@pytest.mark.parametrize("name", ["tank", "tank/a b/c:d_e.f-g", "t/" + "x" * 253, "tank/-odd"])
def test_good_datasets(name: str) -> None:
    assert check_dataset_name(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty component"),
        ("tank//x", "empty component"),
        ("tank/", "empty component"),
        ("-tank", "begins with '-'"),
        ("1tank", "begins with '1'"),
        ("tank/./x", "component '.'"),
        ("tank/..", "component '..'"),
        ("tank/ü", "contains 'ü'"),
        ("tank/a%b", "contains '%'"),
        ("tank/a\n", "contains '\\n'"),
        ("tank@x", "contains '@'"),
        ("t/" + "x" * 254, "256 bytes"),
        ("mirror", "reserved"),
        ("log", "reserved"),
    ],
)
def test_bad_datasets(name: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_dataset_name(name)
    assert why in str(caught.value)


def test_pools_and_snapshots() -> None:
    assert check_pool_name("logs") == "logs"
    assert check_snapshot_name("t/d@autosnap_2026-11-20_00:00:01_daily").endswith("daily")
    for bad in ("t/d", "t/d@", "t/d@a@b", "t/d@a/b", "t@" + "x" * 254):
        with pytest.raises(ValueError, match="snapshot"):
            check_snapshot_name(bad)


def test_a_hint_shows_at_most_ten_names() -> None:
    assert instead("x", [f"n{i:02}" for i in range(12)], "hosts").endswith("n09 and 2 more")
    assert instead("x", [], "hosts") == "there are no hosts"


def test_the_schema_is_a_schema_of_the_whole_file() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) >= {"hosts", "tasks", "s3", "age_public_key", "recipients"}
    assert {"const": "auto"} in schema["$defs"]["HostSettings"]["properties"]["part_size"]["anyOf"]
    assert {"type": "string"} in schema["$defs"]["SnapshotRule"]["properties"]["match"]["anyOf"]
    assert schema["properties"]["shutdown_timeout"]["default"] == "30s"
    assert {"type": "integer"} in schema["properties"]["shutdown_timeout"]["anyOf"]
    assert "lock_dir" in schema["properties"]


def test_every_error_has_its_codes_and_survives_copying() -> None:
    tree = [
        cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.ZfsPushBackupsError)
    ]
    assert len({cls.code for cls in tree}) == len(tree)
    for cls in tree:
        error = cls("it failed", hint="mend it", code="a.b")
        again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        assert (str(again), again.code, again.exit_code) == ("it failed; mend it", "a.b", error.exit_code)
        assert "Next: " in (cls.__doc__ or "") or cls is errors.ZfsPushBackupsError


def test_the_exit_codes_are_the_documented_ones() -> None:
    exits = {
        "UsageError": 2,
        "ConfigurationError": 2,
        "StreamRefused": 2,
        "SomeTasksFailed": 3,
        "LockHeld": 4,
        "LockError": 2,
        "NoBase": 1,
    }
    assert {name: getattr(errors, name).exit_code for name in exits} == exits
    assert [errors.Cancelled("x", signal_number=number).exit_code for number in (1, 2, 15)] == [129, 130, 143]
