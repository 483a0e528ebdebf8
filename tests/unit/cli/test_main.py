from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zfs_push_backups.cli import main as cli
from zfs_push_backups.engine import generate_identity

TWO_HOSTS = str(Path(__file__).parents[3] / "examples" / "config.yaml")
MODULES = "import json, sys; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
OWN = "zfs_push_backups"


def python(script: str, *, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    if cache is not None:
        environment["PYTHONPYCACHEPREFIX"] = str(cache)
    return subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60, env=environment
    )


def loaded(script: str) -> set[str]:
    done = python(f"{script}\n{MODULES}")
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "script",
    [
        "import zfs_push_backups",
        "from zfs_push_backups.cli.main import main; main(['--help'])",
        "from zfs_push_backups.cli.main import main\ntry: main(['push', '--help'])\nexcept SystemExit: pass",
    ],
)
def test_import_and_help_load_no_third_party_module_and_no_engine(script: str) -> None:
    found = loaded(script) - loaded("pass")
    foreign = {
        name.partition(".")[0] for name in found if name.partition(".")[0] not in {*sys.stdlib_module_names, OWN}
    }
    assert foreign == set()
    assert not found & {"asyncio", "logging", "subprocess", f"{OWN}._engine", f"{OWN}.engine"}


def test_importing_installs_no_signal_handler() -> None:
    script = (
        "import signal\n"
        "before = [signal.getsignal(n) for n in (1, 2, 15)]\n"
        "from zfs_push_backups import push, restore, list_backups, check\n"
        "assert before == [signal.getsignal(n) for n in (1, 2, 15)]\n"
    )
    assert python(script).returncode == 0


def cpu_seconds(script: str, cache: Path) -> float:
    best = float("inf")
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        python(script, cache=cache)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


@pytest.mark.parametrize(
    "script", ["import zfs_push_backups", "from zfs_push_backups.cli.main import main; main(['--help'])"]
)
def test_import_and_help_cost_at_most_three_bare_interpreters(script: str, tmp_path: Path) -> None:
    assert cpu_seconds(script, tmp_path) <= 3 * cpu_seconds("pass", tmp_path)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["psuh"], "unknown command 'psuh'", "zfs-push-backups push"),
        (["zzz"], "unknown command 'zzz'", "restore"),
        (["--hots", "x"], "unknown option --hots", "--host"),
        (["--hos=x"], "unknown option --hos", "--host"),
        (["--host", "x", "list"], "unexpected argument 'list'", "stands first"),
        (["restore", "--to"], "argument --to: expected one argument", "restore --help"),
        (["keygen"], "required: FILE", "keygen --help"),
        (["push", "--level", "x"], "--level 'x'", "0 is a full"),
        (["push", "--level", "-1"], "--level", "0 is a full"),
        (["push", "--limit-upload", "fast"], "--limit-upload", ""),
        (["completions", "fish"], "invalid choice", ""),
        (["--version", "now"], "unexpected argument 'now'", ""),
        (["push", "--task", "a", "--dataset", "tank/x"], "contradict", "name one"),
        (["push", "--recursive"], "--recursive goes with --dataset", "configuration"),
        (["push", "--dataset", "tank/x", "--exclude", "a"], "--recursive", ""),
        (["push", "--stdin", "tank/x@s", "--dataset", "tank/x"], "--stdin names", "leave out"),
        (["restore", "--dataset", "tank/x"], "where to?", "--to"),
        (["restore", "--to", "tank/y"], "restore what?", "list"),
        (["restore", "--dataset", "t/x", "--to", "t/y", "--output", "f"], "contradict", ""),
        (["restore", "--dataset", "t/x", "--to", "t/y", "--at", "x", "--snapshot", "y"], "contradict", ""),
        (["restore", "--dataset", "t/x", "--output", "f", "--mount"], "--mount goes with --to", ""),
        (["restore", "--dataset", "t/x", "--output", "f", "--recursive"], "one file", "--to"),
        (["restore", "--json", "--dataset", "t/x", "--output", "-"], "both want stdout", "file"),
        (["check", "--max-age", "26"], "--max-age", ""),
        (["push", "--stdin", ""], "stdin: found an empty value", "variable"),
        (["push", "--task", "a", "--task", ""], "tasks: found an empty value", "variable"),
        (["restore", "--dataset", "t/x", "--backup", "", "--to", "t/y"], "backup: found an empty value", "variable"),
        (["list", "--source", ""], "source: found an empty value", "variable"),
        (["push", "--host", "a", "--host", "b"], "--host is said twice", "run the command for each"),
        (["restore", "--dataset", "t/x", "--dataset", "t/y", "--to", "t/z"], "--dataset is said twice", ""),
        (["check", "--endpoint", "http://x", "--config", TWO_HOSTS], "go with one host", "--host"),
        (["stream"], "unknown command 'stream'", "stream inspect, stream token, stream splice"),
        (["stream", "inspekt", "x"], "unknown command 'stream inspekt'", "stream inspect`"),
        (["stream", "splice", "kept", "resumed"], "required: --output", "stream splice --help"),
        (["stream", "inspect"], "required: FILE|-", "stream inspect --help"),
        (["stream", "token", "a", "b"], "unexpected argument 'b'", ""),
        (["stream", "token", "--", "a", "--json"], "unexpected argument '--json'", ""),
        (["push", "--source=--"], "--source: found '--', which is no value", "push --help"),
        (["restore", "--output=--"], "--output: found '--'", ""),
        (["forget-run", "--task=--"], "--task: found '--'", ""),
        (["holds", "release", "--host=--"], "--host: found '--'", ""),
        (["push", "--source", "a/../b"], "--source: found 'a/../b'", ""),
        (["push", "--source", "a\nb"], "--source: found 'a\\nb'", ""),
        (["push", "--level", "9" * 5000], "--level '999", ""),
        (["status", "--last", "9" * 5000], "--last: found '999", ""),
        (["stream", "splice", "/nowhere", "-", "--output", "/tmp/x"], "there is no file /nowhere", "a pipe won't do"),
        (["stream", "splice", "a", "b", "--output", ""], "no file is named", "stdout"),
    ],
)
def test_a_usage_error_is_one_line_exit_2_and_no_traceback(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str, hint: str
) -> None:
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    first, *rest = err.splitlines()
    assert first.startswith("zfs-push-backups: ")
    assert message in first
    assert hint in " ".join(rest)
    assert len(rest) <= 1
    assert "Traceback" not in err


def test_json_errors_are_objects(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["push", "--json", "--level", "x"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in cli.COMMANDS)
    for name in cli.COMMANDS:
        assert cli.load(name).__doc__


def test_a_group_of_commands_has_a_help_and_each_of_them_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["stream", "--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  stream {action} " in listed for action in ("inspect", "token", "splice"))
    assert "restore" not in listed
    assert cli.main(["stream", "splice", "--help"]) == 0
    assert "KEPT RESUMED|-" in capsys.readouterr().out


def test_completions_of_a_group_know_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completions", "bash"]) == 0
    out = capsys.readouterr().out
    (listed,) = [line for line in out.splitlines() if "_stream_subparsers=" in line]
    assert listed.endswith("=(inspect token splice)")
    (options,) = [line for line in out.splitlines() if "_stream_splice_option_strings=" in line]
    assert "--output" in options
    assert "_stream_splice_pos_0_COMPGEN=_shtab_compgen_files" in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completions_know_commands_and_options(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert cli.main(["completions", shell]) == 0
    out = capsys.readouterr().out
    assert "restore" in out
    assert "limit-upload" in out


def test_the_bash_completions_are_bash(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["completions", "bash"])
    subprocess.run(["bash", "-n"], input=capsys.readouterr().out, text=True, check=True, timeout=30)


def test_the_schema_is_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert "hosts" in schema["properties"]


def test_an_unexpected_failure_is_one_line_and_a_traceback_with_v(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_request: object, _session: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("zfs_push_backups.run.listing.list_backups", broken)
    assert cli.main(["list"]) == 1
    err = capsys.readouterr().err
    assert "internal error: RuntimeError: boom" in err
    assert "Traceback" not in err
    assert cli.main(["list", "-v"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_before_anything_runs_ends_with_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_words: list[str], *, as_program: bool) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "dispatch", interrupted)
    assert cli.main(["list"]) == 130
    assert capsys.readouterr().err == "zfs-push-backups: interrupted\n"


COMMAND = (sys.executable, "-m", "zfs_push_backups.cli.main")


def shell(words: str, tmp_path: Path, *, unbuffered: str = "") -> subprocess.CompletedProcess[str]:
    command = f"{' '.join(COMMAND)} {words.format(host=f'--host file://{tmp_path}/store')}"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    return subprocess.run(
        ["/bin/sh", "-c", command], check=False, capture_output=True, text=True, timeout=60, env=environment
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["--help", "--version", "config schema", "list {host}"])
def test_a_full_stdout_is_one_line_and_exit_1(tmp_path: Path, words: str, unbuffered: str) -> None:
    (tmp_path / "store").mkdir()
    done = shell(f"{words} >/dev/full", tmp_path, unbuffered=unbuffered)
    assert done.returncode == 1
    assert done.stderr == "zfs-push-backups: stdout can't be written: No space left on device\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_is_no_defect(tmp_path: Path, unbuffered: str) -> None:
    (tmp_path / "store").mkdir()
    done = shell("list {host} --json | true", tmp_path, unbuffered=unbuffered)
    assert done.stderr == ""


@pytest.mark.parametrize("closed", ["2>/dev/full", "2>&-", "2>/dev/full --json"])
def test_an_unwritable_stderr_changes_no_exit_code(tmp_path: Path, closed: str) -> None:
    (tmp_path / "store").mkdir()
    assert shell(f"list {{host}} -vv {closed}", tmp_path).returncode == 0
    done = shell(f"list --nope {closed}", tmp_path)
    assert done.returncode == 2
    assert ("unknown option" in done.stdout) is ("--json" in closed)


def test_a_closed_stdout_is_never_the_descriptor_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    done = shell("list {host} --json >&-", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "zfs-push-backups: stdout can't be written: Bad file descriptor\n"


def test_a_stop_while_the_sender_on_stdin_is_silent_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    recipient = generate_identity()[1]
    host = f"file://{tmp_path}/store"
    words = ["push", "--host", host, "--recipient", recipient, "--source", "s", "--stdin", "tank/a@x", "-vv"]
    reading, writing = os.pipe()
    try:
        with subprocess.Popen([*COMMAND, *words], stdin=reading, stderr=subprocess.PIPE) as process:
            time.sleep(1.5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 128 + signal.SIGTERM
    finally:
        os.close(reading)
        os.close(writing)


def test_a_limit_that_would_never_end_is_refused(tmp_path: Path) -> None:
    done = shell("--limit-upload 0 {host}", tmp_path)
    assert done.returncode == 2
    assert "at least 1KiB" in done.stderr


def test_keygen_on_a_full_disk_leaves_no_half_key(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; sys.dont_write_bytecode = True; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20));"
        f"from zfs_push_backups.cli.main import main; sys.exit(main(['keygen', {str(tmp_path / 'key')!r}]))"
    )
    done = python(script)
    assert done.returncode == 1
    assert "can't be written: File too large" in done.stderr
    assert not (tmp_path / "key").exists()


def test_words_behind_two_dashes_are_no_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "-x.zs"
    file.write_bytes(b"")
    with contextlib.chdir(tmp_path):
        assert cli.main(["stream", "inspect", "--", "-x.zs"]) == 1
        assert "-x.zs: " in capsys.readouterr().err
        assert cli.main(["stream", "inspect", "--json", "--", "-y.zs"]) == 2
        assert "there is no file -y.zs" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["push", "--host", "file:///nowhere", "--dataset", "t/d", "--recipient", "age1\udcff"],
        ["list", "--host", "s3://bucket/x", "--region", "r\udcff", "--endpoint", "http://127.0.0.1:1"],
    ],
)
def test_what_is_not_utf8_is_named(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert "\\udcff' is not UTF-8" in err.splitlines()[0]


@pytest.mark.parametrize("words", [["stream", "--help"], ["push", "--help"], ["--help"]])
def test_help_that_cannot_be_written_is_a_failure(words: list[str]) -> None:
    command = [sys.executable, "-m", "zfs_push_backups.cli.main", *words]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr == b"zfs-push-backups: stdout can't be written: No space left on device\n"
