"""Jobs in asyncio: awaited, cancelled, forgotten; the loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from unit.engine_jobs import OpenPush, Vault
from zfs_push_backups import _engine, engine, errors


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def test_a_job_is_awaited_and_its_events_are_logged(vault: Vault, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="zfs_push_backups"):
        report = asyncio.run(engine.await_job(vault.create()))
    assert report["created"] is True
    assert "repository made" in [record.getMessage() for record in caplog.records]


def test_two_jobs_are_awaited_at_once(vault: Vault) -> None:
    async def both() -> tuple[engine.Report, engine.Report]:
        return await asyncio.gather(engine.await_job(vault.create()), engine.await_job(vault.look({"list": {}})))

    created, listed = asyncio.run(both())
    assert created["created"] is True
    assert listed["backups"] == []


def test_a_failed_job_raises_what_the_package_understands(vault: Vault) -> None:
    vault.root.rmdir()
    with pytest.raises(errors.ZfsPushBackupsError) as caught:
        asyncio.run(engine.await_job(vault.create()))
    assert caught.value.code in _engine.ERROR_CODES
    assert isinstance(caught.value.__cause__, _engine.EngineError)


def test_cancelling_the_task_cancels_the_job_and_drains_it_first(vault: Vault) -> None:
    async def cancel_midway(push: OpenPush) -> None:
        ticked = asyncio.Event()
        task = asyncio.create_task(engine.await_job(push.job, ticked.set))
        await ticked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert push.job.snapshot().stage == "done", "the task ended before the job had drained"

    with OpenPush(vault) as push:
        asyncio.run(cancel_midway(push))
        with pytest.raises(errors.Cancelled, match="CancelledError was raised while awaiting"):
            push.job.wait()


def test_a_timeout_around_the_job_ends_it_as_well(vault: Vault) -> None:
    async def limited(push: OpenPush) -> None:
        async with asyncio.timeout(0.05):
            await engine.await_job(push.job)

    with OpenPush(vault) as push:
        with pytest.raises(TimeoutError):
            asyncio.run(limited(push))
        assert push.job.snapshot().stage == "done"


def test_a_tick_that_raises_ends_the_job_and_is_raised_after_the_drain(vault: Vault) -> None:
    def tick() -> None:
        raise ZeroDivisionError("in the tick")

    with OpenPush(vault) as push:
        with pytest.raises(ZeroDivisionError):
            asyncio.run(engine.await_job(push.job, tick))
        assert push.job.snapshot().stage == "done"


def test_cancelling_the_bare_future_leaves_the_job_alone(vault: Vault) -> None:
    async def give_up(job: _engine.Job) -> None:
        future = job.finished()
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future

    with OpenPush(vault) as push:
        native = push.job._native
        asyncio.run(give_up(native))
        assert '"stage":"done"' not in native.snapshot()
        native.cancel("enough")
        with pytest.raises(_engine.CancelledError, match="enough"):
            native.wait()


def test_a_job_that_is_only_awaited_is_not_forgotten(vault: Vault) -> None:
    async def only_await() -> str:
        return await vault.create()._native.finished()

    assert '"created":true' in asyncio.run(only_await())


def test_a_wait_whose_loop_dies_leaves_nothing_that_calls_it(vault: Vault, capfd: pytest.CaptureFixture[str]) -> None:
    loop = asyncio.new_event_loop()
    with OpenPush(vault) as push:
        waiting = push.job.wait_async()
        step = loop.create_task(asyncio.sleep(0))

        async def begin() -> None:
            await step
            waiting.send(None)

        loop.run_until_complete(begin())
        loop.close()
        waiting.close()
        push.job.cancel("enough")
        with pytest.raises(errors.Cancelled, match="enough"):
            push.job.wait()
    # The late outcome of a second job has passed through the same watching thread, so that of the first has as well.
    asyncio.run(engine.await_job(vault.create()))
    assert capfd.readouterr().err == ""
