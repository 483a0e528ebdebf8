from __future__ import annotations

import pytest

from zfs_push_backups.errors import UsageError
from zfs_push_backups.zfs import names


@pytest.mark.parametrize("name", ["tank", "tank/a b", "tank/x.y:z_1-2", "t" * 255])
def test_names_that_zfs_allows_pass(name: str) -> None:
    assert names.check_dataset(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "tank/",
        "tank//x",
        "-tank",
        "tank/../x",
        "tank/50%",
        "tank/ü",
        "tank/a\nb",
        "t" * 256,
        "tank@s",
        "tank#b",
    ],
)
def test_names_that_could_do_harm_are_usage_errors_of_one_line(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        names.check_dataset(name)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_snapshot_splits_at_its_mark() -> None:
    assert names.split_snapshot("tank/a b@c d") == ("tank/a b", "c d")


@pytest.mark.parametrize("name", ["tank", "tank@", "@s", "tank@a@b", "tank@a/b", "-t@s"])
def test_half_a_snapshot_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="POOL/DATASET@SNAPSHOT"):
        names.split_snapshot(name)


def test_the_nearest_name_is_found_or_nothing() -> None:
    assert names.nearest("tank/importnat", ["tank/other", "tank/important"]) == "tank/important"
    assert names.nearest("zzz", ["tank"]) == ""
