"""Whatever stands in the file, loading ends in a Config or a ConfigurationError; quantities survive the round trip."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from zfs_push_backups.config.load import load, parse
from zfs_push_backups.config.models import Config, FileModel, HostSettings, SnapshotRule, Task
from zfs_push_backups.config.problems import known_keys
from zfs_push_backups.config.quantities import format_duration, format_size, parse_duration, parse_size
from zfs_push_backups.errors import ConfigurationError

EXAMPLE = (Path(__file__).parents[2] / "examples" / "config.yaml").read_text()
KEYS = st.sampled_from(
    sorted({*FileModel.model_fields, *HostSettings.model_fields, *SnapshotRule.model_fields, *Task.model_fields, "<<"})
)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["auto", "s3://bucket/x", "tank", "20MiB", "90d", "age1qqqqqqqqqq", "STANDARD", "/x", "*"])
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=8), inner, max_size=5),
    max_leaves=25,
)


def outcome(text: str) -> Config | ConfigurationError:
    try:
        return parse(text, name="c.yaml")
    except ConfigurationError as error:
        return error


@given(st.text(max_size=300))
@example("a: &x\n  <<: *x\n")
@example("? \n: x")
@example("'\\uD800': 1")
@example('"\\ud800": "\\ud800"')
@example('base_dir: "/\\0"')
@example("hosts: {b: {url: 's3://[x'}}")
@example("hosts: {b: {url: 's3://bucket', endpoint: 'https://x:99999'}}")
@example("a: 0x_")
def test_any_text_is_a_config_or_an_error(text: str) -> None:
    outcome(text)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_values_are_a_config_or_an_error(data: dict[str, Any]) -> None:
    result = outcome(json.dumps(data))
    if isinstance(result, ConfigurationError):
        assert all(problem.startswith("c.yaml:") for problem in result.problems)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_config_or_an_error(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "config.yaml"
    path.write_bytes(content)
    try:
        result: Config | ConfigurationError = load(path)
    except ConfigurationError as error:
        result = error
    assert isinstance(result, Config) or str(path) in result.message


@given(st.integers(0, len(EXAMPLE) - 1), st.integers(0, 12), st.text(max_size=12))
def test_a_damaged_example_is_a_config_or_an_error(at: int, removed: int, inserted: str) -> None:
    outcome(EXAMPLE[:at] + inserted + EXAMPLE[at + removed :])


@given(st.sampled_from([(), ("hosts", "any"), ("tasks", 3), ("tasks", 0, "snapshot"), ("s3", "storage_class")]))
def test_every_section_knows_its_keys(path: tuple[str | int, ...]) -> None:
    assert known_keys(path)


@given(st.integers(0, 2**63 - 1))
def test_sizes_survive(size: int) -> None:
    assert parse_size(format_size(size)) == parse_size(size) == size


@given(st.timedeltas(timedelta(0), timedelta(days=36_000)))
def test_durations_survive(span: timedelta) -> None:
    assert parse_duration(format_duration(span)) == span


@given(st.text(max_size=20))
def test_any_quantity_is_a_value_or_a_value_error(text: str) -> None:
    for parse_one in (parse_size, parse_duration):
        refusal = ""
        try:
            parse_one(text)
        except ValueError as error:
            refusal = str(error)
        assert not refusal or "allowed: " in refusal
