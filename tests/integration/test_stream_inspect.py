"""`stream inspect`: what is in a send stream of any kind; whole, truncated and corrupt are told apart."""

from __future__ import annotations

import json
import os
import pty
import random
import socket
import subprocess
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from bench import measure
from harness import made_streams as made
from harness.pool import DatasetFactory
from harness.program import COMMAND, SECONDS, STREAMS, Ended, program, without_aws
from zfs_push_backups.run.session import Session
from zfs_push_backups.run.stream_inspect import Inspected
from zfs_push_backups.run.stream_inspect import inspect as inspected

WHOLE = sorted(path.stem for path in STREAMS.glob("*.zs"))
FULL = (STREAMS / "d-full.zs").read_bytes()
# name: features and flags by name, and kinds of records, that must be among those shown.
SHOWN: dict[str, tuple[set[str], set[str], set[str]]] = {
    "d-full": ({"sa_spill"}, {"free_records", "spill_blocks"}, {"begin", "object", "write", "free", "end"}),
    "d-lec": ({"embed_data", "lz4", "compressed"}, set(), {"write"}),
    "e-raw": ({"raw", "compressed"}, set(), {"object_range"}),
    "l-lc": ({"large_blocks", "zstd", "compressed"}, set(), {"write"}),
    "x-full": ({"large_dnode"}, set(), {"spill"}),
    "x-incr": (set(), set(), {"spill"}),
    "z-full": ({"embed_data"}, set(), {"write_embedded"}),
    "d-full.resumed": ({"resuming"}, set(), {"write"}),
    "fuse-dedup": ({"dedup", "dedup_props"}, set(), {"write"}),
}


def inspect(file: Path | str, *words: str, stdin: bytes | Path | None = None) -> Ended:
    return program("stream", "inspect", file, *words, stdin=stdin)


def look(folder: Path, stream: bytes) -> Inspected:
    """Inspect bytes without the cost of a process."""
    file = folder / "stream"
    file.write_bytes(stream)
    return inspected(str(file), Session())


def state(found: Inspected) -> tuple[str, str]:
    verdict = found.report["verdict"]
    return verdict["state"], verdict.get("code", "")


@pytest.mark.parametrize("name", WHOLE)
def test_every_recorded_stream_is_whole_and_counted_to_the_byte(name: str) -> None:
    found = inspected(str(STREAMS / f"{name}.zs"), Session())
    assert found.failure is None
    report = found.report
    assert report["bytes"] == (STREAMS / f"{name}.zs").stat().st_size
    everything = [*report["streams"], *([report["package"]] if report["package"] else [])]
    assert sum(kind["bytes"] for stream in everything for kind in stream["records"]) == report["bytes"]
    features, flags, kinds = SHOWN.get(name, (set(), set(), set()))
    (first, *_) = report["streams"]
    assert features <= set(first["features"])
    assert flags <= set(first["flags"])
    assert kinds <= {kind["kind"] for kind in first["records"]}


def test_the_command_shows_it_for_people() -> None:
    out = inspect(STREAMS / "d-incr.zs").good().out.decode()
    assert out.splitlines()[0] == f"{STREAMS / 'd-incr.zs'}: whole, 563072 bytes"
    for words in (
        "tank/d@b",
        "incremental on guid 9716679661548986790",
        "flags: free_records, spill_blocks",
        "sa_spill",
    ):
        assert words in out
    (writes,) = [line.split() for line in out.splitlines() if line.split()[:1] == ["write"]]
    assert writes == ["write", "7", "529032", "526848", "526848"]


def test_the_command_shows_it_for_machines_in_one_document() -> None:
    report = inspect(STREAMS / "d-R.zs", "--json").good().json()
    assert report["verdict"] == {"state": "whole"}
    assert [stream["to_name"] for stream in report["streams"]] == ["tank/d@a", "tank/d@b"]
    assert report["package"]["objset"] == "package"
    # Guids are text: a reader of JSON numbers would round them.
    assert report["streams"][1]["from_guid"] == report["streams"][0]["to_guid"] == "9716679661548986790"
    assert report["streams"][0]["end_checksum"] == "f4ac1b8fcc9c/c7f82f749de8f4d8/3ae9831a5fdc07b8/53a1ded3d4924848"
    resumed = inspect(STREAMS / "z-full.resumed.zs", "--json").good().json()
    assert resumed["streams"][0]["resumes_at"] == {"object": 1, "offset": 352256}


@pytest.mark.parametrize("order", ["<", ">"])
def test_streams_of_both_byte_orders_redacted_and_with_bits_that_have_no_name(
    order: made.Order, tmp_path: Path
) -> None:
    features = made.REDACTED_BIT | 1 << 18
    parts = [made.begin(b"tank/r@a", order=order, features=features)]
    parts += [made.record(made.REDACT, 5, 0, 0, 4096, order=order), made.end(order=order)]
    stream = made.summed(parts, order=order)
    (found,) = look(tmp_path, stream).report["streams"]
    assert found["byte_order"] == {"<": "little", ">": "big"}[order]
    assert found["features"] == ["redacted"]
    assert found["unknown_feature_bits"] == 1 << 18
    assert [kind["kind"] for kind in found["records"]] == ["begin", "end", "redact"]
    out = inspect("-", stdin=stream).good().out.decode()
    assert "features: redacted, unknown(0x40000)" in out
    cut = inspect("-", stdin=stream[:-1])
    cut.refused(1, "stdin: the send stream ends after", "without its END record")


@pytest.mark.parametrize("name", ["d-full", "d-R", "fuse-incr", "z-full.resumed", "e-raw"])
def test_a_stream_cut_anywhere_is_truncated(name: str, tmp_path: Path) -> None:
    stream = (STREAMS / f"{name}.zs").read_bytes()
    dice = random.Random(name)  # noqa: S311
    cuts = {1, 8, 100, 311, 312, 313, len(stream) - 1, len(stream) - 312, len(stream) - 313, len(stream) - 624}
    cuts |= {dice.randrange(1, len(stream)) for _ in range(30)}
    for cut in sorted(cuts):
        found = look(tmp_path, stream[:cut])
        assert state(found) == ("truncated", "stream.truncated"), cut
        assert found.report["bytes"] == found.report["verdict"]["at"] == cut
        assert found.failure is not None
        assert found.failure.exit_code == 1


@pytest.mark.parametrize("name", ["d-full", "d-R", "fuse-full", "z-full.resumed", "e-raw"])
def test_a_stream_with_one_bit_flipped_anywhere_is_not_whole(name: str, tmp_path: Path) -> None:
    stream = (STREAMS / f"{name}.zs").read_bytes()
    dice = random.Random(f"bits of {name}")  # noqa: S311
    for _ in range(40):
        at, bit = dice.randrange(len(stream)), dice.randrange(8)
        found = look(tmp_path, stream[:at] + bytes([stream[at] ^ 1 << bit]) + stream[at + 1 :])
        # A length that was flipped may reach over the end; never is it whole.
        assert state(found)[0] in {"corrupt", "truncated"}, (at, bit)
        assert found.failure is not None


BROKEN: dict[str, tuple[bytes, str, str, str]] = {
    "truncated": (FULL[:400_000], "truncated", "stream.truncated", "ends after 400000 bytes"),
    "corrupt": (FULL[:9000] + b"\xff" + FULL[9001:], "corrupt", "stream.checksum_mismatch", "checksum mismatch"),
    "empty": (b"", "corrupt", "stream.empty", "is empty"),
    "text": (b"hello\n" * 1000, "corrupt", "stream.not_a_send_stream", "not a ZFS send stream"),
    "half a BEGIN": (FULL[:200], "truncated", "stream.truncated", "after 200 bytes"),
    "two files": (FULL + FULL, "corrupt", "stream.bytes_after_end", "byte 790136"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_whole_is_exit_1_one_line_and_a_stable_code(name: str, tmp_path: Path) -> None:
    stream, verdict, code, words = BROKEN[name]
    file = tmp_path / "a stream.zs"
    file.write_bytes(stream)
    for_people = inspect(file)
    for_people.refused(1, f"{file}: ", words)
    assert for_people.out.decode().startswith(f"{file}: {verdict}, ")
    for_machines = inspect(file, "--json")
    for_machines.refused(1, words)
    report = for_machines.json()
    assert (report["verdict"]["state"], report["verdict"]["code"]) == (verdict, code)
    assert report["error"]["code"] == code
    assert report["error"]["exit_code"] == 1


def test_what_can_be_gone_on_with_is_said(tmp_path: Path) -> None:
    cases = {"d-full": True, "d-R": False, "z-full.resumed": False}
    for name, has_token in cases.items():
        found = look(tmp_path, (STREAMS / f"{name}.zs").read_bytes()[:60_000])
        assert found.failure is not None
        assert ("stream token" in found.failure.hint) is has_token, name


def test_names_from_a_stream_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    stream = made.summed([made.begin(b"tank/\x1b[2Jx\n\xff@a"), made.end()])
    file = tmp_path / "bell\a\n.zs"
    file.write_bytes(stream)
    out = inspect(file).good().out.decode()
    assert r"tank/\x1b[2Jx\n" in out
    assert r"bell\x07\n.zs: whole" in out
    assert "\x1b" not in out
    assert "\a" not in out
    # In JSON they are what they are.
    assert inspect(file, "--json").good().json()["file"] == str(file)


@pytest.mark.parametrize("length", [0xFFFF_FFFF, 1 << 24, 3])
def test_lengths_that_lie_cost_nothing(length: int, tmp_path: Path) -> None:
    head = bytearray(made.begin(b"tank/h@a").header)
    head[4:8] = length.to_bytes(4, "little")
    found = look(tmp_path, bytes(head) + bytes(1000))
    assert state(found)[0] in {"corrupt", "truncated"}


def test_a_package_of_very_many_streams_is_read_to_its_end_in_bounded_memory(tmp_path: Path) -> None:
    one = made.summed([made.begin(b"tank/s@a"), made.end()])
    package = made.begin(b"tank", header_type=2, guid=0)
    sums = made.Fletcher("<")
    sums.update(package.header)
    stream = package.header + made.record(made.END, *sums.sums).header + one * 20_000 + made.record(made.END).header
    found = look(tmp_path, stream)
    assert state(found) == ("whole", "")
    assert len(found.report["streams"]) + found.report["streams_left_out"] == 20_000
    assert found.report["streams_left_out"] > 10_000
    out = inspect(tmp_path / "stream").good().out
    assert f"{found.report['streams_left_out']} more streams".encode() in out


def test_a_long_stream_takes_no_more_memory_than_a_short_one() -> None:
    command = [str(COMMAND), "stream", "inspect", "--json", "-"]
    # A child's peak includes that of the process that started it, so a fresh and small one starts it.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        short = fresh.submit(measure.run_fed, command, 8 * measure.MIB).result()
        long = fresh.submit(measure.run_fed, command, 512 * measure.MIB).result()
    assert long.peak < short.peak + 8 * measure.MIB


def test_what_is_no_file_is_refused_in_one_line(tmp_path: Path) -> None:
    inspect(tmp_path).refused(2, f"{tmp_path} is a folder")
    inspect(tmp_path / "nowhere").refused(2, "there is no file", "nowhere")
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(tmp_path / "socket"))
    inspect(tmp_path / "socket").refused(1, "socket can't be read")
    bound.close()
    inspect("/dev/zero").refused(1, "/dev/zero: this is not a ZFS send stream")
    inspect("/proc/self/mem").refused(1, "/proc/self/mem: reading the send stream failed")
    inspect("x" * 5000).refused(1, "File name too long")
    secret = tmp_path / "secret"
    secret.write_bytes(FULL)
    secret.chmod(0)
    bound_root = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    program("stream", "inspect", secret, wrapper=bound_root).refused(1, "secret can't be read: Permission denied")


def shell(script: str, file: Path) -> Ended:
    words = ["sh", "-c", script.replace("COMMAND", str(COMMAND)), "sh", str(file)]
    done = subprocess.run(words, check=False, capture_output=True, timeout=SECONDS, env=without_aws())
    return Ended(done.returncode, done.stdout, done.stderr.decode())


def test_standard_streams_that_are_closed_full_or_gone() -> None:
    file = STREAMS / "d-full.zs"
    shell('COMMAND stream inspect "$1" >&-', file).refused(1, "stdout can't be written")
    shell('COMMAND stream inspect --json "$1" >/dev/full', file).refused(1, "No space left on device")
    gone = shell('COMMAND stream inspect "$1" | true', file)
    assert gone.err == ""
    shell("COMMAND stream inspect - <&-", file).refused(1, "stdin: reading the send stream failed")
    assert shell('COMMAND stream inspect - <"$1"', file).good().out.startswith(b"stdin: whole")


def test_a_terminal_is_no_stream() -> None:
    controller, terminal = pty.openpty()
    try:
        words = [str(COMMAND), "stream", "inspect", "-"]
        done = subprocess.run(words, check=False, capture_output=True, timeout=SECONDS, stdin=terminal)
        Ended(done.returncode, done.stdout, done.stderr.decode()).refused(2, "stdin is a terminal")
        inspect(os.ttyname(terminal)).refused(2, "is a terminal")
    finally:
        os.close(controller)
        os.close(terminal)


def sent(file: Path, *words: str) -> Path:
    with file.open("wb") as out:
        subprocess.run(["zfs", "send", *words], stdout=out, check=True, timeout=60)
    return file


@pytest.mark.pool
def test_what_a_real_zfs_sends(dataset: DatasetFactory, tmp_path: Path) -> None:
    source = dataset("inspected")
    for number in range(20):
        (source.path / f"file-{number}").write_bytes(os.urandom(100_000))
    first = source.snapshot("a")
    (source.path / "file-3").unlink()
    (source.path / "more").write_bytes(os.urandom(300_000))
    second = source.snapshot("b")
    streams = {
        "full": sent(tmp_path / "full", first),
        "incremental": sent(tmp_path / "incremental", "-i", first, second),
        "compound": sent(tmp_path / "compound", "-R", second),
        "all between": sent(tmp_path / "between", "-I", first, second),
    }
    reports: dict[str, Any] = {name: json.loads(inspect(file, "--json").good().out) for name, file in streams.items()}
    assert [stream["to_name"] for stream in reports["compound"]["streams"]] == [first, second]
    assert reports["incremental"]["streams"][0]["from_guid"] == reports["full"]["streams"][0]["to_guid"]
    (full,) = reports["full"]["streams"]
    assert full["objects"] >= 20
    written = {kind["kind"]: kind for kind in full["records"]}["write"]["logical_bytes"]
    assert written >= 20 * 100_000
    for file in streams.values():
        stream = file.read_bytes()
        for cut in (len(stream) // 3, len(stream) - 100):
            assert state(look(tmp_path, stream[:cut])) == ("truncated", "stream.truncated")
        flipped = bytearray(stream)
        flipped[len(stream) // 2] ^= 4
        assert state(look(tmp_path, bytes(flipped)))[0] == "corrupt"
