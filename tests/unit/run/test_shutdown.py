from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from zfs_push_backups.errors import Cancelled, HookFailed, ShuttingDown
from zfs_push_backups.run.hooks import run_hook
from zfs_push_backups.cli.signals import stopping_signals
from zfs_push_backups.run.shutdown import Shutdown

if TYPE_CHECKING:
    from pathlib import Path


class Job:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def cancel(self, reason: str, within_seconds: float | None = None) -> None:
        self.reasons.append(reason)


def test_a_stop_cancels_the_jobs_attached_and_those_to_come() -> None:
    stop, early, late, gone = Shutdown(), Job(), Job(), Job()
    with stop.attached(gone):
        stop.check()
    with stop.attached(early):
        stop.request("SIGTERM", signal.SIGTERM)
    with stop.attached(late):
        pass
    assert (early.reasons, late.reasons, gone.reasons) == (["SIGTERM"], ["SIGTERM"], [])


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
    with stopping_signals(stop):
        os.kill(os.getpid(), number)
        assert stop.requested
        assert stop.as_error().exit_code == 128 + number
    assert signal.getsignal(number) is before


def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = Shutdown()
        with stopping_signals(stop):
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_third_signal_ends_the_process_at_once() -> None:
    script = (
        "import os, signal\n"
        "from zfs_push_backups.cli.signals import stopping_signals\n"
        "from zfs_push_backups.run.shutdown import Shutdown\n"
        "with stopping_signals(Shutdown()):\n"
        "    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):\n"
        "        os.kill(os.getpid(), number)\n"
        "print('survived')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert "survived" not in done.stdout


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
