"""Two commands at one host: exit 4 and its words, waiting, stops, and what a command leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.program import STREAMS
from integration.fake_source import fake_source, hanging_source
from integration.workbench import Workbench
from unit.fake_zfs import FakeZfs
from zfs_push_backups.run.locks import host_lock_name


def send_whole(fake: FakeZfs) -> None:
    """Mend the sender."""
    fake.rules[:] = [rule for rule in fake.rules if not rule["hang"]]
    fake.answer("send", "t/d@s", file=str(STREAMS / "d-full.zs"))


def pushing(bench: Workbench, fake: FakeZfs, *words: object) -> subprocess.Popen[bytes]:
    """Start a push and return once its stream is under way."""
    process = bench.start("--dataset", "t/d", "--json", *words, path=fake.path())
    assert process.stdout is not None
    for line in process.stdout:
        if b'"progress"' in line:
            return process
    raise AssertionError(process.communicate()[1])


def stopped(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> str:
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    return err.decode()


def test_a_second_push_ends_with_4_and_says_who_holds_the_host(bench: Workbench, tmp_path: Path) -> None:
    fake = hanging_source(tmp_path)
    with pushing(bench, fake, "--host", "backup1") as process:
        done = bench.run("--dataset", "t/d", "--host", "backup1", path=fake.path())
        assert done.code == 4
        assert f"the host 'backup1': process {process.pid} (push) since " in done.error_line()
        assert "--wait" in done.err
        for words in (["cleanup"], ["holds", "release", "--all"], ["forget-run", "--dataset", "t/d"]):
            other = bench.run(*words, path=fake.path())
            assert other.code == 4, (words, other.err)
        # Reading needs no lock.
        assert bench.run("list").code == 0
        assert bench.run("--dataset", "t/d", "--dry-run", path=fake.path()).code == 0
        begun = time.monotonic()
        assert bench.run("--dataset", "t/d", "--wait", "1", path=fake.path()).code == 4
        assert time.monotonic() - begun >= 1
        stopped(process)
    assert list(bench.locks.iterdir()) == []


def test_another_name_of_the_same_repository_is_locked_as_well(bench: Workbench, tmp_path: Path) -> None:
    fake = hanging_source(tmp_path)
    with pushing(bench, fake, "--host", "backup1") as process:
        alias = bench.folder / "alias"
        alias.symlink_to(bench.store)
        done = bench.run("--dataset", "t/d", "--host", f"file://{alias}", path=fake.path())
        assert done.code == 4, done.err
        assert "repository" in done.error_line()
        stopped(process)


def test_a_killed_push_blocks_nobody(bench: Workbench, tmp_path: Path) -> None:
    fake = hanging_source(tmp_path)
    with pushing(bench, fake) as process:
        process.kill()
        process.wait(60)
        assert list(bench.locks.iterdir()) != []
        # The killed push's `zfs send` lives on; it has no part in the lock.
        sender = next(int(record["sid"]) for record in fake.records() if record["argv"] == ["send", "t/d@s"])
        os.killpg(sender, 0)
        send_whole(fake)
        done = bench.run("--dataset", "t/d", path=fake.path())
        assert done.code == 0, done.err
    os.killpg(sender, signal.SIGKILL)
    assert list(bench.locks.iterdir()) == []


def test_waiting_for_the_lock_ends_with_it_and_obeys_signals(bench: Workbench, tmp_path: Path) -> None:
    fake = hanging_source(tmp_path)
    with pushing(bench, fake) as first:
        waiting = [bench.start("--dataset", "t/d", "--wait", "5m", path=fake.path()) for _ in range(2)]
        for process in waiting:
            assert process.stderr is not None
            assert f"process {first.pid}" in process.stderr.readline().decode()
        begun = time.monotonic()
        stopped(waiting[0], signal.SIGINT)
        assert time.monotonic() - begun < 10
        send_whole(fake)
        stopped(first)
        _, err = waiting[1].communicate(timeout=60)
        assert waiting[1].returncode == 0, err
    assert list(bench.locks.iterdir()) == []


def test_a_stop_is_summed_up_in_one_line(bench: Workbench, tmp_path: Path) -> None:
    fake = hanging_source(tmp_path)
    with pushing(bench, fake, "--log-format", "text") as process:
        err = stopped(process, signal.SIGHUP)
    lines = [line for line in err.splitlines() if "stopped by SIGHUP in" in line]
    assert len(lines) == 1, err
    assert "resumable: t/d" in lines[0]
    for phase in ("work", "clean-ups", "run state"):
        assert re.search(rf"{phase} [0-9.]+ s", lines[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--wait", "x"], "--wait"), (["--wait", "-1"], "--wait"), (["--wait", ""], "--wait")],
)
def test_a_bad_wait_is_a_usage_error(bench: Workbench, words: list[str], message: str) -> None:
    done = bench.run("--dataset", "t/d", *words)
    assert done.code == 2
    assert message in done.error_line()


def test_a_bad_deadline_in_the_environment_is_exit_2(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUTDOWN_DB_TIMEOUT", "soon")
    for words in (["list"], ["push", "--dataset", "t/d"]):
        done = bench.run(*words)
        assert done.code == 2
        assert "SHUTDOWN_DB_TIMEOUT" in done.error_line()


def test_a_missing_lock_folder_and_a_link_in_it_are_one_clear_line(bench: Workbench, tmp_path: Path) -> None:
    fake, precious = fake_source(tmp_path), tmp_path / "precious"
    precious.write_text("precious")
    link = bench.locks / host_lock_name("backup1")
    link.symlink_to(precious)
    done = bench.run("--dataset", "t/d", path=fake.path())
    assert (done.code, precious.read_text()) == (2, "precious")
    assert "symbolic link" in done.error_line()
    link.unlink()
    bench.locks.rmdir()
    done = bench.run("--dataset", "t/d", path=fake.path())
    assert done.code == 2
    assert str(bench.locks) in done.error_line()
    assert "lock_dir" in done.err or "RuntimeDirectory" in done.err


def test_no_core_of_a_running_command(bench: Workbench, tmp_path: Path) -> None:
    fake = hanging_source(tmp_path)
    with pushing(bench, fake) as process:
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 ", limits, re.MULTILINE), limits
        stopped(process)


def test_the_commands_process_cannot_be_dumped_at_all() -> None:
    script = (
        "import ctypes\n"
        "from zfs_push_backups.cli.hardening import forbid_core_dumps\n"
        "before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"
        "forbid_core_dumps()\n"
        "print(before, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "1 0\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the default folder is root's")
def test_without_lock_dir_root_locks_in_var_run(bench: Workbench, tmp_path: Path) -> None:
    fake, name = hanging_source(tmp_path), f"test-{os.getpid()}@remote"
    content = json.loads(bench.config.read_text())
    del content["lock_dir"]
    content["hosts"] = {name: {"url": bench.url}}
    bench.config.write_text(json.dumps(content))
    path = Path("/var/run") / f"zfs-push-backups-test-{os.getpid()}-remote.lock"
    with pushing(bench, fake) as process:
        assert path.read_text().splitlines()[0] == str(process.pid)
        stopped(process)
    assert not path.exists()


def test_not_root_and_nothing_said_is_one_clear_line(bench: Workbench, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: it becomes another user")
    script = (
        "from zfs_push_backups.config.models import Config\n"
        "from zfs_push_backups.errors import LockError\n"
        "from zfs_push_backups.run.locks import lock_folder\n"
        "try: lock_folder(Config())\n"
        "except LockError as error: print(error.exit_code, error)\n"
    )
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"},
    )
    assert done.stdout.startswith("2 there is no folder for locks")
    assert "set lock_dir" in done.stdout
