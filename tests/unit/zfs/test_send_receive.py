from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from harness.pool import Dataset, DatasetFactory, Pool, zfs
from unit.fake_zfs import FakeZfs
from zfs_push_backups.errors import SourceFailed, ZfsError
from zfs_push_backups.zfs import datasets, send, snapshots
from zfs_push_backups.zfs.capabilities import Capabilities, probe
from zfs_push_backups.zfs.command import ZfsCommand
from zfs_push_backups.zfs.receive import ReceiveProcess, unmount

if TYPE_CHECKING:
    from pathlib import Path


class Outcome:
    """Collects the one report of a send."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, str]] = []
        self.reported = threading.Event()

    def __call__(self, verdict: str, message: str) -> None:
        self.reports.append((verdict, message))
        self.reported.set()

    def wait(self) -> tuple[str, str]:
        assert self.reported.wait(20)
        return self.reports[0]


def filled(dataset: DatasetFactory, megabytes: int = 4) -> Dataset:
    one = dataset("sent")
    (one.path / "random").write_bytes(os.urandom(megabytes << 20))
    one.snapshot("one")
    return one


def read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()


def collect(zfs_command: ZfsCommand, arguments: tuple[str, ...]) -> bytes:
    outcome = Outcome()
    with send.SendProcess(zfs_command, arguments) as process:
        engine_end = os.dup(process.fileno())
        process.close_pipe()
        process.supervise(outcome)
        data = read_all(engine_end)
        assert outcome.wait()[0] == "success"
    assert len(outcome.reports) == 1
    return data


def feed(process: ReceiveProcess, data: bytes) -> None:
    with os.fdopen(os.dup(process.fileno()), "wb") as pipe:
        pipe.write(data)


def test_a_right_that_is_missing_is_named_in_the_hint(tmp_path: Path) -> None:
    fake = FakeZfs(tmp_path)
    fake.answer("send", "t/d@a", err="warning: cannot send 't/d@a': permission denied\n", code=1)

    def refused() -> None:
        outcome = Outcome()
        with send.SendProcess(ZfsCommand(str(fake.program)), ("send", "t/d@a")) as process:
            process.supervise(outcome)
            raise SourceFailed(outcome.wait()[1])

    with pytest.raises(SourceFailed) as caught:
        refused()
    assert "zfs allow USER send,hold,release" in caught.value.hint


@pytest.mark.pool
def test_a_full_and_an_incremental_arrive(zfs_pool: Pool, dataset: DatasetFactory) -> None:
    one = filled(dataset)
    (one.path / "second").write_text("later")
    one.snapshot("two")
    command, target = ZfsCommand(), zfs_pool.unused_name("received")
    found = probe(command)
    streams = [
        collect(command, send.send_arguments(f"{one.name}@one", base=None, flags=found.block_flags())),
        collect(command, send.send_arguments(f"{one.name}@two", base=f"{one.name}@one", flags=found.block_flags())),
    ]
    try:
        for stream in streams:
            with ReceiveProcess(command, found, target, force=False) as process:
                feed(process, stream)
                process.finish()
        if not found.receive_unmounted:
            unmount(command, target)
        guids = [snapshot.guid for snapshot in snapshots.list_points(command, target, probe(command))[0]]
        assert guids == [snapshot.guid for snapshot in snapshots.list_points(command, one.name, probe(command))[0]]
        assert zfs("get", "-Hp", "-o", "value", "mounted", target).strip() == "no"
    finally:
        zfs_pool.destroy(target)


@pytest.mark.pool
def test_a_killed_send_is_reported_as_failed_whatever_the_pipe_still_delivers(dataset: DatasetFactory) -> None:
    one = filled(dataset, megabytes=16)
    outcome = Outcome()
    with send.SendProcess(ZfsCommand(), ("send", f"{one.name}@one")) as process:
        engine_end = os.dup(process.fileno())
        process.close_pipe()
        process.supervise(outcome)
        os.read(engine_end, 1 << 20)
        os.killpg(process._process.pid, signal.SIGTERM)
        read_all(engine_end)
        verdict, message = outcome.wait()
    assert verdict == "failed"
    assert "killed by signal 15" in message
    assert len(outcome.reports) == 1


@pytest.mark.pool
def test_leaving_the_block_ends_the_send(dataset: DatasetFactory) -> None:
    one = filled(dataset, megabytes=16)
    outcome = Outcome()
    with send.SendProcess(ZfsCommand(), ("send", f"{one.name}@one")) as process:
        process.supervise(outcome)
    assert outcome.wait()[0] == "failed"
    assert process._process.returncode is not None


@pytest.mark.pool
def test_a_send_that_zfs_refuses_says_why(dataset: DatasetFactory) -> None:
    one = dataset("refused")
    outcome = Outcome()
    with send.SendProcess(ZfsCommand(), ("send", f"{one.name}@absent")) as process:
        process.supervise(outcome)
        verdict, message = outcome.wait()
    assert verdict == "failed"
    assert "does not exist" in message


@pytest.mark.pool
def test_a_cut_stream_leaves_no_dataset_and_the_words_of_zfs(zfs_pool: Pool, dataset: DatasetFactory) -> None:
    one = filled(dataset)
    command, target = ZfsCommand(), zfs_pool.unused_name("cut")
    found = probe(command)
    stream = collect(command, ("send", f"{one.name}@one"))
    with ReceiveProcess(command, found, target, force=False) as process:
        with contextlib.suppress(BrokenPipeError):
            feed(process, stream[: len(stream) // 2])
        with pytest.raises(ZfsError, match="zfs receive"):
            process.finish()
    assert not datasets.exists(command, target)


@pytest.mark.pool
def test_a_receive_into_a_dataset_that_exists_says_so(dataset: DatasetFactory) -> None:
    one = filled(dataset)
    command = ZfsCommand()
    found = probe(command)
    stream = collect(command, ("send", f"{one.name}@one"))
    with ReceiveProcess(command, found, one.name, force=False) as process:
        with contextlib.suppress(BrokenPipeError):
            feed(process, stream)
        with pytest.raises(ZfsError, match="exists"):
            process.finish()


@pytest.mark.pool
def test_the_estimate_is_near_the_stream(dataset: DatasetFactory) -> None:
    one = filled(dataset)
    command = ZfsCommand()
    (snapshot,) = snapshots.list_points(command, one.name, probe(command))[0]
    arguments = send.send_arguments(snapshot.full_name, base=None, flags=())
    guess = send.estimate(command, probe(command), datasets.describe(command, one.name), snapshot, arguments)
    assert guess is not None
    assert 0.5 < guess / len(collect(command, arguments)) < 2


def test_an_estimate_that_takes_too_long_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send, "ESTIMATE_TIMEOUT_SECONDS", 0.3)
    fake = FakeZfs(tmp_path / "bin")
    fake.answer("send", "-nP", hang=True)
    snapshot = snapshots.Snapshot("t/d", "s", 1, 2, 3)
    facts = datasets.Dataset("t/d", "filesystem", None, encrypted=False, used=9, referenced=8)
    able, words = Capabilities("x", None, send_estimate=True), ("send", "-i", "t/d#b", "t/d@s")
    assert send.estimate(ZfsCommand(str(fake.program)), able, facts, snapshot, words) is None


def test_zfs_is_asked_for_the_estimate_where_it_can_say(tmp_path: Path) -> None:
    fake = FakeZfs(tmp_path / "bin")
    fake.answer("send", "-nP", out="full\tt/d@s\t4242\nsize\t4242\n")
    command = ZfsCommand(str(fake.program))
    snapshot = snapshots.Snapshot("t/d", "s", 1, 2, 3)
    facts = datasets.Dataset("t/d", "filesystem", None, encrypted=False, used=9, referenced=8)
    able = Capabilities("x", None, send_estimate=True)
    assert send.estimate(command, able, facts, snapshot, ("send", "-i", "t/d@r", "t/d@s")) == 4242
    assert fake.calls() == [["send", "-nP", "-i", "t/d@r", "t/d@s"]]
    unable = Capabilities("x", None)
    assert send.estimate(command, unable, facts, snapshot, ("send", "-i", "t/d@r", "t/d@s")) is None


def test_flags_and_arguments() -> None:
    able = Capabilities("x", None, send_large_blocks=True, send_embedded=True, send_compressed=True)
    assert send.flags_for(able, raw=True) == ("-w",)
    assert send.flags_for(able, raw=False) == ("-L", "-e", "-c")
    assert send.send_arguments("t@b", base="t@a", flags=("-L",)) == ("send", "-L", "-i", "t@a", "t@b")
    assert send.verdict(("send", "t@a"), 0, "WARNING: odd\n") == ("success", "WARNING: odd")


def test_receive_flags_follow_capability_and_force(tmp_path: Path) -> None:
    fake = FakeZfs(tmp_path / "bin")
    fake.answer("receive")
    command = ZfsCommand(str(fake.program))
    for able, force in ((True, False), (True, True), (False, False)):
        with ReceiveProcess(command, Capabilities("x", None, receive_unmounted=able), "t/d", force=force) as process:
            process.finish()
    assert fake.calls() == [["receive", "-u", "t/d"], ["receive", "-u", "-F", "t/d"], ["receive", "t/d"]]
