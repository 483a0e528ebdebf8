from __future__ import annotations

import logging
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unit.catalogue.saved_runs import MACHINE, REPOSITORY, RUN, part, run
from zfs_push_backups.catalogue.catalogue import FILE_NAME, Catalogue
from zfs_push_backups.errors import StateError


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "state"


def filled(base: Path, parts: int = 400) -> Path:
    """A catalogue of one run, closed."""
    with Catalogue.open(base, machine=MACHINE) as catalogue:
        catalogue.runs.begin(RUN)
        with catalogue.runs.transaction():
            for number in range(parts):
                catalogue.runs.part(RUN.id, part(number))
    return base / FILE_NAME


def change_header(path: Path, offset: int, value: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(value)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def spoil_pages(path: Path) -> None:
    change_header(path, 4096, os.urandom(path.stat().st_size - 4096))


def other_shape(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE runs DROP COLUMN pid")
    connection.close()


DAMAGE: list[tuple[str, Callable[[Path], object], str]] = [
    ("garbage", lambda path: path.write_bytes(os.urandom(10_000)), "corrupt"),
    ("text", lambda path: path.write_text("not a catalogue\n" * 100), "corrupt"),
    ("one byte", lambda path: path.write_bytes(b"x"), "corrupt"),
    ("truncated", truncate, "corrupt"),
    ("spoilt pages", spoil_pages, "corrupt"),
    ("another shape", other_shape, "corrupt"),
    ("newer", lambda path: change_header(path, 60, (99).to_bytes(4, "big")), "newer"),
]


@pytest.mark.parametrize(("damage", "why"), [case[1:] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_what_cannot_be_trusted_is_set_aside_whole_and_not_believed(
    base: Path, damage: Callable[[Path], object], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = filled(base)
    damage(path)
    content = path.read_bytes()
    with Catalogue.open(base, machine=MACHINE) as catalogue:
        assert catalogue.runs.unfinished(REPOSITORY) == ()
        catalogue.runs.begin(RUN)
    kept = [one for one in base.iterdir() if f".{why}-" in one.name]
    assert [one.read_bytes() for one in kept if not one.name.endswith(("-wal", "-shm"))] == [content]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert kept[0].name in caplog.text
    with Catalogue.open(base, machine=MACHINE) as catalogue:
        assert [run.id for run in catalogue.runs.unfinished(REPOSITORY)] == [RUN.id]


def test_the_state_of_another_machine_is_set_aside(base: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(base)
    with Catalogue.open(base, machine="a-clone") as catalogue:
        assert catalogue.runs.unfinished(REPOSITORY) == ()
    assert "made on another machine" in caplog.text
    assert len(list(base.glob(f"{FILE_NAME}.other-machine-*"))) == 1


def test_an_empty_file_is_a_new_catalogue(base: Path, caplog: pytest.LogCaptureFixture) -> None:
    base.mkdir()
    (base / FILE_NAME).touch()
    with Catalogue.open(base, machine=MACHINE) as catalogue:
        catalogue.runs.begin(RUN)
    assert not caplog.records


def test_a_log_left_beside_an_absent_file_is_not_believed(base: Path) -> None:
    with Catalogue.open(base, machine=MACHINE) as catalogue:
        catalogue.runs.begin(RUN)
        log = (base / f"{FILE_NAME}-wal").read_bytes()
    assert log
    (base / FILE_NAME).unlink()
    (base / f"{FILE_NAME}-wal").write_bytes(log)
    with Catalogue.open(base, machine=MACHINE) as catalogue:
        assert catalogue.runs.unfinished(REPOSITORY) == ()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_modes_are_the_owners_alone_whatever_the_umask(base: Path, umask: int) -> None:
    former = os.umask(umask)
    try:
        with Catalogue.open(base / "deep", machine=MACHINE) as catalogue:
            catalogue.runs.begin(RUN)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (base / "deep").iterdir()}
    finally:
        os.umask(former)
    assert stat.S_IMODE((base / "deep").stat().st_mode) == 0o700
    assert modes == {FILE_NAME: 0o600, f"{FILE_NAME}-wal": 0o600, f"{FILE_NAME}-shm": 0o600}


def test_a_folder_that_exists_keeps_its_mode(base: Path) -> None:
    base.mkdir(mode=0o755)
    Catalogue.open(base, machine=MACHINE).close()
    assert stat.S_IMODE(base.stat().st_mode) == 0o755


def test_a_link_in_place_of_the_file_is_refused(base: Path, tmp_path: Path) -> None:
    base.mkdir()
    (base / FILE_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError):
        Catalogue.open(base, machine=MACHINE)
    assert not (tmp_path / "elsewhere").exists()


def test_a_base_dir_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"catalogue\.sqlite3") as caught:
        Catalogue.open(tmp_path / "file", machine=MACHINE)
    assert "base_dir" in caught.value.hint
    assert caught.value.exit_code == 1


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB of its own."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it mounts a tmpfs")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k,mode=700", "none", folder], check=True, timeout=30)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True, timeout=30)


def test_a_read_only_base_dir_is_a_state_error_before_anything_runs(mount: Path) -> None:
    filled(mount, parts=1)
    subprocess.run(["mount", "-o", "remount,ro", mount], check=True, timeout=30)
    with pytest.raises(StateError, match=r"[Rr]ead-only"):
        Catalogue.open(mount, machine=MACHINE)


def test_a_full_disk_is_a_state_error_and_what_was_saved_stays(mount: Path) -> None:
    saved = 0
    with Catalogue.open(mount, machine=MACHINE) as catalogue:
        catalogue.runs.begin(RUN)

        def fill() -> None:
            nonlocal saved
            for number in range(100_000):
                catalogue.runs.part(RUN.id, part(number))
                saved = number + 1

        with pytest.raises(StateError, match="full") as caught:
            fill()
        assert "free space" in caught.value.hint
    assert saved > 10
    with Catalogue.open(mount, machine=MACHINE) as catalogue:
        (found,) = catalogue.runs.unfinished(REPOSITORY)
        assert len(found.parts) == saved


def test_a_disk_that_is_full_at_the_start_is_a_state_error(mount: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        (mount / "ballast").write_bytes(bytes(1 << 20))
    with pytest.raises(StateError):
        Catalogue.open(mount / "state", machine=MACHINE)


def test_a_file_size_limit_is_a_state_error(base: Path) -> None:
    filled(base, parts=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Catalogue.open(base, machine=MACHINE) as catalogue:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            with pytest.raises(StateError):
                catalogue.runs.part(RUN.id, part(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        catalogue.runs.part(RUN.id, part(1))
        assert len(catalogue.runs.unfinished(REPOSITORY)[0].parts) == 2


def test_a_lock_that_is_not_given_back_is_a_state_error(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zfs_push_backups.catalogue.database.BUSY_SECONDS", 0.1)
    path = filled(base, parts=1)
    with Catalogue.open(base, machine=MACHINE) as catalogue:
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match="locked") as caught:
            catalogue.runs.part(RUN.id, part(1))
        assert "another program" in caught.value.hint
        blocker.close()
        catalogue.runs.part(RUN.id, part(1))


def test_of_openers_at_the_same_time_none_sets_aside_what_another_made(base: Path) -> None:
    path = filled(base)
    path.write_bytes(os.urandom(10_000))
    together = threading.Barrier(8)
    failures: list[BaseException] = []

    def open_it(number: int) -> None:
        try:
            together.wait(30)
            with Catalogue.open(base, machine=MACHINE) as catalogue:
                for one in range(20):
                    catalogue.runs.begin(run(one, id=f"{number}-{one}"))
        except BaseException as error:  # noqa: BLE001  # shown below
            failures.append(error)

    threads = [threading.Thread(target=open_it, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with Catalogue.open(base, machine=MACHINE) as catalogue:
        assert len(catalogue.runs.unfinished(REPOSITORY)) == 160
    assert len([one for one in base.iterdir() if ".corrupt-" in one.name]) == 1


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from unit.catalogue.saved_runs import MACHINE, RUN, part
from zfs_push_backups.catalogue.catalogue import Catalogue
catalogue = Catalogue.open(Path(sys.argv[1]), machine=MACHINE)
catalogue.runs.begin(RUN)
catalogue.runs.part(RUN.id, part(0))
with catalogue.runs.transaction():
    for number in range(1, 3000):
        catalogue.runs.part(RUN.id, part(number))
    print("in the middle", flush=True)
    sys.stdin.read()
"""


def test_killed_in_mid_transaction_nothing_of_it_is_there_and_all_before_it_is(base: Path) -> None:
    tests = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(base), str(tests)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in the middle\n"
        process.send_signal(signal.SIGKILL)
    with Catalogue.open(base, machine=MACHINE) as catalogue:
        (found,) = catalogue.runs.unfinished(REPOSITORY)
        assert [one["number"] for one in found.parts] == [0]


def test_looking_needs_no_writing_and_works_beside_a_writer(base: Path) -> None:
    assert Catalogue.look(base, machine=MACHINE) is None
    assert not base.exists()
    with Catalogue.open(base, machine=MACHINE) as catalogue:
        catalogue.runs.begin(RUN)
        with catalogue.runs.transaction():
            catalogue.runs.part(RUN.id, part(0))
            found = Catalogue.look(base, machine=MACHINE)
            assert found is not None
            assert [one.parts for one in found.runs.open_runs()] == [0]
        assert [one.parts for one in found.runs.open_runs()] == [1]
        with pytest.raises(StateError):
            found.runs.finish(RUN.id, "abandoned")
        found.close()


@pytest.mark.parametrize("damage", [case[1] for case in DAMAGE], ids=[case[0] for case in DAMAGE])
def test_looking_leaves_what_cannot_be_trusted_alone_and_shows_nothing_of_it(
    base: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    path = filled(base)
    damage(path)
    before = path.read_bytes()
    assert Catalogue.look(base, machine=MACHINE) is None
    assert path.read_bytes() == before
    assert "not shown" in caplog.text


@pytest.fixture(autouse=True)
def warnings_are_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
