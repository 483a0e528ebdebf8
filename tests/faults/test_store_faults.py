"""A real store behind a proxy that refuses, resets, hangs, lies late, loses answers and changes bits.

Whatever the fault: the push commits what is right, or fails with one clear line and a documented code; and the next
run without the fault finishes, restores to the right bytes and leaves nothing behind. All cases run side by side once
(most of them wait for the client's patience), then each is a test of its own.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import pytest

from faults.machine import FULL
from faults.worker import Worker
from harness.proxy import Exchange, Fault, cut_after, flip, hang_after, late, lose_reply, say, slow

pytestmark = [pytest.mark.pool, pytest.mark.garage]

# A case that waits longer than this for nothing is wrong, however it ends.
LONGEST_SECONDS = 45.0
# Patience for a test's time: the defaults are a minute and five.
PATIENCE = {"stall_timeout": "3s", "retry_timeout": "12s"}
DENIED = (403, "AccessDenied")
SLOW_DOWN = (503, "SlowDown")
BROKEN = (500, "InternalError")

Spoil = Callable[[Worker], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True)
class Case:
    """One fault: how it is made, how the push may end, which words the error must have. `large`: multipart parts."""

    name: str
    spoil: Spoil
    codes: tuple[int, ...]
    words: tuple[str, ...] = ()
    large: bool = False


def rule(kind: str, fault: Fault, first: int = 1, count: int | None = 1) -> Spoil:
    """Make one rule, and demand that it was met."""

    @contextlib.contextmanager
    def spoil(worker: Worker) -> Iterator[None]:
        one = worker.proxy.on(kind, fault, first=first, count=count)
        yield
        assert one.met > 0, f"no request met the fault: {worker.proxy.count()}"

    return spoil


@contextlib.contextmanager
def nobody_listens(worker: Worker) -> Iterator[None]:
    with worker.proxy.refusing():
        yield


@contextlib.contextmanager
def away_for_a_while(worker: Worker) -> Iterator[None]:
    """The server restarts in the middle of a push."""
    reached, back = threading.Event(), threading.Event()

    def restart() -> None:
        if reached.wait(30):
            with worker.proxy.refusing():
                # Long enough that several attempts meet it.
                threading.Event().wait(2)
        back.set()

    def fault(exchange: Exchange) -> None:
        reached.set()
        exchange.proxy.pause(5)
        exchange.reset()

    worker.proxy.on("PUT part", fault, first=2)
    thread = threading.Thread(target=restart)
    thread.start()
    yield
    assert reached.is_set()
    assert back.wait(30)
    thread.join()


@contextlib.contextmanager
def gone_behind_the_manifest(worker: Worker) -> Iterator[None]:
    """The manifest is written, its answer lost, and nothing is reached any more: nobody can know what stands."""
    lost = worker.proxy.on("PUT manifest", lose_reply)
    worker.proxy.on("PUT manifest", say(*DENIED), first=2, count=None)
    worker.proxy.on("GET manifest", say(*DENIED), count=None)
    worker.proxy.on("HEAD manifest", say(*DENIED), count=None)
    yield
    assert lost.met == 1


CASES = [
    Case("nobody listens", nobody_listens, (1,), ("cannot",)),
    Case("away for a while", away_for_a_while, (0,)),
    Case("the first answer denied", rule("*", say(*DENIED), count=None), (1,), ("denied",)),
    Case("intent denied", rule("PUT intent", say(*DENIED), count=None), (1,), ("denied",)),
    Case("a part reset in the middle", rule("PUT part", cut_after(300_000), first=2), (0,)),
    Case("every part reset in the middle", rule("PUT part", cut_after(300_000), count=None), (1,)),
    Case("a part hangs", rule("PUT part", hang_after(300_000), first=2), (0, 1)),
    Case("every part hangs", rule("PUT part", hang_after(300_000), count=None), (1,)),
    Case("the listing hangs", rule("GET list", hang_after(0), count=None), (1,)),
    Case("the manifest hangs", rule("PUT manifest", hang_after(0), count=None), (1,)),
    Case("three 500", rule("PUT part", say(*BROKEN), first=2, count=3), (0,)),
    Case("five SlowDown", rule("PUT part", say(*SLOW_DOWN), first=2, count=5), (0,)),
    Case("500 for ever", rule("PUT part", say(*BROKEN), first=2, count=None), (1,)),
    Case("denied after some parts", rule("PUT part", say(*DENIED), first=4, count=None), (1,), ("denied",)),
    Case("the answer of a part lost", rule("PUT part", lose_reply, first=2), (0,)),
    Case("the answer of every first try lost", rule("PUT part", lose_reply, count=3), (0,)),
    Case("the answer of the manifest lost", rule("PUT manifest", lose_reply), (0,)),
    Case("the answer of the manifest lost for good", gone_behind_the_manifest, (1,)),
    Case("the manifest denied", rule("PUT manifest", say(*DENIED), count=None), (1,), ("denied",)),
    Case("the intent can't be removed", rule("DELETE intent", say(*DENIED), count=None), (0,)),
    Case("a slow link", rule("PUT part", slow(2_000_000), count=None), (0,)),
    Case("late answers", rule("PUT part", late(0.8), count=None), (0,)),
    Case("a bit of a part flipped", rule("PUT part", flip(200_000), first=2), (0, 1)),
    Case("a bit of every part flipped", rule("PUT part", flip(200_000), count=None), (1,)),
    Case("a bit of the manifest flipped", rule("PUT manifest", flip(40)), (0, 1)),
    Case("a bit of meta.age flipped", rule("PUT meta", flip(90)), (0, 1)),
    Case("a piece reset", rule("PUT piece", cut_after(1_000_000), first=2), (0,), large=True),
    Case("a piece flipped", rule("PUT piece", flip(1_000_000), first=2), (0, 1), large=True),
    Case("the answer of a piece lost", rule("PUT piece", lose_reply, first=2), (0,), large=True),
    Case("a piece hangs", rule("PUT piece", hang_after(0), first=2, count=None), (1,), large=True),
    Case("the answer of Complete lost", rule("POST complete", lose_reply), (0,), large=True),
    Case("Complete says 500", rule("POST complete", say(*BROKEN), count=2), (0,), large=True),
    Case("Complete denied", rule("POST complete", say(*DENIED), count=None), (1,), ("denied",), large=True),
    Case("no upload may begin", rule("POST begin", say(*DENIED), count=None), (1,), ("denied",), large=True),
    Case("uploads can't be ended", rule("DELETE upload", say(*BROKEN), count=None), (1,), large=True),
]


def spoilt(case: Case, worker: Worker) -> None:
    """Push with the fault, then without, and demand everything."""
    large: dict[str, Any] = {"part_size": "12MiB", "more": {"memory_budget": "32MiB"}} if case.large else {}
    with worker.machine("bucket", host=PATIENCE, **large) as machine:
        begun = time.monotonic()
        if case.name == "uploads can't be ended":
            worker.proxy.on("PUT piece", say(*DENIED), first=2, count=None)
        with case.spoil(worker):
            ended = machine.push(FULL)
        assert time.monotonic() - begun < LONGEST_SECONDS, machine.log()
        worker.proxy.clear()
        machine.honest()
        assert ended.code in case.codes, machine.log()
        if ended.code:
            ended.refused(ended.code, *case.words)
        machine.push_until_done(FULL)
        machine.proven(FULL)
        machine.release(FULL)


@pytest.fixture(scope="module")
def verdicts(workers: list[Worker], large_workers: list[Worker]) -> dict[str, BaseException | None]:
    """How each case went."""
    free: dict[bool, SimpleQueue[Worker]] = {False: SimpleQueue(), True: SimpleQueue()}
    for size, made in ((False, workers), (True, large_workers)):
        for one in made:
            free[size].put(one)

    def verdict(case: Case) -> BaseException | None:
        worker = free[case.large].get()
        try:
            spoilt(case, worker)
        except Exception as failure:  # noqa: BLE001 - it is raised again by the case's own test
            return failure
        finally:
            free[case.large].put(worker)
        return None

    with ThreadPoolExecutor(len(workers) + len(large_workers)) as pool:
        return dict(zip((case.name for case in CASES), pool.map(verdict, CASES), strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_fault_of_the_store(case: Case, verdicts: dict[str, BaseException | None]) -> None:
    failure = verdicts[case.name]
    if failure is not None:
        raise failure
