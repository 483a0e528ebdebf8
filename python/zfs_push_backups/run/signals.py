"""SIGTERM, SIGINT and SIGHUP of the command. Importing installs nothing, and scripts keep their own handlers.

The first signal asks for an orderly stop, the second repeats the request without patience for zfs children, the third
ends the process at once. A SIGHUP that nohup ignores stays ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from zfs_push_backups.run.stop import Stop

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SIGNALS_UNTIL_EXIT = 3


@contextlib.contextmanager
def stopping_signals(stop: Stop) -> Iterator[None]:
    """Turn stopping signals into `stop.request` while the block runs, then put the former handlers back."""
    count = 0

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count >= SIGNALS_UNTIL_EXIT:
            os._exit(128 + number)
        stop.request(signal.Signals(number).name, number)

    former = {}
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            former[number] = signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
