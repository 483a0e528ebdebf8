"""Streams from standard input: the guids decide."""

from __future__ import annotations

from dataclasses import replace

import pytest

from property.plan_builders import DATASET, NOON, PINS, backup, snap
from zfs_push_backups.errors import NoBase, StreamRefused, UsageError
from zfs_push_backups.plan.levels import Kind, Wish
from zfs_push_backups.plan.stdin import decide_stdin, stdin_parent

S = [snap(f"s{number}", number) for number in range(4)]
FULL = backup(S[0], "f0")
ONE = backup(S[1], "a1", FULL)
WISH = Wish(None, NOON, PINS, PINS)


def test_a_full_stream_is_a_full() -> None:
    assert decide_stdin(DATASET, S[0], 0, None, WISH).kind is Kind.FULL


def test_an_incremental_finds_its_parent_by_guid() -> None:
    parent = stdin_parent([FULL, ONE], S[1].guid)
    decision = decide_stdin(DATASET, S[2], S[1].guid, parent, WISH)
    assert (decision.kind, decision.level, decision.parent_id) == (Kind.INCREMENTAL, 2, ONE.id)


def test_what_has_no_whole_parent_is_refused() -> None:
    assert stdin_parent([ONE], S[1].guid) is None
    with pytest.raises(NoBase, match=str(S[1].guid)):
        decide_stdin(DATASET, S[2], S[1].guid, None, WISH)


def test_other_pins_or_another_level_are_refused() -> None:
    raw = replace(WISH, pins=replace(PINS, raw=True))
    with pytest.raises(StreamRefused, match="raw"):
        decide_stdin(DATASET, S[2], S[1].guid, ONE, raw)
    with pytest.raises(StreamRefused, match="unknown"):
        decide_stdin(DATASET, S[2], S[1].guid, ONE, replace(WISH, chain_pins=None))
    with pytest.raises(UsageError, match="is of level 2"):
        decide_stdin(DATASET, S[2], S[1].guid, ONE, replace(WISH, level=1))
