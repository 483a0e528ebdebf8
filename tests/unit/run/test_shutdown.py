from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from zfs_push_backups.cli.signals import stopping_signals
from zfs_push_backups.errors import Cancelled, ConfigurationError, HookFailed, ShuttingDown
from zfs_push_backups.run.bounded import Outcome
from zfs_push_backups.run.hooks import run_hook
from zfs_push_backups.run.shutdown import Shutdown
from zfs_push_backups.run.timeouts import PHASES, Timeouts, timeouts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Job:
    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.limits: list[float | None] = []

    def cancel(self, reason: str, within_seconds: float | None = None) -> None:
        self.reasons.append(reason)
        self.limits.append(within_seconds)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_stop_cancels_the_jobs_attached_and_those_to_come() -> None:
    stop, early, late, gone = Shutdown(), Job(), Job(), Job()
    with stop.attached(gone):
        stop.check()
    with stop.attached(early):
        stop.request("SIGTERM", signal.SIGTERM)
    with stop.attached(late):
        pass
    assert (early.reasons, late.reasons, gone.reasons) == (["SIGTERM"], ["SIGTERM"], [])


def test_a_job_gets_what_is_left_of_its_time_and_nothing_once_it_is_to_hurry() -> None:
    clock, job = Clock(), Job()
    stop = Shutdown(clock=clock)
    stop.timeouts = timeouts(10, {"SHUTDOWN_GRACEFUL_TIMEOUT": "20"})
    stop.request("SIGTERM", signal.SIGTERM)
    clock.now += 5
    with stop.attached(job):
        clock.now += 5
        stop.request("SIGTERM", signal.SIGTERM)
        stop.hurry()
    assert job.limits == [15, 10, 0]


def test_the_first_request_decides_and_new_work_is_refused() -> None:
    stop = Shutdown()
    stop.request("SIGHUP", signal.SIGHUP)
    stop.request("SIGTERM", signal.SIGTERM)
    with pytest.raises(ShuttingDown) as caught:
        stop.check()
    assert caught.value.exit_code == 129
    assert "SIGHUP" in caught.value.message
    assert stop.as_error().exit_code == 129


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_ask_for_the_stop_and_handlers_come_back(number: signal.Signals) -> None:
    stop = Shutdown()
    before = signal.getsignal(number)
    with stopping_signals(stop) as numbers:
        assert numbers == {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
        os.kill(os.getpid(), number)
        assert stop.is_shutting_down()
        assert stop.as_error().exit_code == 128 + number
    assert signal.getsignal(number) is before
    assert signal.set_wakeup_fd(-1) == -1
    assert "signals" not in {thread.name for thread in threading.enumerate()}


def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = Shutdown()
        with stopping_signals(stop) as numbers:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
            assert numbers == {signal.SIGTERM, signal.SIGINT}
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def script(text: str) -> subprocess.CompletedProcess[str]:
    begin = (
        "import logging, os, signal, sys, threading, time\n"
        "from zfs_push_backups.cli.signals import stopping_signals\n"
        "from zfs_push_backups.run.shutdown import Shutdown\n"
        "from zfs_push_backups.run.timeouts import Timeouts\n"
        "logging.basicConfig(level='WARNING')\n"
        "stop, me = Shutdown(), os.getpid()\n"
    )
    return subprocess.run([sys.executable, "-c", begin + text], check=False, capture_output=True, text=True, timeout=60)


def test_the_third_signal_ends_the_process_at_once() -> None:
    done = script(
        "stop.push('all', lambda: print('cleaned up', flush=True))\n"
        "with stopping_signals(stop):\n"
        "    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):\n"
        "        os.kill(me, number)\n"
        "print('survived', flush=True)\n"
    )
    assert (done.returncode, done.stdout) == (130, "")


def test_signals_are_heard_while_the_main_thread_hangs_in_a_call() -> None:
    done = script(
        "import ctypes\n"
        "def send():\n"
        "    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP):\n"
        "        os.kill(me, number)\n"
        "        while number == signal.SIGTERM and not stop.requested: time.sleep(0.01)\n"
        "        time.sleep(0.1)\n"
        "with stopping_signals(stop):\n"
        "    threading.Thread(target=send, daemon=True).start()\n"
        # Goes on after each signal without giving Python's handlers a turn.
        "    ctypes.CDLL(None).pthread_join(ctypes.c_ulong(threading.enumerate()[-1].ident), None)\n"
        "    time.sleep(50)\n"
        "print('survived', flush=True)\n"
    )
    assert (done.returncode, done.stdout) == (129, "")


def test_a_stop_that_hangs_is_ended_when_its_time_is_up() -> None:
    done = script(
        "stop.timeouts = Timeouts(0.5)\n"
        "stop.push('lock', lambda: print('released', flush=True))\n"
        "with stopping_signals(stop):\n"
        "    threading.Timer(0.1, os.kill, (me, signal.SIGHUP)).start()\n"
        "    while True: time.sleep(60)\n"
    )
    assert (done.returncode, done.stdout) == (129, "released\n")
    assert "takes too long" in done.stderr
    assert "stopped by SIGHUP" in done.stderr


def test_cleanups_run_last_in_first_out_each_once() -> None:
    stop, ran = Shutdown(), []
    first = stop.push("first", lambda: ran.append("first"))
    stop.push("second", lambda: ran.append("second"))
    third = stop.push("third", lambda: ran.append("third"))
    stop.push("fourth", lambda: stop.push("fifth", lambda: ran.append("fifth")))
    third()
    third()
    stop.request("SIGTERM", signal.SIGTERM)
    stop.finish()
    first()
    stop.finish()
    assert ran == ["third", "fifth", "second", "first"]


def test_what_a_cleanup_raises_is_the_callers_when_it_is_run_now() -> None:
    stop = Shutdown()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            stop.push("bad", lambda: 1 // 0)()
        stop.request("SIGTERM", signal.SIGTERM)
    assert stop.finish().failed == ()


def test_one_that_overruns_and_one_that_raises_keep_the_rest_from_nothing(caplog: pytest.LogCaptureFixture) -> None:
    stop, ran, gate = Shutdown(), [], threading.Event()
    stop.push("last", lambda: ran.append("last"))
    stop.push("broken", lambda: 1 // 0)
    stop.push("hung", gate.wait, deadline_seconds=0.2)
    stop.push("first", lambda: ran.append("first"))
    stop.request("SIGTERM", signal.SIGTERM)
    begun = time.monotonic()
    summary = stop.finish()
    gate.set()
    assert time.monotonic() - begun < 20
    assert ran == ["first", "last"]
    assert (summary.abandoned, summary.failed) == (("hung",), ("broken",))
    said = [record.getMessage() for record in caplog.records]
    assert said == ["hung took too long and is left behind", "broken failed: integer division or modulo by zero"]


def test_the_time_of_the_whole_stop_bounds_a_cleanup_that_has_no_deadline() -> None:
    stop, gate = Shutdown(), threading.Event()
    stop.timeouts = Timeouts(0.5)
    stop.push("hung", gate.wait)
    stop.request("SIGTERM", signal.SIGTERM)
    assert stop.finish().abandoned == ("hung",)
    gate.set()


def test_a_second_signal_wakes_who_waits_for_a_cleanup_but_not_for_the_run_state() -> None:
    stop, ran, gate, begun = Shutdown(), [], threading.Event(), threading.Event()

    def save() -> None:
        begun.set()
        gate.wait()
        ran.append("saved")

    def hang() -> None:
        stop.hurry()
        threading.Event().wait()

    stop.push("run state", save, phase="db")
    stop.push("hung", hang)
    stop.request("SIGTERM", signal.SIGTERM)

    def hurry_while_it_is_saved() -> None:
        begun.wait()
        stop.hurry()
        gate.set()

    waiting = threading.Thread(target=hurry_while_it_is_saved)
    waiting.start()
    summary = stop.finish()
    waiting.join()
    assert summary.abandoned == ("hung",)
    assert ran == ["saved"]
    assert summary.seconds["background"] < 20


def test_an_interruption_of_the_end_hurries_it_and_comes_out_of_it() -> None:
    stop, ran, gate = Shutdown(), [], threading.Event()

    def hang() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        gate.wait()

    stop.push("last", lambda: ran.append("last"))
    stop.push("hung", hang)
    with pytest.raises(KeyboardInterrupt):
        stop.finish()
    gate.set()
    assert ran == ["last"]
    assert stop.finish().abandoned == ("hung",)


def test_without_a_thread_to_be_had_a_cleanup_still_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    stop, ran = Shutdown(), []
    stop.push("first", lambda: ran.append("first"))
    monkeypatch.setattr(threading.Thread, "start", full)
    stop.finish()
    assert ran == ["first"]


def test_the_summary_says_what_was_done_and_how_long_each_phase_took() -> None:
    clock = Clock()

    class Instant:
        def __init__(self, work: Callable[[], object], _name: str) -> None:
            work()

        def wait(self, _left: Callable[[], float]) -> Outcome:
            return Outcome(done=True)

        def wake(self) -> None:
            pass

    stop = Shutdown(clock=clock, start=Instant)
    for name in ("tank/a", "tank/b", "tank/c", "tank/d"):
        stop.note(name, "pending")
    stop.note("tank/a", "finished")
    stop.note("tank/b", "resumable")
    stop.push("state", lambda: setattr(clock, "now", clock.now + 0.5), phase="db")
    release = stop.push("lock", lambda: setattr(clock, "now", clock.now + 1))
    stop.request("SIGTERM", signal.SIGTERM)
    clock.now += 2
    release()
    summary = stop.finish()
    assert summary.seconds == {"graceful": 2, "background": 1, "db": 0.5}
    assert summary.line() == (
        "stopped by SIGTERM in 3.5 s (work 2.0 s, clean-ups 1.0 s, run state 0.5 s); "
        "finished: tank/a; resumable: tank/b; pending: tank/c, tank/d"
    )
    assert summary.as_fields()["pending"] == "tank/c, tank/d"


@pytest.mark.parametrize(
    "variable", ["SHUTDOWN_GRACEFUL_TIMEOUT", "SHUTDOWN_BACKGROUND_TIMEOUT", "SHUTDOWN_DB_TIMEOUT"]
)
@pytest.mark.parametrize("value", ["x", "-1", "1e3", "30s", "nan", "inf", "1 2", "9" * 99])
def test_a_bad_timeout_in_the_environment_is_one_clear_line(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{variable}: found .*; allowed: seconds") as caught:
        timeouts(30, {variable: value})
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_timeouts_of_the_environment_replace_their_part() -> None:
    assert timeouts(30, {"SHUTDOWN_DB_TIMEOUT": ""}).until("db") == pytest.approx(30)
    chosen = timeouts(30, {"SHUTDOWN_GRACEFUL_TIMEOUT": "2.5", "SHUTDOWN_DB_TIMEOUT": "60"})
    assert [chosen.length(phase) for phase in PHASES] == pytest.approx([2.5, 3, 60])
    assert chosen.until("db") == pytest.approx(65.5)


def test_a_hook_gets_its_variables_and_no_shell(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_hook(
        [sys.executable, "-c", f"import os; open({str(out)!r}, 'w').write(os.environ['ZPB_TASK'])"],
        {"ZPB_TASK": "a b"},
        Shutdown(),
    )
    assert out.read_text() == "a b"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["/nowhere/hook"], "can't run"),
        ([sys.executable, "-c", "import sys; print('disk is away'); sys.exit(3)"], "status 3: disk is away"),
    ],
)
def test_a_hook_that_fails_says_how(argv: list[str], words: str) -> None:
    with pytest.raises(HookFailed, match=words):
        run_hook(argv, {}, Shutdown())


def test_a_stop_ends_a_hook_that_hangs(tmp_path: Path) -> None:
    stop, begun = Shutdown(), tmp_path / "begun"
    script = f"import signal, time; signal.signal(15, signal.SIG_IGN); open({str(begun)!r}, 'w'); time.sleep(600)"

    class Watching(Shutdown):
        @property
        def requested(self) -> bool:
            if begun.exists():
                self.reason = "SIGTERM"
            return bool(self.reason)

    stop = Watching()
    started = time.monotonic()
    with pytest.raises(Cancelled):
        run_hook([sys.executable, "-c", script], {}, stop)
    assert time.monotonic() - started < 30


def test_a_hook_that_leaves_a_process_behind_is_not_waited_for() -> None:
    started = time.monotonic()
    run_hook(["/bin/sh", "-c", "echo begun; sleep 30 & exit 0"], {}, Shutdown())
    assert time.monotonic() - started < 15
    with pytest.raises(HookFailed, match="status 4: begun"):
        run_hook(["/bin/sh", "-c", "echo begun; sleep 30 & exit 4"], {}, Shutdown())
