from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import zfs_push_backups
from harness.pool import DatasetFactory, Pool
from integration.fake_source import hanging_source
from integration.workbench import Workbench
from zfs_push_backups.errors import ZfsError

ROOT = Path(__file__).parents[2]


@pytest.mark.pool
def test_blocking_push_list_check_and_restore(bench: Workbench, dataset: DatasetFactory, zfs_pool: Pool) -> None:
    one = dataset("library")
    (one.path / "random").write_bytes(os.urandom(1 << 20))
    one.snapshot("s")
    config = str(bench.config)
    seen: list[int] = []
    summary = zfs_push_backups.push(
        config=config, dataset=one.name, on_progress=lambda progress: seen.append(progress.stream_bytes)
    )
    assert [result.status for result in summary.results] == ["pushed"]
    listing = zfs_push_backups.list_backups(config=config, long=True)
    assert [row.snapshot for row in listing.backups] == ["s"]
    assert zfs_push_backups.check(config=config).ok
    target = zfs_pool.unused_name("library")
    restored = zfs_push_backups.restore(config=config, dataset=one.name, to=target, identities=(str(bench.key),))
    assert restored.restored[0].snapshots == ("s",)
    with pytest.raises(ZfsError, match="does not exist"):
        zfs_push_backups.push(config=config, dataset=one.name + "x")


@pytest.mark.pool
def test_the_awaitable_forms(bench: Workbench, dataset: DatasetFactory, zfs_pool: Pool) -> None:
    one = dataset("await")
    one.snapshot("s")
    config = str(bench.config)
    target = zfs_pool.unused_name("await")

    async def story() -> None:
        pushed = await zfs_push_backups.push_async(config=config, dataset=one.name)
        assert pushed.count("pushed") == 1
        assert len((await zfs_push_backups.list_backups_async(config=config)).backups) == 1
        assert (await zfs_push_backups.check_async(config=config)).ok
        await zfs_push_backups.restore_async(config=config, dataset=one.name, to=target, identities=(str(bench.key),))

    asyncio.run(story())


def test_cancelling_the_awaiting_task_drains_and_raises(
    bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = hanging_source(tmp_path)
    monkeypatch.setenv("PATH", fake.path())

    async def story() -> None:
        loop, under_way = asyncio.get_running_loop(), asyncio.Event()

        def on_progress(progress: object) -> None:
            if getattr(progress, "stream_bytes", 0):
                loop.call_soon_threadsafe(under_way.set)

        push = asyncio.create_task(
            zfs_push_backups.push_async(config=str(bench.config), dataset="t/d", on_progress=on_progress)
        )
        await asyncio.wait_for(under_way.wait(), 30)
        push.cancel()
        with pytest.raises(asyncio.CancelledError):
            await push

    asyncio.run(story())
    left = subprocess.run(["pgrep", "-f", str(fake.program)], check=False, capture_output=True, timeout=30)
    assert left.stdout == b""
    assert bench.listed() == []


def test_ctrl_c_in_a_script_ends_cleanly_as_its_own_keyboardinterrupt(bench: Workbench, tmp_path: Path) -> None:
    fake = hanging_source(tmp_path)
    script = (
        "import sys\nfrom zfs_push_backups import push\n"
        "def say(progress):\n    if progress.stream_bytes: print('under way', flush=True)\n"
        f"try:\n    push(config={str(bench.config)!r}, dataset='t/d', on_progress=say)\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=bench.environment(fake.path()),
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "under way\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out.splitlines()[-1], err) == (0, "interrupted", "")
    left = subprocess.run(["pgrep", "-f", str(fake.program)], check=False, capture_output=True, timeout=30)
    assert left.stdout == b""
    assert bench.listed() == []


@pytest.mark.pool
def test_the_example_script_runs(bench: Workbench, dataset: DatasetFactory, zfs_pool: Pool) -> None:
    one = dataset("example")
    (one.path / "file").write_text("text")
    one.snapshot("s")
    target = zfs_pool.unused_name("example")
    words = [one.name, bench.url, bench.recipient, str(bench.key), target]
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "nightly.py"), *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert f"{one.name}@s" in done.stdout
    assert target in done.stdout


def test_unknown_names_of_the_package_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = zfs_push_backups.nonsense
    assert set(zfs_push_backups.__all__) <= set(dir(zfs_push_backups))
