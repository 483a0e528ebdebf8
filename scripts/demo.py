#!/usr/bin/env python3
"""Show the tool at work: back up a small pool, restore it twice, compare every file; exit 1 on any difference.

The pool lies on a sparse file (OpenZFS, else zfs-fuse), the store in a folder beside it; both are gone afterwards, also
after Ctrl-C. Every command is printed as it could be typed. The second restore uses stock tools only.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from demo_files import change, differences, fill, inventory
from harness.pool import Dataset, Pool, obstacle, pool, zfs_service
from harness.processes import CommandFailed

COMMAND = Path(sys.executable).with_name("zfs-push-backups")
CHILD_SECONDS = 600.0
STOP_SECONDS = 40.0


class DemoError(Exception):
    """The demonstration cannot go on, or showed a difference."""


def show(*words: str | Path) -> None:
    """Print a command, run it in the open, stop the demonstration if it fails."""
    print("\n$", shlex.join(str(word) for word in words), flush=True)
    child = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL)
    try:
        status = child.wait(CHILD_SECONDS)
    except BaseException:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_SECONDS)
        child.kill()
        raise
    if status != 0:
        raise DemoError(f"{words[0]} ended with {status}")


def tell(text: str) -> None:
    """Print a heading."""
    print(f"\n--- {text}", flush=True)


def configure(folder: Path, source: Dataset) -> Path:
    """Make a key, a place for the store, and the configuration that names both."""
    (folder / "store").mkdir()
    key = folder / "key.txt"
    show(COMMAND, "keygen", key)
    recipient = subprocess.run(
        ["age-keygen", "-y", str(key)], check=True, capture_output=True, text=True, timeout=30
    ).stdout.strip()
    pool_name, _, dataset = source.name.partition("/")
    config = folder / "config.yaml"
    config.write_text(
        f"base_dir: {folder}/state\n"
        f"lock_dir: {folder}\n"
        f"recipients: [{recipient}]\n"
        f"hosts:\n"
        f"  demo:\n"
        f"    url: file://{folder}/store\n"
        f"    part_size: 8MiB\n"
        f"tasks:\n"
        f"  - name: important\n"
        f"    pool: {pool_name}\n"
        f"    dataset: {dataset}\n"
    )
    print(f"\n$ cat {config}\n{config.read_text()}", end="")
    return config


def compare(source: Dataset, restored: str, home: Pool) -> int:
    """Mount what was restored if it is not, and compare every file; returns how many entries were equal."""
    mounted = subprocess.run(
        ["zfs", "get", "-H", "-o", "value", "mounted", restored], check=True, capture_output=True, text=True, timeout=60
    )
    if mounted.stdout.strip() != "yes":
        show("zfs", "mount", restored)
    here, there = inventory(source.path), inventory(home.path / restored.partition("/")[2])
    found = differences(here, there)
    if found:
        raise DemoError(f"{restored} differs from {source.name}:\n  " + "\n  ".join(found[:20]))
    print(f"{len(there)} files, links and folders are equal: content, mode, owner, times, link counts")
    return len(there)


def restore_by_hand(folder: Path, name: str) -> None:
    """Restore every backup, oldest first, by the recipe that lies in the store."""
    store = folder / "store"
    lists = sorted(store.glob("data/**/RECOVER.txt"), key=lambda path: path.parent.name)
    if len(lists) != 2:  # noqa: PLR2004
        raise DemoError(f"expected RECOVER.txt of two backups in {store}, found {len(lists)}")
    for parts in lists:
        loop = (
            f"cat {shlex.quote(str(parts))} | while read -r key; do "
            f"age --decrypt --identity {folder}/key.txt {store}/$key || exit 1; done | zfs receive -u {name}"
        )
        show("bash", "-o", "pipefail", "-c", loop)


def demonstrate(folder: Path, home: Pool) -> str:
    """Run the whole story; returns the summary."""
    begun = time.monotonic()
    tell(f"a dataset with odd files, on a pool of {home.kind}")
    source = home.create("important")
    fill(source.path)
    config = configure(folder, source)
    host = ("--config", config, "--host", "demo")

    tell("level 0: everything")
    show("zfs", "snapshot", f"{source.name}@monday")
    show(COMMAND, "push", *host, "--task", "important", "--level", "0")

    tell("level 1: what changed since")
    change(source.path)
    show("zfs", "snapshot", f"{source.name}@tuesday")
    show(COMMAND, "push", *host, "--task", "important", "--level", "1")
    show(COMMAND, "list", *host)

    tell("restore the chain into a new dataset")
    restored = home.unused_name("restored")
    identity = ("--identity", folder / "key.txt")
    show(COMMAND, "restore", *host, "--task", "important", *identity, "--to", restored)
    entries = compare(source, restored, home)

    tell("once more without this tool: age, cat and zfs receive, as the store's RECOVER.md says")
    by_hand = home.unused_name("by-hand")
    restore_by_hand(folder, by_hand)
    compare(source, by_hand, home)

    stored = sum(path.stat().st_size for path in (folder / "store").rglob("*") if path.is_file())
    return (
        f"2 backups pushed ({stored / 2**20:.1f} MiB in the store), restored twice, {entries} entries compared "
        f"each time, no difference; {time.monotonic() - begun:.0f} s"
    )


@contextlib.contextmanager
def workplace() -> Iterator[tuple[Path, Pool]]:
    """Make a folder and a pool for the demonstration; all of it goes at the end."""
    folder = Path(tempfile.mkdtemp(prefix="zfs-push-backups-demo-"))
    try:
        with zfs_service(folder) as kind, pool(folder, kind, owner="zpbdemo") as home:
            yield folder, home
    finally:
        tell("cleaning up")
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    def interrupt(number: int, _frame: object) -> None:
        # A second signal must not cut the cleaning up short.
        for again in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(again, signal.SIG_IGN)
        raise SystemExit(128 + number)

    reason = obstacle()
    if reason:
        print(f"error: the demonstration {reason}", file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        with workplace() as (folder, home):
            summary = demonstrate(folder, home)
    except (DemoError, CommandFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\n{summary}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
