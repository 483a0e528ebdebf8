"""What the hooks behind a task are told, with and without a stop."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from zfs_push_backups.config.models import Task
from zfs_push_backups.run.push import Queue
from zfs_push_backups.run.shutdown import Shutdown

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize(("done", "status"), [(True, "ok\n"), (False, "failed\n")])
def test_the_status_is_what_became_of_the_task(tmp_path: Path, *, stopped: bool, done: bool, status: str) -> None:
    told, stop = tmp_path / "told", Shutdown()
    hook = ("/bin/sh", "-c", f"echo $ZPB_STATUS > {told}")
    task = Task.model_validate({"name": "task", "pool": "tank", "dataset": "data", "hooks": {"after": (hook,)}})
    destination = SimpleNamespace(host=SimpleNamespace(name="backup1"))
    queue = Queue(cast("Any", None), cast("Any", SimpleNamespace(stop=stop)), cast("Any", destination))
    if stopped:
        stop.request("SIGTERM", signal.SIGTERM)
    queue.after(task, ok=done)
    assert told.read_text() == status
    assert queue.errors == []
