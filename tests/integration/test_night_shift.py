"""What an operator meets at night: stale roots, names used again, odd targets, signals at odd moments."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest

from harness.pool import Dataset, DatasetFactory, Pool, zfs
from harness.program import STREAMS
from integration.fake_source import fake_source
from integration.workbench import Workbench
from unit.fake_zfs import FakeZfs
from zfs_push_backups.report.progress import Reporter
from zfs_push_backups.run import push as push_case
from zfs_push_backups.run.options import PushOptions
from zfs_push_backups.run.session import Session


def child(parent: Dataset, name: str) -> Dataset:
    zfs("create", f"{parent.name}/{name}")
    return Dataset(f"{parent.name}/{name}", parent.path / name)


def test_a_child_is_pushed_on_though_its_root_has_no_new_snapshots(bench: Workbench, dataset: DatasetFactory) -> None:
    root = dataset("root")
    below = child(root, "below")
    bench.configure([bench.task(root.name, recursive=True)])
    zfs("snapshot", "-r", f"{root.name}@before-upgrade")
    assert bench.run().code == 0
    time.sleep(1.1)
    below.snapshot("daily")
    assert bench.run().code == 0
    assert {(one["dataset"], one["snapshot"]) for one in bench.listed()} == {
        (root.name, "before-upgrade"),
        (below.name, "before-upgrade"),
        (below.name, "daily"),
    }
    done = bench.run("restore", "--dataset", root.name, "--recursive", "--dry-run")
    assert f"{below.name} comes from @before-upgrade" in done.err
    assert "its own newest is @daily" in done.err


@pytest.fixture
def grove(bench: Workbench, dataset: DatasetFactory) -> tuple[Dataset, Dataset, str]:
    """Two datasets of one group with no dataset above them in it."""
    root = dataset("grove")
    one, two = child(root, "one"), child(root, "two")
    bench.configure([bench.task(root.name, recursive=True, include=["one", "two"])])
    zfs("snapshot", "-r", f"{root.name}@same")
    assert bench.run().code == 0
    return one, two, bench.listed()[0]["tree_group"]


def test_a_group_without_a_root_is_never_restored_in_part(
    bench: Workbench, grove: tuple[Dataset, Dataset, str], zfs_pool: Pool
) -> None:
    one, two, group = grove
    done = bench.run("restore", "--group", group, "--identity", bench.key, "--to", zfs_pool.unused_name())
    assert done.code == 2
    assert f"{one.name}, {two.name}" in done.error_line()
    done = bench.run("restore", "--group", group, "--dataset", two.name, "--dry-run")
    assert done.code == 0
    assert two.name in done.err
    assert one.name not in done.err


def test_a_tree_with_a_gap_says_how_to_restore_it(bench: Workbench, dataset: DatasetFactory, zfs_pool: Pool) -> None:
    root = dataset("gap")
    leaf = child(child(root, "left-out"), "leaf")
    bench.configure([bench.task(root.name, recursive=True, include=[".", "left-out/leaf"])])
    zfs("snapshot", "-r", f"{root.name}@one")
    assert bench.run().code == 0
    target = zfs_pool.unused_name()
    words = ("restore", "--identity", bench.key)
    done = bench.run(*words, "--dataset", root.name, "--recursive", "--to", target)
    assert done.code == 2
    assert f"zfs create -p {target}/left-out" in done.err
    assert bench.run(*words, "--dataset", root.name, "--to", target).code == 0
    zfs("create", "-p", f"{target}/left-out")
    assert bench.run(*words, "--dataset", leaf.name, "--to", f"{target}/left-out/leaf").code == 0


def test_a_group_whose_snapshot_name_was_used_again_means_the_newest(
    bench: Workbench, grove: tuple[Dataset, Dataset, str]
) -> None:
    one, _, group = grove
    zfs("release", "zfs-push-backups:backup1", f"{one.name}@same")
    zfs("destroy", f"{one.name}@same")
    time.sleep(1.1)
    one.snapshot("same")
    assert bench.run().code == 0
    newest = max(entry["id"] for entry in bench.listed() if entry["dataset"] == one.name)
    assert newest in bench.run("restore", "--group", group, "--dataset", one.name, "--dry-run").err


def test_a_backup_of_another_dataset_than_the_one_named_is_refused(
    bench: Workbench, grove: tuple[Dataset, Dataset, str]
) -> None:
    one, two, _ = grove
    ident = next(entry["id"] for entry in bench.listed() if entry["dataset"] == two.name)
    done = bench.run("restore", "--dataset", one.name, "--backup", ident, "--dry-run")
    assert done.code == 2
    assert f"is of {two.name}, not of {one.name}" in done.error_line()


def test_an_old_snapshot_pushed_last_is_not_the_newest(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("two-ages")
    one.snapshot("old")
    time.sleep(1.1)
    one.snapshot("new")
    assert bench.run("--dataset", one.name).code == 0
    time.sleep(1.1)
    assert bench.run("--dataset", one.name, "--level", "0", "--snapshot", "old").code == 0
    assert f"{one.name}@new" in bench.run("restore", "--dataset", one.name, "--dry-run").err


def test_a_property_that_is_no_text_does_not_keep_the_data_away(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("latin1")
    one.snapshot("first")
    subprocess.run([b"zfs", b"set", b"site:owner=caf\xe9", one.name.encode()], check=True, timeout=60)
    done = bench.run("--dataset", one.name)
    assert done.code == 0, done.err
    assert "site:owner" in done.err


def test_what_is_no_regular_file_is_never_replaced(
    bench: Workbench, grove: tuple[Dataset, Dataset, str], tmp_path: Path
) -> None:
    one, _, _ = grove
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    words = ("restore", "--dataset", one.name, "--identity", bench.key, "--force", "--output")
    done = bench.run(*words, pipe)
    assert done.code == 2
    assert "--output -" in done.err
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("when", ["0001-01-01", "9999-12-31T23:59:59-12:00"])
def test_a_time_beyond_all_clocks_is_a_usage_error(
    bench: Workbench, grove: tuple[Dataset, Dataset, str], when: str
) -> None:
    assert bench.run("restore", "--dataset", grove[0].name, "--at", when, "--dry-run").code == 2


def test_an_identity_that_may_not_be_looked_at_is_one_line(bench: Workbench, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: it becomes another user")
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "key").write_text(bench.key.read_text())
    for folder in (bench.config, bench.folder, *tmp_path.parents[:2], tmp_path):
        folder.chmod(0o755)
    words = ("restore", "--dataset", "tank/a", "--identity", private / "key", "--output", private / "x")
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *bench.command(*words)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert f"identity file {private / 'key'}: Permission denied" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_signal_decides_the_exit_code_while_zfs_answers(
    bench: Workbench, tmp_path: Path, number: signal.Signals
) -> None:
    fake = FakeZfs(tmp_path / "bin")
    fake.answer("-?", out="usage")
    fake.answer("list", hang=True)
    bench.configure([bench.task("tank/a", recursive=True)])
    with bench.start(path=f"{fake.folder}:/usr/bin:/bin") as process:
        deadline = time.monotonic() + 30
        while ["list"] not in [call[:1] for call in fake.calls()] and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.3)
        process.send_signal(number)
        assert process.wait(20) == 128 + number


class Breaking(Reporter):
    """Breaks as nobody expects."""

    def step(self, message: str, **fields: object) -> None:
        del message, fields
        raise RuntimeError


def test_no_after_hook_is_told_ok_when_something_unexpected_ended_the_task(
    bench: Workbench, dataset: DatasetFactory, tmp_path: Path
) -> None:
    one, told = dataset("unexpected"), tmp_path / "told"
    one.snapshot("first")
    hook = ["/bin/sh", "-c", f"echo $ZPB_STATUS > {told}"]
    bench.configure([bench.task(one.name, hooks={"after": [hook]})])
    with contextlib.suppress(RuntimeError):
        push_case.push(PushOptions(config=str(bench.config)), Session(reporter=Breaking()))
    assert told.read_text() == "failed\n"


def test_what_a_send_says_with_exit_status_0_is_passed_on(bench: Workbench, tmp_path: Path) -> None:
    fake, words = fake_source(tmp_path), "warning: 3 blocks were unreadable and sent as zeros"
    fake.answer("send", "t/d@s", file=str(STREAMS / "d-full.zs"), err=words)
    done = bench.run("--dataset", "t/d", path=fake.path())
    assert done.code == 0, done.err
    assert words in done.err
