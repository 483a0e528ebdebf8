"""How a wait ends: cancel, signals, exceptions, forks, forgotten jobs. Every end drains."""

from __future__ import annotations

import functools
import logging
import os
import queue
import select
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.engine_jobs import OpenPush, Vault
from zfs_push_backups import _engine, engine, errors

PATIENCE_SECONDS = 30
SIGNAL_SECONDS = 10


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


@pytest.fixture
def push(vault: Vault) -> Iterator[OpenPush]:
    with OpenPush(vault) as running:
        yield running
        running.job.cancel("the test is over")
        with pytest.raises(errors.Cancelled):
            running.job.wait()


def test_a_cancel_from_another_thread_ends_the_wait_within_a_second(push: OpenPush) -> None:
    waits = threading.Event()
    asked: list[float] = []

    def cancel() -> None:
        assert waits.wait(PATIENCE_SECONDS)
        asked.append(time.monotonic())
        push.job.cancel("the operator said so")

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(errors.Cancelled, match="the operator said so") as caught:
        push.job.wait(waits.set)
    thread.join()
    # Far above what it takes, so that a busy machine passes; a drain that hangs takes five seconds and more.
    assert time.monotonic() - asked[0] < 4
    assert caught.value.code == "engine.cancelled"
    assert isinstance(caught.value.__cause__, _engine.CancelledError)


def test_a_signal_handler_that_cancels_ends_the_wait_with_its_reason(push: OpenPush) -> None:
    former = signal.signal(signal.SIGTERM, lambda *_: push.job.cancel("SIGTERM"))
    try:
        with pytest.raises(errors.Cancelled, match="SIGTERM"):
            SignalledWait(push.job, signal.SIGTERM).run()
    finally:
        signal.signal(signal.SIGTERM, former)


def test_a_signal_handler_that_raises_is_raised_after_the_drain(push: OpenPush) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        SignalledWait(push.job, signal.SIGINT).run()
    assert push.job.snapshot().stage == "done"
    assert caught.value.__notes__ == ["the job was cancelled and has drained"]


class SignalledWait:
    """Sends a signal to this process once the job is being waited for, by a tick that runs no Python code.

    So it is the engine's wait that must run the handler, not the interpreter between two lines of a tick.
    """

    def __init__(self, job: engine.Job, number: int) -> None:
        self._job = job
        self._ticks: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send, args=(number,))

    def run(self) -> None:
        self._thread.start()
        try:
            self._job.wait(functools.partial(self._ticks.put, None))
        finally:
            self._ended.set()
            self._thread.join()

    def _send(self, number: int) -> None:
        self._ticks.get(timeout=PATIENCE_SECONDS)
        os.kill(os.getpid(), number)
        if not self._ended.wait(SIGNAL_SECONDS):
            self._job.cancel("the wait did not run the signal's handler")


def test_a_tick_that_raises_cancels_drains_and_is_not_called_again(push: OpenPush) -> None:
    calls: list[int] = []

    def tick() -> None:
        calls.append(1)
        raise ZeroDivisionError("in the tick")

    with pytest.raises(ZeroDivisionError, match="in the tick"):
        push.job.wait(tick)
    assert calls == [1]
    assert push.job.snapshot().stage == "done"
    with pytest.raises(errors.Cancelled, match="ZeroDivisionError was raised while waiting"):
        push.job.wait()


def test_a_wait_lets_other_threads_run(push: OpenPush) -> None:
    def count() -> None:
        assert sum(range(200_000)) == 19_999_900_000
        push.job.cancel("counted")

    thread = threading.Thread(target=count)
    thread.start()
    with pytest.raises(errors.Cancelled, match="counted"):
        push.job.wait()
    thread.join()


def test_a_forgotten_job_is_cancelled(vault: Vault) -> None:
    with OpenPush(vault) as push:
        del push.job
        # The engine's end of the pipe closes when the job ends.
        poll = select.poll()
        poll.register(push.writing, 0)
        assert poll.poll(PATIENCE_SECONDS * 1000), "nobody stopped the job"


def test_a_forked_child_cannot_use_the_job(push: OpenPush) -> None:
    with warnings.catch_warnings():
        # Newer Pythons warn of any fork beside threads; that it is refused cleanly is what this test is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            push.job.wait()
        except errors.InternalError as error:
            code = 42 if error.code == "engine.forked" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_events_reach_logging_in_order_with_their_own_time(vault: Vault, caplog: pytest.LogCaptureFixture) -> None:
    before = time.time()
    with caplog.at_level(logging.INFO, logger="zfs_push_backups"):
        report = engine.run(vault.create())
    records = [record for record in caplog.records if record.name == "zfs_push_backups.engine.repository"]
    assert [record.getMessage() for record in records] == ["repository made"]
    assert before - 1 < records[0].created < time.time() + 1
    assert vars(records[0])["fields"]["repository"] == report["repository"]["id"]


def test_debug_events_are_recorded_only_where_logging_wants_them(
    vault: Vault, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    class Native(_engine.Job):
        @staticmethod
        def log_debug(enabled: bool) -> None:
            asked.append(enabled)

    monkeypatch.setattr(_engine, "Job", Native)
    for level in (logging.INFO, logging.DEBUG):
        with caplog.at_level(level, logger="zfs_push_backups"):
            vault.create().wait()
    assert asked == [False, True]
