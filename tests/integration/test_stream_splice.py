"""`stream token` and `stream splice`: a stream that broke off becomes the very bytes that one run would have sent."""

from __future__ import annotations

import contextlib
import json
import os
import random
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import made_streams as made
from harness.damage import flipped
from harness.processes import CommandFailed, run
from harness.program import COMMAND, SECONDS, STREAMS, Ended, program, without_aws
from zfs_push_backups import errors
from zfs_push_backups.run.session import Session
from zfs_push_backups.run.stream_inspect import inspect
from zfs_push_backups.run.stream_splice import SpliceOptions, splice
from zfs_push_backups.run.stream_token import token

# What OpenZFS itself sent for a token of its own.
RESUMED_BY_ZFS = ["d-full", "d-lec", "e-raw", "l-lc", "z-full"]
WHOLE = (STREAMS / "z-full.zs").read_bytes()
RESUMED = (STREAMS / "z-full.resumed.zs").read_bytes()
# The border of z-full.resumed, and what has to be kept for it: the header behind it too.
BORDER, KEPT = 230_856, 231_168
# Sends what the recorded ZFS sent, for the token of its border alone.
FAKE_ZFS = f"""#!/bin/sh
[ "$1 $2" = "send -t" ] || exit 9
{COMMAND} stream token broken.zs --json | grep -qF "\\"token\\": \\"$3\\"" || exit 8
exec cat {STREAMS}/z-full.resumed.zs
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `kept` and `resumed` in it."""
    (tmp_path / "kept").write_bytes(WHOLE[:KEPT])
    (tmp_path / "resumed").write_bytes(RESUMED)
    return tmp_path


def spliced(folder: Path, *words: str | Path, stdin: bytes | Path | None = None) -> Ended:
    return program("stream", "splice", folder / "kept", folder / "resumed", *words, stdin=stdin)


def refused(folder: Path, kept: bytes, resumed: bytes) -> errors.ZfsPushBackupsError:
    """Splice without the cost of a process; nothing may be written."""
    (folder / "kept").write_bytes(kept)
    (folder / "resumed").write_bytes(resumed)
    before = sorted(path.name for path in folder.iterdir())
    options = SpliceOptions(kept=f"{folder}/kept", resumed=f"{folder}/resumed", output=f"{folder}/out")
    with pytest.raises(errors.ZfsPushBackupsError) as caught:
        splice(options, Session())
    assert sorted(path.name for path in folder.iterdir()) == before
    assert caught.value.exit_code == 1
    return caught.value


@pytest.mark.parametrize("name", RESUMED_BY_ZFS)
@pytest.mark.parametrize("share", [0.75, 0.99])
def test_what_zfs_sent_makes_the_stream_whole_to_the_byte(name: str, share: float, tmp_path: Path) -> None:
    whole = (STREAMS / f"{name}.zs").read_bytes()
    (tmp_path / "kept").write_bytes(whole[: int(len(whole) * share)])
    (tmp_path / "resumed").write_bytes((STREAMS / f"{name}.resumed.zs").read_bytes())
    done = spliced(tmp_path, "--output", tmp_path / "out").good()
    assert (tmp_path / "out").read_bytes() == whole
    assert done.out == b""
    assert f"is whole in {tmp_path}/out, {len(whole)} bytes" in done.err
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "resumed", "out"}


@pytest.mark.parametrize("name", ["broken.zs", "-broken file's.zs"])
def test_the_commands_that_token_prints_do_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "broken.zs").write_bytes(WHOLE[:231_500])
    (tmp_path / name).write_bytes(WHOLE[:231_500])
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "zfs").write_text(FAKE_ZFS)
    (binaries / "zfs").chmod(0o755)
    (binaries / "zfs-push-backups").symlink_to(COMMAND)
    environment = {**without_aws(), "PATH": f"{binaries}:{os.environ['PATH']}"}
    words = ["zfs-push-backups", "stream", "token", f"./{name}"]
    told = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment, timeout=60)
    facts = dict(line.split(": ", 1) for line in told.stdout.partition("\n\n")[0].splitlines())
    assert facts["keep"] == str(KEPT)
    assert facts["token"].startswith("1-")
    assert facts["goes on at"] == f"object 1, offset 352256, byte {BORDER}"
    commands = [line.strip() for line in told.stdout.splitlines() if line.startswith("  ")]
    assert [command.split()[0] for command in commands] == ["head", "zfs", "zfs-push-backups"]
    script = "\n".join(commands)
    subprocess.run(["bash", "-ec", script], check=True, cwd=tmp_path, env=environment, timeout=60)
    assert (tmp_path / f"{name}.kept").stat().st_size == KEPT
    assert (tmp_path / f"{name}.whole").read_bytes() == WHOLE


def test_token_for_machines_and_from_stdin(tmp_path: Path) -> None:
    report = program("stream", "token", "-", "--json", stdin=WHOLE[:231_500]).good().json()
    assert (report["file"], report["keep_bytes"], report["border_bytes"]) == (None, KEPT, BORDER)
    assert report["broken"]["code"] == "stream.truncated"
    assert report["begin"]["to_name"] == "tank/z@a"
    assert [command.split()[0] for command in report["commands"]] == ["head", "zfs", "zfs-push-backups"]


def test_a_token_is_there_for_every_length_and_its_border_is_proven(tmp_path: Path) -> None:
    dice = random.Random("tokens")  # noqa: S311
    file = tmp_path / "broken"
    borders = set()
    for cut in sorted(dice.randrange(2000, len(WHOLE)) for _ in range(40)):
        file.write_bytes(WHOLE[:cut])
        report = token(str(file), Session()).report
        assert report["border_bytes"] + 312 == report["keep_bytes"] <= cut
        borders.add(report["border_bytes"])
        # The same from what is kept alone.
        file.write_bytes(WHOLE[: report["keep_bytes"]])
        assert token(str(file), Session()).report["token"] == report["token"]
        # Damage is as good as an end.
        file.write_bytes(flipped(WHOLE, cut))
        assert token(str(file), Session()).report["border_bytes"] <= cut
    assert len(borders) > 20


# name: the bytes, the code, words of the error.
NO_TOKEN = {
    "whole": (WHOLE, "partial.whole", "is whole (411360 bytes): there is nothing to resume"),
    "no border yet": (WHOLE[:500], "partial.no_border", "no place to resume at"),
    "empty": (b"", "stream.empty", "is empty"),
    "no stream": (b"x" * 1000, "stream.not_a_send_stream", "not a ZFS send stream"),
    "old": ((STREAMS / "fuse-full.zs").read_bytes()[:90_000], "partial.no_sums", "carry no checksums"),
    "compound": ((STREAMS / "d-R.zs").read_bytes()[:90_000], "stream.compound", "once for each"),
    "resumed": (RESUMED[:90_000], "stream.resuming", "run the same `zfs send -t` again"),
    "a name that is none": (
        made.summed([made.begin(b"no snapshot"), *(made.record(made.OBJECT, n) for n in range(9))]),
        "token.bad_name",
        "no snapshot",
    ),
}


@pytest.mark.parametrize("name", NO_TOKEN)
def test_what_has_no_token_says_why(name: str, tmp_path: Path) -> None:
    stream, code, words = NO_TOKEN[name]
    file = tmp_path / "stream.zs"
    file.write_bytes(stream)
    program("stream", "token", file).refused(1, f"{file}: ", words)
    failed = program("stream", "token", file, "--json")
    assert failed.json()["error"]["code"] == code
    assert failed.code == 1


def test_splice_reads_stdin_and_writes_stdout(folder: Path) -> None:
    done = program("stream", "splice", folder / "kept", "-", "--output", "-", stdin=RESUMED).good()
    assert done.out == WHOLE
    turned = program("stream", "splice", "-", folder / "resumed", "--output", "-", stdin=folder / "kept").good()
    assert turned.out == WHOLE
    report = spliced(folder, "--output", folder / "out", "--json").good().json()
    assert (report["output"], report["stream_bytes"]) == (f"{folder}/out", len(WHOLE))
    assert (report["border_bytes"], report["proven_bytes"]) == (BORDER, KEPT)
    spliced(folder, "--output", "-", "--json").refused(2, "both want stdout")


REFUSED = {
    "not resumed": (WHOLE[:KEPT], WHOLE, "splice.not_resumed", "resumed: this send stream starts at its beginning"),
    "turned about": (RESUMED, WHOLE[:KEPT], "splice.not_resumed", "give what `zfs send -t` sends"),
    "the same twice": (RESUMED, RESUMED, "stream.resuming", "kept: this is a resumed send stream"),
    "another snapshot": (
        (STREAMS / "d-full.zs").read_bytes()[:400_000],
        RESUMED,
        "splice.other_stream",
        "its snapshot guid is",
    ),
    "kept too little": (WHOLE[: KEPT - 1], RESUMED, "partial.other_place", "object 1, offset 352256"),
    "kept whole": (WHOLE, RESUMED, "partial.whole", "nothing to resume"),
    "kept damaged": (flipped(WHOLE[:KEPT], 200_000), RESUMED, "partial.other_place", "good up to byte"),
    "kept empty": (b"", RESUMED, "stream.empty", "kept: "),
    "kept no stream": (b"x" * 400, RESUMED, "stream.not_a_send_stream", "kept: "),
    "resumed empty": (WHOLE[:KEPT], b"", "stream.empty", "resumed: "),
    "resumed compound": (WHOLE[:KEPT], (STREAMS / "d-R.zs").read_bytes(), "stream.compound", "resumed: "),
    "more behind it": (WHOLE[:KEPT], RESUMED + b"\0", "stream.bytes_after_end", "bytes after the END"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_continue_is_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    kept, resumed, code, words = REFUSED[name]
    error = refused(tmp_path, kept, resumed)
    assert error.code == code
    assert words in error.message
    failed = spliced(tmp_path, "--output", tmp_path / "out", "--json")
    failed.refused(1, words)
    assert failed.json()["error"]["code"] == code
    assert not (tmp_path / "out").exists()


def test_a_resumed_stream_that_broke_off_anywhere_is_refused(tmp_path: Path) -> None:
    dice = random.Random("cuts")  # noqa: S311
    cuts = {1, 311, 312, 400, 408, len(RESUMED) - 1, len(RESUMED) - 312, len(RESUMED) - 313}
    for cut in sorted(cuts | {dice.randrange(1, len(RESUMED)) for _ in range(30)}):
        assert refused(tmp_path, WHOLE[:KEPT], RESUMED[:cut]).code == "stream.truncated", cut


def test_a_resumed_stream_with_a_flipped_bit_makes_no_other_stream(tmp_path: Path) -> None:
    dice = random.Random("bits")  # noqa: S311
    out = tmp_path / "out"
    options = SpliceOptions(kept=f"{tmp_path}/kept", resumed=f"{tmp_path}/resumed", output=str(out))
    (tmp_path / "kept").write_bytes(WHOLE[:KEPT])
    for _ in range(60):
        (tmp_path / "resumed").write_bytes(flipped(RESUMED, dice.randrange(len(RESUMED)), dice.randrange(8)))
        with contextlib.suppress(errors.StreamUnfit):
            splice(options, Session())
            # What BEGIN says beside the place is not part of what is made.
            assert out.read_bytes() == WHOLE
            out.unlink()
        assert not out.exists()


def test_what_was_kept_behind_the_border_must_come_out_again(tmp_path: Path) -> None:
    """Sums that are made anew certify anything; that known bytes are reproduced does not."""
    borders = [at for at, one in places(WHOLE) if at > BORDER and one.kind == made.WRITE and one.payload]
    behind = next(number for number, (at, _) in enumerate(places(WHOLE)) if at == borders[1])
    other = made.altered(WHOLE, behind)
    assert other[:BORDER] == WHOLE[:BORDER]
    error = refused(tmp_path, other[:350_000], RESUMED)
    assert error.code == "splice.differs"
    assert f"between byte {BORDER} and byte" in error.message


def places(stream: bytes) -> Iterator[tuple[int, made.Record]]:
    at = 0
    for one in made.records(stream):
        yield at, one
        at += len(one.header) + len(one.payload)


def test_a_refusal_to_stdout_writes_nothing_or_no_end(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(WHOLE[:KEPT])
    early = program("stream", "splice", tmp_path / "kept", "-", "--output", "-", stdin=WHOLE)
    early.refused(1, "stdin: this send stream starts at its beginning")
    assert early.out == b""
    for late in (RESUMED + b"\0", RESUMED[:-1], flipped(RESUMED, len(RESUMED) - 400)):
        done = program("stream", "splice", tmp_path / "kept", "-", "--output", "-", stdin=late)
        done.refused(1, "stdin: ")
        assert WHOLE.startswith(done.out)
        assert len(done.out) <= len(WHOLE) - 312, "a receiver must not get an END"


def test_no_end_goes_out_before_the_resumed_stream_has_ended(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(WHOLE[:KEPT])
    words = [str(COMMAND), "stream", "splice", "kept", "-", "--output", "-"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # It holds more than the two pipes, so somebody has to read meanwhile.
        feeding = threading.Thread(target=lambda sink: (sink.write(RESUMED), sink.flush()), args=(process.stdin,))
        feeding.start()
        before_end = process.stdout.read(len(WHOLE) - 312)
        feeding.join(SECONDS)
        # All of it was taken, its END too; only now it shows that there is more.
        process.stdin.write(b"\0")
        process.stdin.close()
        rest = process.stdout.read()
        assert process.wait(SECONDS) == 1
    assert before_end == WHOLE[:-312]
    assert rest == b""


def test_an_existing_file_stays_unless_it_is_told_to_go(folder: Path) -> None:
    out = folder / "out"
    out.write_text("mine")
    spliced(folder, "--output", out).refused(2, f"{out} exists", "--force")
    assert out.read_text() == "mine"
    (folder / "resumed").write_bytes(RESUMED[:-1])
    spliced(folder, "--output", out, "--force").refused(1, "without its END")
    assert out.read_text() == "mine"
    (folder / "resumed").write_bytes(RESUMED)
    spliced(folder, "--output", out, "--force").good()
    assert out.read_bytes() == WHOLE
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    # Even over what it was made of.
    spliced(folder, "--output", folder / "kept", "--force").good()
    assert (folder / "kept").read_bytes() == WHOLE
    assert {path.name for path in folder.iterdir()} == {"kept", "resumed", "out"}


def test_places_where_nothing_can_be_written(folder: Path) -> None:
    spliced(folder).refused(2, "--output")
    spliced(folder, "--output", folder).refused(2, "is a folder")
    spliced(folder, "--output", "/dev/null").refused(2, "is no regular file", "--output -")
    spliced(folder, "--output", folder / "nowhere" / "out").refused(2, "there is no folder")
    spliced(folder, "--output", "/proc/out").refused(1, "/proc can't be written")
    words = [str(COMMAND), "stream", "splice", str(folder / "kept"), str(folder / "resumed"), "--output", "-"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, check=False, timeout=SECONDS)
    Ended(done.returncode, b"", done.stderr.decode()).refused(1, "no space left")
    gone = subprocess.run(
        ["sh", "-c", '"$@" | true', "sh", *words], check=False, capture_output=True, text=True, timeout=SECONDS
    )
    assert "Traceback" not in gone.stderr


def test_a_full_disk_leaves_nothing(folder: Path) -> None:
    disk = folder / "disk"
    disk.mkdir()
    try:
        run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk])
    except CommandFailed:
        pytest.skip("needs root: only root may mount a tmpfs")
    try:
        spliced(folder, "--output", disk / "out").refused(
            1, f"{disk}/out can't be written", "no space left", "make room"
        )
        assert list(disk.iterdir()) == []
        free = os.statvfs(disk)
        assert free.f_bfree == free.f_blocks
    finally:
        run(["umount", "--lazy", disk])


def test_the_kept_part_is_a_file_because_it_is_read_twice(folder: Path) -> None:
    out = folder / "out"
    program("stream", "splice", "-", folder / "resumed", "--output", out, stdin=WHOLE[:KEPT]).refused(
        2, "stdin is no regular file", "keep it in a file first"
    )
    program("stream", "splice", "-", "-", "--output", out).refused(2, "can't both be stdin")
    program("stream", "splice", folder, folder / "resumed", "--output", out).refused(2, "is a folder")
    program("stream", "splice", folder / "kept", folder / "none", "--output", out).refused(2, "there is no file")
    assert not out.exists()


def test_what_was_spliced_is_inspected_as_whole_and_json_reports_are_documents(folder: Path) -> None:
    spliced(folder, "--output", folder / "out", "--quiet").good()
    found = inspect(str(folder / "out"), Session())
    assert found.failure is None
    assert json.dumps(found.as_dict())
