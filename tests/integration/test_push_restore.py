from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.pool import Dataset, DatasetFactory, Pool, zfs
from integration.workbench import SOURCE, Workbench

pytestmark = pytest.mark.pool


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with a digest of what it holds."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def fill(one: Dataset, megabytes: int = 3) -> None:
    (one.path / "random").write_bytes(os.urandom(megabytes << 20))
    (one.path / "name with blank\n and line").write_text("odd")


def mounted(pool: Pool, name: str) -> Path:
    if zfs("get", "-H", "-o", "value", "mounted", name).strip() != "yes":
        zfs("mount", name)
    return pool.path / name.partition("/")[2]


def another(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


@pytest.fixture
def chain(bench: Workbench, dataset: DatasetFactory) -> Dataset:
    """Two snapshots, pushed as level 0 and 1 by the task `prod`."""
    one = dataset("src")
    bench.configure([bench.task(one.name)])
    fill(one)
    one.snapshot("monday")
    first = bench.run("--host", "backup1", "--level", "0", "--json")
    assert first.code == 0, first.err
    (one.path / "later").write_text("tuesday")
    (one.path / "random").write_bytes(os.urandom(1 << 20))
    one.snapshot("tuesday")
    second = bench.run("--host", "backup1", "--level", "1", "--json")
    assert second.code == 0, second.err
    assert [line["level"] for line in (*first.results(), *second.results())] == [0, 1]
    return one


def test_a_chain_comes_back_byte_for_byte_in_one_command(bench: Workbench, chain: Dataset, zfs_pool: Pool) -> None:
    target = zfs_pool.unused_name("back")
    done = bench.run("restore", "--host", "backup1", "--task", "prod", "--identity", bench.key, "--to", target)
    assert done.code == 0, done.err
    assert contents(mounted(zfs_pool, target)) == contents(chain.path)
    names = zfs("list", "-H", "-o", "name", "-t", "snapshot", "-r", target).split()
    assert names == [f"{target}@monday", f"{target}@tuesday"]


def test_a_restored_dataset_stays_unmounted_unless_asked(bench: Workbench, chain: Dataset, zfs_pool: Pool) -> None:
    common = ("restore", "--dataset", chain.name, "--identity", bench.key, "--to")
    for extra, state in (((), "no"), (("--mount",), "yes")):
        target = zfs_pool.unused_name("mount")
        done = bench.run(*common, target, *extra)
        assert done.code == 0, done.err
        assert zfs("get", "-H", "-o", "value", "mounted", target).strip() == state
        assert ("not mounted" in done.err) is (state == "no")


def restored_first(bench: Workbench, pool: Pool, dataset: str, *wanted: str) -> list[str]:
    """The snapshots that a restore of the wanted state brings."""
    target = pool.unused_name("older")
    done = bench.run("restore", "--dataset", dataset, *wanted, "--identity", bench.key, "--to", target)
    assert done.code == 0, done.err
    return [name.partition("@")[2] for name in zfs("list", "-H", "-o", "name", "-t", "snapshot", "-r", target).split()]


@pytest.mark.parametrize("name", ["monday", "@monday"])
def test_an_older_state_by_name(bench: Workbench, chain: Dataset, zfs_pool: Pool, name: str) -> None:
    assert restored_first(bench, zfs_pool, chain.name, "--snapshot", name) == ["monday"]


def test_an_older_state_by_time(bench: Workbench, dataset: DatasetFactory, zfs_pool: Pool) -> None:
    one = dataset("times")
    one.snapshot("first")
    assert bench.run("--dataset", one.name).code == 0
    taken = int(zfs("get", "-Hp", "-o", "value", "creation", f"{one.name}@first"))
    while int(time.time()) <= taken:
        time.sleep(0.05)
    one.snapshot("second")
    assert bench.run("--dataset", one.name).code == 0
    moment = datetime.fromtimestamp(taken, UTC).isoformat()
    assert restored_first(bench, zfs_pool, one.name, "--at", moment) == ["first"]
    assert restored_first(bench, zfs_pool, one.name) == ["first", "second"]


def test_a_second_push_of_the_same_snapshot_is_up_to_date(bench: Workbench, chain: Dataset) -> None:
    before = bench.objects()
    done = bench.run("--host", "backup1", "--json")
    assert done.code == 0
    assert [line["status"] for line in done.results()] == ["up_to_date"]
    assert bench.objects() == before


def test_auto_takes_the_next_level_by_itself(bench: Workbench, chain: Dataset) -> None:
    chain.snapshot("wednesday")
    done = bench.run("--host", "backup1", "--json")
    (result,) = done.results()
    assert (result["level"], result["base"], result["snapshot"]) == (2, "@tuesday", "wednesday")


def test_nothing_readable_lies_in_the_store(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("plain")
    secret = b"nobody may ever read this line in a store "
    (one.path / "note").write_bytes(secret * 5000)
    one.snapshot("s")
    bench.configure([bench.task(one.name)])
    assert bench.run("--host", "backup1").code == 0
    assert all(secret not in (bench.store / name).read_bytes() for name in bench.objects())


def test_a_dry_run_shows_the_plan_and_changes_nothing(bench: Workbench, chain: Dataset) -> None:
    chain.snapshot("wednesday")
    before = bench.objects()
    done = bench.run("--host", "backup1", "--dry-run", "--json")
    assert done.code == 0, done.err
    (result,) = done.results()
    assert (result["status"], result["level"], result["base"]) == ("planned", 2, "@tuesday")
    assert result["requests"]["list"] >= 1
    assert result["requests"].get("put", 0) == 0
    assert bench.objects() == before
    created = bench.run("--dataset", chain.name, "--create", "--recipient", bench.recipient, "--dry-run")
    assert created.code == 0
    assert "would take the snapshot" in created.err
    assert "wednesday" in zfs("list", "-H", "-o", "name", "-t", "snapshot", "-r", chain.name).splitlines()[-1]


def test_a_dry_run_into_an_empty_host_makes_no_repository(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("dry")
    one.snapshot("s")
    assert bench.run("--dataset", one.name, "--dry-run").code == 0
    assert list(bench.store.iterdir()) == []


def test_a_tree_goes_out_as_one_group_and_comes_back_whole(
    bench: Workbench, dataset: DatasetFactory, zfs_pool: Pool
) -> None:
    root = dataset("tree")
    for name in ("a", "a/b c", "scratch"):
        zfs("create", f"{root.name}/{name}")
    (root.path / "a" / "b c" / "leaf").write_text("leaf")
    bench.configure([bench.task(root.name, recursive=True, exclude=["scratch"], snapshot={"create": True})])
    pushed = bench.run("--host", "backup1", "--json")
    assert pushed.code == 0, pushed.err
    listed = bench.listed()
    assert [row["dataset"] for row in listed] == [root.name, f"{root.name}/a", f"{root.name}/a/b c"]
    (group,) = {row["tree_group"] for row in listed}
    target = zfs_pool.unused_name("tree-back")
    done = bench.run("restore", "--group", group, "--identity", bench.key, "--to", target, "--mount")
    assert done.code == 0, done.err
    assert zfs("list", "-H", "-o", "name", "-r", target).splitlines() == [target, f"{target}/a", f"{target}/a/b c"]
    assert (mounted(zfs_pool, f"{target}/a/b c") / "leaf").read_text() == "leaf"
    zfs_pool.destroy(target)


def test_one_backup_goes_to_a_file_that_only_its_owner_reads(bench: Workbench, chain: Dataset, zfs_pool: Pool) -> None:
    common = ("restore", "--dataset", chain.name, "--identity", bench.key, "--output")
    file = bench.folder / "full.zs"
    refused = bench.run(*common, file)
    assert refused.code == 2
    assert "2 streams" in refused.error_line()
    assert not file.exists()
    done = bench.run(*common, file, "--snapshot", "monday")
    assert done.code == 0, done.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = bench.run(*common, file, "--snapshot", "monday")
    assert again.code == 2
    assert "exists" in again.error_line()
    target = zfs_pool.unused_name("by-hand")
    with file.open("rb") as stream:
        subprocess.run(["zfs", "receive", target], stdin=stream, check=True, timeout=60)
    assert zfs("get", "-Hp", "-o", "value", "guid", f"{target}@monday") == zfs(
        "get", "-Hp", "-o", "value", "guid", f"{chain.name}@monday"
    )
    assert [path.name for path in bench.folder.iterdir() if path.name.endswith(".tmp")] == []


def test_a_stream_goes_to_stdout_and_back_in_by_stdin(bench: Workbench, chain: Dataset) -> None:
    increment = next(row["id"] for row in bench.listed() if row["level"] == 1)
    full = next(row["id"] for row in bench.listed() if row["level"] == 0)
    streams = {}
    for name, backup in (("full", full), ("increment", increment)):
        process = bench.start("restore", "--backup", backup, "--identity", bench.key, "--output", "-")
        streams[name], err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    other, alone = (Workbench(another(bench.folder, name)) for name in ("other", "alone"))
    first = other.run("--stdin", "far/away@one", "--json", stdin=streams["full"])
    assert first.code == 0, first.err
    second = other.run("--stdin", "far/away@two", "--json", stdin=streams["increment"])
    assert second.code == 0, second.err
    listed = other.listed()
    assert [(row["dataset"], row["snapshot"], row["level"]) for row in listed] == [
        ("far/away", "one", 0),
        ("far/away", "two", 1),
    ]
    assert listed[1]["parent"] == listed[0]["id"]
    refused = alone.run("--stdin", "far/away@two", stdin=streams["increment"])
    assert refused.code == 1
    assert "no whole backup" in refused.error_line()
    assert alone.objects() == []


def test_recorded_properties_come_back_only_when_asked(
    bench: Workbench, dataset: DatasetFactory, zfs_pool: Pool
) -> None:
    one = dataset("props", compression="on", canmount="noauto")
    zfs("set", "test:note=kept\there", one.name)
    one.snapshot("s")
    bench.configure([bench.task(one.name)])
    assert bench.run("--host", "backup1").code == 0
    wanted = {(): ("off", "on", "-"), ("--properties",): ("on", "on", "kept\there")}
    wanted[("--properties", "--mountpoints")] = ("on", "noauto", "kept\there")
    for extra, (compression, canmount, note) in wanted.items():
        target = zfs_pool.unused_name("props-back")
        done = bench.run("restore", "--task", "prod", "--identity", bench.key, "--to", target, *extra)
        assert done.code == 0, done.err
        names = ("compression", "canmount", "test:note")
        found = [zfs("get", "-H", "-o", "value", name, target).rstrip("\n") for name in names]
        assert found == [compression, canmount, note]


def test_force_receives_over_a_dataset_that_exists(bench: Workbench, chain: Dataset, zfs_pool: Pool) -> None:
    target = zfs_pool.unused_name("forced")
    # Not mounted: zfs-fuse unmounts lazily, and a receive that overtakes it fails.
    zfs("create", "-o", "canmount=off", target)
    common = ("restore", "--dataset", chain.name, "--identity", bench.key, "--to", target)
    refused = bench.run(*common)
    assert refused.code == 2
    assert "exists" in refused.error_line()
    done = bench.run(*common, "--force")
    assert done.code == 0, done.err
    assert len(zfs("list", "-H", "-o", "name", "-t", "snapshot", "-r", target).split()) == 2


def test_hooks_run_around_a_task_and_a_failing_one_skips_it(bench: Workbench, dataset: DatasetFactory) -> None:
    good, bad = dataset("good"), dataset("bad")
    for one in (good, bad):
        one.snapshot("s")
    log = bench.folder / "hooks"
    note = ["sh", "-c", f'echo "$ZPB_TASK $ZPB_STATUS" >> {log}']
    hooks = {"before": [note], "after": [note]}
    broken = {"before": [["sh", "-c", "echo no disk; exit 7"]], "after": [note]}
    bench.configure([bench.task(good.name, "good", hooks=hooks), bench.task(bad.name, "bad", hooks=broken)])
    done = bench.run("--host", "backup1")
    assert done.code == 3
    assert "1 of 2 pushes failed" in done.error_line()
    assert "no disk" in done.err
    assert [row["dataset"] for row in bench.listed()] == [good.name]
    assert log.read_text().splitlines() == ["good starting", "good ok", "bad failed"]
    alone = bench.run("--host", "backup1", "--task", "bad")
    assert alone.code == 1
    assert "status 7" in alone.error_line()


def test_the_levels_of_an_empty_host_say_what_to_type(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("nobase")
    one.snapshot("s")
    bench.configure([bench.task(one.name)])
    done = bench.run("--host", "backup1", "--level", "1")
    assert done.code == 1
    assert "nothing to stand on" in done.error_line()
    assert f"zfs-push-backups --config {bench.config} --host backup1 --task prod --level 0" in done.err
    assert bench.objects() == []


def test_check_is_well_and_says_when_backups_are_old(bench: Workbench, chain: Dataset) -> None:
    fresh = bench.run("check", "--max-age", "26h", "--json")
    assert fresh.code == 0, fresh.out + fresh.err
    report = json.loads(fresh.out)
    assert report["ok"]
    assert any(chain.name in finding["name"] for finding in report["findings"])
    bench.configure([bench.task(chain.name), bench.task(f"{chain.name}x", "gone")])
    done = bench.run("check", "--max-age", "26h")
    assert done.code == 1
    assert "FAIL  task gone" in done.out
    assert f"did you mean {chain.name}" in done.out
    assert "no backup at all" in done.out


def test_the_source_is_the_configured_one(bench: Workbench, chain: Dataset) -> None:
    assert {row["source"] for row in bench.listed()} == {SOURCE}


def test_what_would_stand_on_a_manifest_that_cannot_be_read_is_a_new_full(
    bench: Workbench, dataset: DatasetFactory
) -> None:
    one = dataset("unreadable")
    one.snapshot("s1")
    bench.configure([bench.task(one.name)])
    assert bench.run("--host", "backup1").code == 0
    (manifest,) = (bench.store / "manifests").rglob("*.json")
    # Of another second than the next one: which of two is newer is told by the second.
    manifest.rename(manifest.with_name("2020" + manifest.name[4:])).write_text("")
    done = bench.run("--host", "backup1", "--json")
    assert [(one["level"], one["snapshot"]) for one in done.results()] == [(0, "s1")], done.err
    assert "the backup that this would stand on is lost: " in done.err
    one.snapshot("s2")
    done = bench.run("--host", "backup1", "--json")
    assert [(one["level"], one["snapshot"]) for one in done.results()] == [(1, "s2")], done.err
    assert "is lost" not in done.err
