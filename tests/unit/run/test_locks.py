from __future__ import annotations

import errno
import fcntl
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from zfs_push_backups.config.models import Config, Host
from zfs_push_backups.errors import LockError, LockHeld, ShuttingDown
from zfs_push_backups.run import lock_folder, lock_holder
from zfs_push_backups.run.lock_file import Lock, is_locked
from zfs_push_backups.run.lock_wait import wait_for
from zfs_push_backups.run.locks import held_error, holder, host_lock_name, is_running, locked
from zfs_push_backups.run.session import Session
from zfs_push_backups.run.shutdown import Shutdown

HOLD = """
import sys
from pathlib import Path
from zfs_push_backups.run.lock_file import Lock
lock = Lock(Path(sys.argv[1]), command="push")
assert lock.take()
print("held", flush=True)
sys.stdin.read()
lock.release()
"""
STARTER = """
import os, sys
from pathlib import Path
from zfs_push_backups.run.lock_file import Lock
starting, ending, answers = map(int, sys.argv[2:])
lock = Lock(Path(sys.argv[1]))
while os.read(starting, 1):
    os.write(answers, b"W" if lock.take() else b"L")
    os.read(ending, 1)
    lock.release()
    os.write(answers, b"e")
"""
COUNTER = """
import sys
from pathlib import Path
from zfs_push_backups.run.lock_file import Lock
from zfs_push_backups.run.lock_wait import wait_for
from zfs_push_backups.run.shutdown import Shutdown
path, count, stop = Path(sys.argv[1]), Path(sys.argv[2]), Shutdown()
for _ in range(int(sys.argv[3])):
    lock = Lock(path)
    assert lock.take(lambda descriptor: wait_for(descriptor, 60, stop))
    count.write_text(str(int(count.read_text()) + 1))
    lock.release()
"""


def start(script: str, *words: object, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=pass_fds,
    )


def held_by_another(path: Path) -> subprocess.Popen[str]:
    process = start(HOLD, path)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def ended(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("backup1.example.com", "zfs-push-backups-backup1.example.com.lock"),
        ("192.168.1.100", "zfs-push-backups-192.168.1.100.lock"),
        ("server@remote", "zfs-push-backups-server-remote.lock"),
        ("a b_c/../é", "zfs-push-backups-a-b-c-..--.lock"),
    ],
)
def test_a_lock_is_named_after_its_host(host: str, name: str) -> None:
    assert host_lock_name(host) == name


def test_long_names_fit_a_file_and_stay_apart() -> None:
    names = {host_lock_name("x" * 300 + end) for end in "ab"}
    assert len(names) == 2
    assert all(len(name) < 255 and re.search(r"x-[0-9a-f]{16}\.lock$", name) for name in names)


def test_where_locks_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert lock_folder.lock_folder(Config(lock_dir=tmp_path)) == tmp_path
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert lock_folder.lock_folder(Config(), {"XDG_RUNTIME_DIR": "/run/user/0"}) == Path("/var/run")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert lock_folder.lock_folder(Config(), {"XDG_RUNTIME_DIR": "/run/user/1000"}) == Path("/run/user/1000")
    for environment in ({}, {"XDG_RUNTIME_DIR": ""}, {"XDG_RUNTIME_DIR": "relative"}):
        with pytest.raises(LockError, match="lock_dir") as caught:
            lock_folder.lock_folder(Config(), environment)
        assert caught.value.exit_code == 2


def mounts(*entries: tuple[str, str]) -> str:
    return "".join(
        f"{number} 1 0:{number} / {point} rw,relatime shared:7 - {kind} some rw\n"
        for number, (point, kind) in enumerate(entries)
    )


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.glusterfs", "ceph"])
def test_a_lock_folder_on_a_network_is_refused(kind: str, tmp_path: Path) -> None:
    for point in (str(tmp_path), str(tmp_path.parent)):
        with pytest.raises(LockError, match=re.escape(kind)) as caught:
            lock_folder.check_folder(tmp_path, mounts(("/", "ext4"), (point, kind)))
        assert caught.value.exit_code == 2
        assert "lock_dir" in caught.value.hint


@pytest.mark.parametrize("kind", ["ext4", "tmpfs", "fuse.zfs", "zfs", "overlay", "btrfs", "fuseblk"])
def test_a_lock_folder_on_this_machine_is_taken(kind: str, tmp_path: Path) -> None:
    lock_folder.check_folder(tmp_path, mounts(("/", "nfs"), (str(tmp_path), kind)))


def test_the_mount_that_counts_is_the_deepest_and_of_two_the_later() -> None:
    table = mounts(("/", "ext4"), ("/a\\040b", "nfs"), ("/a\\040b/c", "tmpfs"), ("/d", "ext4"), ("/d", "cifs"))
    found = [lock_folder.file_system(Path(path), table) for path in ("/a b/x", "/a b/c/x", "/a bc", "/d/e", "/x")]
    assert found == ["nfs", "tmpfs", "ext4", "cifs", "ext4"]


def test_the_mounts_of_this_machine_can_be_read() -> None:
    assert lock_folder.file_system(Path("/proc/self"), lock_folder.MOUNTS.read_text()) == "proc"


def test_a_missing_folder_and_what_is_no_folder_are_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, words in ((tmp_path / "none", "No such file"), (tmp_path / "file", "is no folder")):
        with pytest.raises(LockError, match=words) as caught:
            lock_folder.check_folder(folder)
        assert str(folder) in caught.value.message


def test_a_folder_where_everybody_may_remove_locks_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(LockError, match="everybody"):
        lock_folder.check_folder(tmp_path)
    tmp_path.chmod(0o1777)
    lock_folder.check_folder(tmp_path)


def test_a_read_only_folder_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(LockError, match="is read-only") as caught:
        Lock(tmp_path / "l").take()
    assert caught.value.exit_code == 2


def test_a_lock_says_who_holds_it_and_goes_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "l"
    lock = Lock(path, command="cleanup")
    assert lock.take()
    assert path.read_text().splitlines()[0] == str(os.getpid())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = holder(path)
    assert found is not None
    assert (found.pid, found.command, found.is_alive(), found.is_stuck()) == (os.getpid(), "cleanup", True, False)
    assert abs(found.since.timestamp() - time.time()) < 60
    assert not Lock(path).take()
    lock.release()
    assert not path.exists()
    lock.release()
    again = Lock(path)
    assert again.take()
    again.release()


def test_what_came_into_the_place_of_a_lock_is_not_removed_with_it(tmp_path: Path) -> None:
    path = tmp_path / "l"
    lock = Lock(path)
    assert lock.take()
    path.unlink()
    path.write_text("another's")
    lock.release()
    assert path.read_text() == "another's"


def test_who_waits_locks_the_file_that_the_path_names_then(tmp_path: Path) -> None:
    path, stop = tmp_path / "l", Shutdown()
    first, second = Lock(path), Lock(path)
    assert first.take()
    old, tries = path.stat().st_ino, []

    def wait(descriptor: int) -> bool:
        tries.append(os.fstat(descriptor).st_ino)
        first.release()
        return wait_for(descriptor, 30, stop)

    # The old inode is kept from being used again.
    with path.open():
        assert second.take(wait)
        assert tries == [old]
        assert path.stat().st_ino != old
        assert not Lock(path).take()
    second.release()


def test_a_killed_holder_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "l"
    process = held_by_another(path)
    assert not Lock(path).take()
    process.send_signal(signal.SIGKILL)
    ended(process)
    stale = holder(path)
    assert stale is not None
    assert not stale.is_alive()
    lock = Lock(path)
    assert lock.take()
    assert path.read_text().splitlines()[0] == str(os.getpid())
    lock.release()


def test_a_recycled_pid_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "l"
    path.write_text(f"{os.getpid()}\nsince 2026-01-01T00:00:00+00:00\nstart 1\ncommand push\n" + "x" * 900)
    path.chmod(0o600)
    stale = holder(path)
    assert stale is not None
    assert not stale.is_alive()
    lock = Lock(path)
    assert lock.take()
    assert "x" not in path.read_text()
    lock.release()


@pytest.mark.parametrize(
    "text", ["", "\n", "x\nsince y", "1", "-5\nsince 2026-01-01T00:00:00+00:00", "9" * 5000, "1\nsince 0"]
)
def test_what_stands_in_a_foreign_lock_is_no_holder(text: str) -> None:
    assert lock_holder.parse(text) is None


@pytest.mark.parametrize(
    "leave_behind",
    [
        "import subprocess\nsubprocess.Popen(['sleep', '600'], close_fds=False)\n",
        "import os, signal\nif os.fork() == 0:\n    lock.release()\n    signal.pause()\n",
    ],
    ids=["started", "forked"],
)
def test_a_child_that_survives_does_not_keep_the_lock(tmp_path: Path, leave_behind: str) -> None:
    path = tmp_path / "l"
    script = HOLD.replace("print(", leave_behind + "print(")
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            assert path.exists()
            assert not Lock(path).take()
            process.kill()
            process.wait(60)
            os.killpg(process.pid, 0)
            lock = Lock(path)
            # The child may be between its birth and dropping what it was born with.
            assert lock.take(lambda descriptor: wait_for(descriptor, 30, Shutdown()))
            lock.release()
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_of_two_starters_exactly_one_wins_a_thousand_times(tmp_path: Path) -> None:
    pipes = [os.pipe() for _ in range(3)]
    (start_out, start_in), (end_out, end_in), (answer_out, answer_in) = pipes
    theirs = (start_out, end_out, answer_in)
    starters = [start(STARTER, tmp_path / "l", *theirs, pass_fds=theirs) for _ in range(2)]
    for descriptor in theirs:
        os.close(descriptor)
    try:
        for _ in range(1000):
            os.write(start_in, b"ss")
            assert sorted(read_exactly(answer_out, 2)) == sorted(b"WL")
            os.write(end_in, b"ee")
            assert read_exactly(answer_out, 2) == b"ee"
    finally:
        for descriptor in (start_in, end_in):
            os.close(descriptor)
        codes = [ended(process) for process in starters]
        os.close(answer_out)
    assert codes == [0, 0]


def read_exactly(descriptor: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        block = os.read(descriptor, count - len(data))
        assert block, "a starter died"
        data += block
    return data


def test_holders_that_come_and_go_never_overlap(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("0")
    counters = [start(COUNTER, tmp_path / "l", count, 200) for _ in range(4)]
    assert [ended(process) for process in counters] == [0] * 4
    assert count.read_text() == "800"
    assert not (tmp_path / "l").exists()


def test_a_link_at_the_locks_place_makes_nobody_write_elsewhere(tmp_path: Path) -> None:
    precious, path = tmp_path / "precious", tmp_path / "l"
    for make in (path.symlink_to, path.hardlink_to):
        precious.write_text("precious")
        make(precious)
        with pytest.raises(LockError, match=r"symbolic link|another name") as caught:
            Lock(path).take()
        assert caught.value.exit_code == 2
        assert precious.read_text() == "precious"
        assert path.exists()
        path.unlink()
    path.symlink_to(tmp_path / "dangling")
    with pytest.raises(LockError, match="symbolic link"):
        Lock(path).take()
    assert not (tmp_path / "dangling").exists()


def test_what_is_no_regular_file_is_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, words in (("pipe", "no regular file"), ("folder", "is a folder")):
        with pytest.raises(LockError, match=words):
            Lock(tmp_path / name).take()


def test_a_file_of_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "l"
    path.write_text("theirs")
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(LockError, match="belongs to the user") as caught:
        Lock(path).take()
    assert "remove it" in caught.value.hint
    assert path.read_text() == "theirs"


def test_a_folder_where_locks_bind_nobody_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with pytest.raises(LockError, match="taken twice"):
        Lock(tmp_path / "l").take()


def test_a_folder_that_knows_no_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)
    with pytest.raises(LockError, match="knows no locks: No locks available"):
        Lock(tmp_path / "l").take()


def test_a_refused_lock_leaves_no_descriptor_open(tmp_path: Path) -> None:
    (tmp_path / "l").symlink_to("x")
    held, before = Lock(tmp_path / "m"), descriptors()
    assert held.take()
    assert not Lock(tmp_path / "m").take()
    with pytest.raises(LockError):
        Lock(tmp_path / "l").take()
    held.release()
    assert descriptors() == before


def make_process(proc: Path, pid: int, start: str, states: str) -> None:
    for number, state in enumerate(states):
        thread = proc / str(pid) / "task" / str(pid + number)
        thread.mkdir(parents=True)
        fields = f"{pid} (a) b) {state} " + " ".join(["0"] * 18) + f" {start} 0\n"
        (thread / "stat").write_text(fields)
        if number == 0:
            (proc / str(pid) / "stat").write_text(fields)


@pytest.mark.parametrize(("states", "stuck"), [("S", False), ("SS", False), ("D", True), ("ZD", True)])
def test_exit_4_says_who_since_when_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, states: str, stuck: bool
) -> None:
    monkeypatch.setattr(lock_holder, "PROCESSES", tmp_path / "proc")
    make_process(tmp_path / "proc", 77, "555", states)
    path = tmp_path / "l"
    path.write_text("77\nsince 2026-11-21T01:02:03+00:00\nstart 555\ncommand push\n")
    error = held_error(path, "the host 'backup1'")
    assert (error.exit_code, error.code) == (4, "lock_held")
    assert "the host 'backup1'" in error.message
    assert "process 77 (push) since 2026-11-21 01:02:03 UTC" in error.message
    assert ("uninterruptible sleep" in error.message) is stuck
    assert ("zpool status" in error.hint) is stuck
    assert ("kill 77" in error.hint) is not stuck


def test_a_holder_that_is_not_visible_here_is_not_taken_for_a_process_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "l"
    path.write_text(f"{os.getpid()}\nsince 2026-11-21T01:02:03+00:00\nstart 1\ncommand push\n")
    error = held_error(path, "the host 'b'")
    assert "isn't visible here" in error.message
    assert "kill" not in error.hint


def config_in(folder: Path) -> Config:
    return Config(lock_dir=folder)


HOST = Host(name="server@remote", url="file:///nowhere")


def test_a_run_holds_its_host_and_its_repository_and_other_hosts_run_beside_it(tmp_path: Path) -> None:
    config, other = config_in(tmp_path), Host(name="other", url="file:///elsewhere")
    with locked(Session(), config, HOST, command="push") as held:
        held.repository("abcd")
        held.repository("abcd")
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "zfs-push-backups-abcd.lock",
            "zfs-push-backups-server-remote.lock",
        ]
        with pytest.raises(LockHeld, match="server@remote"), locked(Session(), config, HOST, command="cleanup"):
            pass
        with locked(Session(), config, other, command="push") as beside, pytest.raises(LockHeld, match="repository"):
            beside.repository("abcd")
        found = is_running(config, HOST)
        assert found is not None
        assert found.command == "push"
        assert is_running(config, other) is None
        assert is_running(config, other, "abcd") is not None
    assert list(tmp_path.iterdir()) == []
    assert is_running(config, HOST) is None
    assert list(tmp_path.iterdir()) == []


def test_a_url_has_its_repositorys_lock_only(tmp_path: Path) -> None:
    host = Host(name="s3://bucket/prefix", url="s3://bucket/prefix")
    with locked(Session(), config_in(tmp_path), host, command="push") as held:
        assert list(tmp_path.iterdir()) == []
        held.repository("abcd")
        assert [path.name for path in tmp_path.iterdir()] == ["zfs-push-backups-abcd.lock"]
        assert is_running(config_in(tmp_path), host, "abcd") is not None
    assert list(tmp_path.iterdir()) == []


def test_a_host_named_like_its_repository_does_not_lock_itself_out(tmp_path: Path) -> None:
    with locked(Session(), config_in(tmp_path), Host(name="abcd", url="file:///x"), command="push") as held:
        held.repository("abcd")
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_block_and_a_failed_take_release_everything(tmp_path: Path) -> None:
    session = Session()
    with pytest.raises(ZeroDivisionError), locked(session, config_in(tmp_path), HOST, command="push"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with held_by_another(tmp_path / host_lock_name("abcd")) as process:
        with pytest.raises(LockHeld), locked(session, config_in(tmp_path), HOST, command="push") as held:
            held.repository("abcd")
        assert [path.name for path in tmp_path.iterdir()] == ["zfs-push-backups-abcd.lock"]
        ended(process)
    assert session.stop.finish().abandoned == ()


def test_no_lock_is_taken_after_a_stop(tmp_path: Path) -> None:
    session = Session()
    session.stop.request("SIGTERM", 15)
    with pytest.raises(ShuttingDown), locked(session, config_in(tmp_path), HOST, command="push"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_waiting_ends_when_the_lock_comes_free(tmp_path: Path) -> None:
    path = tmp_path / host_lock_name(HOST.name)
    process = held_by_another(path)
    session = Session()
    release = threading.Timer(0.2, lambda: ended(process))
    release.start()
    started = time.monotonic()
    with locked(session, config_in(tmp_path), HOST, command="push", wait_seconds=60):
        assert path.read_text().splitlines()[0] == str(os.getpid())
    assert time.monotonic() - started < 30
    release.join()


def test_waiting_in_vain_ends_in_time_and_leaves_nobody_in_the_queue(tmp_path: Path) -> None:
    path = tmp_path / host_lock_name(HOST.name)
    before = descriptors()
    process = held_by_another(path)
    with (
        pytest.raises(LockHeld, match="after 0 s of waiting"),
        locked(Session(), config_in(tmp_path), HOST, command="push", wait_seconds=0.3),
    ):
        pass
    # The holder dies without removing its file, so the thread that still waits gets the lock, and must let it go.
    process.kill()
    ended(process)
    deadline = time.monotonic() + 30
    while descriptors() != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert descriptors() == before
    lock = Lock(path)
    assert lock.take()
    lock.release()


def test_a_stop_ends_the_waiting(tmp_path: Path) -> None:
    process = held_by_another(tmp_path / host_lock_name(HOST.name))
    session = Session()
    stopping = threading.Timer(0.2, lambda: session.stop.request("SIGTERM", 15))
    stopping.start()
    started = time.monotonic()
    with (
        pytest.raises(ShuttingDown) as caught,
        locked(session, config_in(tmp_path), HOST, command="push", wait_seconds=600),
    ):
        pass
    assert time.monotonic() - started < 60
    assert caught.value.exit_code == 143
    ended(process)


def test_who_only_looks_keeps_nobody_out(tmp_path: Path) -> None:
    path = tmp_path / host_lock_name(HOST.name)
    path.touch(mode=0o600)
    assert not is_locked(path)
    with path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        gone = threading.Timer(0.05, lambda: fcntl.flock(looking, fcntl.LOCK_UN))
        gone.start()
        with locked(Session(), config_in(tmp_path), HOST, command="push"):
            assert is_locked(path)
        gone.join()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the default folder is root's")
def test_roots_default_folder_takes_locks() -> None:
    host = Host(name=f"test-{os.getpid()}", url="file:///nowhere")
    path = Path("/var/run") / host_lock_name(host.name)
    with locked(Session(), Config(), host, command="push"):
        assert is_locked(path)
    assert not path.exists()
