"""Recursive tasks, and the names of sources."""

from __future__ import annotations

import pytest

from zfs_push_backups.errors import ConfigurationError
from zfs_push_backups.plan.names import source_name
from zfs_push_backups.plan.tree import expand, matches

NAMES = ["t", "t/d", "t/d/b", "t/d/a", "t/d/a/scratch", "t/d/a/scratch/x", "t/d/scratch", "t/dx", "t/d/a-b"]


def test_parents_come_first_and_neighbours_stay_out() -> None:
    tree = expand("t/d", NAMES)
    assert tree.datasets == ("t/d", "t/d/a", "t/d/a/scratch", "t/d/a/scratch/x", "t/d/a-b", "t/d/b", "t/d/scratch")
    assert tree.left_out == ()


def test_an_exclusion_takes_what_is_below_along() -> None:
    tree = expand("t/d", NAMES, exclude=["*/scratch"])
    assert tree.left_out == ("t/d/a/scratch", "t/d/a/scratch/x")
    assert "t/d/scratch" in tree.datasets


def test_an_inclusion_takes_what_is_below_along() -> None:
    tree = expand("t/d", NAMES, include=["a"], exclude=["**/x"])
    assert tree.datasets == ("t/d/a", "t/d/a/scratch")


def test_only_its_own_pattern_means_the_root() -> None:
    assert "t/d" in expand("t/d", NAMES, exclude=["**"]).datasets
    assert "t/d" not in expand("t/d", NAMES, exclude=["."]).datasets


def test_a_pattern_without_a_match_is_reported() -> None:
    assert expand("t/d", NAMES, exclude=["scratch", "tmp"]).unmatched == ("tmp",)


@pytest.mark.parametrize(
    ("relative", "pattern", "expected"),
    [
        ("a/scratch", "*/scratch", True),
        ("scratch", "*/scratch", False),
        ("a/b/scratch", "*/scratch", False),
        ("a/b/scratch", "**/scratch", True),
        ("scratch", "**/scratch", True),
        ("a/b/c", "a/**", True),
        ("a", "a/**", False),
        ("vm-12", "vm-[0-9]?", True),
        ("vm-x2", "vm-[!0-9]?", True),
        ("a.b", "a.b", True),
        ("axb", "a.b", False),
        ("a/b", "a[!x]b", False),
        ("z", "[z-a]", True),
        ("a b:c", "a b:*", True),
    ],
)
def test_patterns(relative: str, pattern: str, expected: bool) -> None:
    assert matches(relative, pattern) is expected


def test_what_leaves_nothing_or_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="leave nothing"):
        expand("t/d", NAMES, exclude=[".", "**"])
    with pytest.raises(ConfigurationError) as caught:
        expand("t/dd", NAMES)
    assert "did you mean 't/d'?" in caught.value.hint


def test_a_source_is_its_host_name_and_machine() -> None:
    machine = "1a2b3c4d5e6f70818283848586878889"
    assert source_name("nas.example.org", machine + "\n") == "nas-1a2b3c4d"
    assert source_name("büro nas!", machine) == "b-ro-nas-1a2b3c4d"
    assert source_name("", machine) == "host-1a2b3c4d"
    for useless in ("", "uninitialized", "0" * 32):
        with pytest.raises(ConfigurationError, match="machine id"):
            source_name("nas", useless)
