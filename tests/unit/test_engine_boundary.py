"""The surface of the Rust module, and whole jobs through it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import zfs_push_backups
from unit.engine_jobs import STREAMS, OpenPush, Vault
from zfs_push_backups import _engine, engine, errors
from zfs_push_backups.engine_errors import CLASS_OF_CODE, translate, translate_of_file

SURFACE = {
    *("Job", "PushJob", "RestoreJob", "StoreJob", "StreamJob", "EngineError", "CancelledError"),
    *("parse_begin", "generate_identity", "check_recipients", "ERROR_CODES", "BUILD_INFO", "__version__"),
    *("new_backup_id", "resume_token", "cancel_jobs_on_signals"),
}


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path)


def push(vault: Vault, name: str = "d-full") -> engine.Report:
    stream = (STREAMS / f"{name}.zs").read_bytes()
    with (STREAMS / f"{name}.zs").open("rb") as source:
        job = engine.PushJob(vault.push_request(stream[:312]), b"", source.fileno())
    job.source_exited("success", "")
    return job.wait()


def test_the_module_has_exactly_the_agreed_names() -> None:
    always = {"__name__", "__doc__", "__package__", "__loader__", "__spec__", "__file__", "__all__"}
    assert set(vars(_engine)) - always == SURFACE
    assert set(_engine.BUILD_INFO) == {"version", "target", "profile"}
    assert _engine.__version__ == _engine.BUILD_INFO["version"] == zfs_push_backups.__version__


def test_every_code_of_the_engine_is_a_failure_of_the_package() -> None:
    assert set(CLASS_OF_CODE) == set(_engine.ERROR_CODES)
    assert list(_engine.ERROR_CODES) == sorted(_engine.ERROR_CODES)


def test_what_a_code_means_depends_on_who_reads() -> None:
    assert type(translate("stream.truncated", "x", reads_backups=False)) is errors.SourceFailed
    assert type(translate("stream.truncated", "x", reads_backups=True)) is errors.StoreDamaged
    assert type(translate("store.checksum", "x", reads_backups=True)) is errors.StoreDamaged
    assert type(translate("seal.wrong_identity", "x", reads_backups=True)) is errors.IdentityError
    assert type(translate("engine.new_one", "x", reads_backups=True)) is errors.InternalError


def test_importing_the_engine_leaves_asyncio_alone() -> None:
    script = "import sys, zfs_push_backups.engine; print('asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False"


def test_a_job_is_made_by_its_kind_alone() -> None:
    with pytest.raises(TypeError, match="Job"):
        _engine.Job()


def test_a_stream_comes_back_as_it_went(vault: Vault, tmp_path: Path) -> None:
    report = push(vault)
    target = tmp_path / "restored"
    with target.open("wb") as sink:
        job = engine.RestoreJob(vault.restore_request(report["manifest_key"]), sink.fileno())
    restored = job.wait()
    assert target.read_bytes() == (STREAMS / "d-full.zs").read_bytes()
    assert report["stream_bytes"] == restored["stream_bytes"] == target.stat().st_size
    progress = job.snapshot()
    assert (progress.stage, progress.stream_bytes) == ("done", target.stat().st_size)
    listed = vault.look({"list": {}}).wait()["backups"]
    assert [backup["key"] for backup in listed] == [report["manifest_key"]]


def test_a_source_that_failed_commits_nothing_and_its_words_are_the_error(vault: Vault) -> None:
    stream = (STREAMS / "d-full.zs").read_bytes()
    with (STREAMS / "d-full.zs").open("rb") as source:
        job = engine.PushJob(vault.push_request(stream[:312]), b"", source.fileno())
    job.source_exited("failed", "dataset is busy")
    job.source_exited("success", "too late")
    with pytest.raises(errors.SourceFailed, match="dataset is busy") as caught:
        job.wait()
    assert caught.value.code == "engine.source_failed"
    assert vault.look({"list": {}}).wait()["backups"] == []


def test_a_status_that_is_none_is_refused(vault: Vault) -> None:
    with OpenPush(vault) as push:
        with pytest.raises(errors.ConfigurationError, match="success, failed, unknown"):
            push.job.source_exited("perhaps", "")  # type: ignore[arg-type]
        push.job.cancel("enough")
        with pytest.raises(errors.Cancelled):
            push.job.wait()


def test_a_request_with_an_unknown_field_is_refused_by_name(vault: Vault) -> None:
    with pytest.raises(errors.ConfigurationError, match="stoer") as caught:
        engine.StoreJob({"store": vault.store, "operation": {"create_repository": {}}, "stoer": 1})
    assert caught.value.code == "engine.bad_request"
    assert isinstance(caught.value.__cause__, _engine.EngineError)
    assert caught.value.__cause__.code == "engine.bad_request"


@pytest.mark.parametrize("descriptor", [-1, 999_999])
def test_a_descriptor_that_is_none_is_refused(vault: Vault, descriptor: int) -> None:
    stream = (STREAMS / "d-full.zs").read_bytes()
    with pytest.raises(errors.ConfigurationError, match=f"file descriptor {descriptor} cannot be used"):
        engine.PushJob(vault.push_request(stream[:312]), b"", descriptor)


def test_the_engine_has_its_own_descriptor_and_no_child_inherits_it(vault: Vault) -> None:
    with OpenPush(vault) as push:
        pipe = inode(push.writing)
        mine = push.writing
        others = [fd for fd in open_descriptors() if fd != mine and inode(fd) == pipe]
        assert len(others) == 1, "the caller's reading end is closed, the engine's is open"
        assert not os.get_inheritable(others[0])
        push.job.cancel("enough")
        with pytest.raises(errors.Cancelled):
            push.job.wait()
        assert all(inode(fd) != pipe for fd in open_descriptors() if fd != mine), "closed after the drain"


def open_descriptors() -> list[int]:
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]


def inode(descriptor: int) -> tuple[int, int] | None:
    try:
        about = os.fstat(descriptor)
    except OSError:
        return None
    return about.st_dev, about.st_ino


def test_what_a_stream_is_comes_from_its_first_record() -> None:
    begin = engine.parse_begin((STREAMS / "d-incr.zs").read_bytes()[:312])
    assert begin["to_name"] == "tank/d@b"
    assert int(begin["from_guid"]) > 0
    assert begin["raw"] is False


@pytest.mark.parametrize(("name", "code"), [("d-R", "stream.compound"), ("z-full.resumed", "stream.resuming")])
def test_a_stream_that_is_never_taken_is_refused(name: str, code: str) -> None:
    with pytest.raises(errors.StreamRefused) as caught:
        engine.parse_begin((STREAMS / f"{name}.zs").read_bytes()[:312])
    assert caught.value.code == code


def test_a_new_identity_fits_its_recipient() -> None:
    secret, recipient = engine.generate_identity()
    assert secret.startswith("AGE-SECRET-KEY-1")
    assert engine.check_recipients([f"  {recipient}  "]) == [recipient]
    with pytest.raises(errors.IdentityError, match="age1nobody"):
        engine.check_recipients([recipient, "age1nobody"])


def test_every_thread_that_waits_gets_the_outcome(vault: Vault) -> None:
    job = vault.create()
    reports: list[engine.Report] = []
    threads = [threading.Thread(target=lambda: reports.append(job.wait())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(reports) == 3
    assert reports[0]["created"] is True
    assert reports[1:] == [reports[0]] * 2


def test_work_on_streams_is_one_of_three_with_their_descriptors() -> None:
    with (STREAMS / "d-full.zs").open("rb") as source:
        number = source.fileno()
        with pytest.raises(errors.ConfigurationError, match='"inspect" with 2 descriptors'):
            engine.StreamJob("inspect", [number, number], ["a", "b"])
        with pytest.raises(errors.ConfigurationError, match='"verify" with 1 descriptors'):
            engine.StreamJob("verify", [number], ["a"])  # type: ignore[arg-type]
        with pytest.raises(errors.ConfigurationError, match="file descriptor 999999 cannot be used"):
            engine.StreamJob("splice", [number, number, 999_999], ["a", "b"])
        report = engine.StreamJob("inspect", [number], ["a"]).wait()
    assert report["streams"][0]["to_name"] == "tank/d@a"


def test_an_error_of_work_on_streams_begins_with_the_name_of_its_stream() -> None:
    with (STREAMS / "d-full.zs").open("rb") as source:
        job = engine.StreamJob("token", [source.fileno()], ["a file"])
    with pytest.raises(errors.StreamUnfit, match=r"^a file: the send stream is whole") as caught:
        job.wait()
    assert caught.value.code == "partial.whole"


def test_a_failure_of_a_stream_in_a_file_refuses_and_blames_nobody() -> None:
    assert type(translate_of_file("stream.not_a_send_stream", "x")) is errors.StreamUnfit
    assert type(translate_of_file("stream.truncated", "x")) is errors.StreamUnfit
    assert type(translate_of_file("engine.cancelled", "x")) is errors.Cancelled
    assert {code.partition(".")[0] for code, kind in CLASS_OF_CODE.items() if kind is errors.StreamUnfit} == {
        *("package", "partial", "splice", "token")
    }
