"""Bad input, and machines that lack something: one line, the right exit code, and nothing is stored."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.damage import flipped
from harness.pool import Dataset, DatasetFactory, Pool, zfs
from harness.program import STREAMS
from integration.fake_source import fake_source
from integration.workbench import Workbench
from unit.fake_zfs import FakeZfs
from zfs_push_backups import engine
from zfs_push_backups.config.models import Config
from zfs_push_backups.errors import ConfigurationError
from zfs_push_backups.run.session import own_source


def expect(bench: Workbench, words: list[object], code: int, message: str, hint: str = "", **how: object) -> None:
    """The command ends with the code, one line that holds `message`, and leaves nothing in the store."""
    done = bench.run(*words, **how)  # type: ignore[arg-type]
    assert done.code == code, done.err
    assert re.search(message, done.error_line()), done.err
    assert hint in done.err
    assert bench.objects() == []


@pytest.fixture
def src(bench: Workbench, dataset: DatasetFactory) -> Dataset:
    one = dataset("important")
    one.snapshot("autosnap_1")
    bench.configure([bench.task(one.name)])
    return one


CONFIGURATIONS = [
    ("recipient: []\n", "recipient", "did you mean 'recipients'"),
    ("recipients: {a: b}\n", "recipients", "a mapping"),
    ("tasks: []\ntasks: []\n", "duplicate key", "tasks"),
    ("hosts: {backup1: {url: 7}}\n", "hosts.backup1.url", "the number 7"),
    ("- x\n", "a list at the top", ""),
]


@pytest.mark.parametrize(("text", "message", "more"), CONFIGURATIONS)
def test_a_bad_configuration_is_exit_2(bench: Workbench, text: str, message: str, more: str) -> None:
    bench.config.write_text(text)
    done = bench.run("--host", "backup1")
    assert done.code == 2
    assert message in done.err
    assert more in done.err
    assert "Traceback" not in done.err
    assert f"{bench.config}:" in done.error_line()


def test_a_missing_configuration_is_exit_2(bench: Workbench) -> None:
    bench.config.unlink()
    expect(bench, ["--host", "backup1"], 2, "no such file", "--config")


@pytest.mark.pool
@pytest.mark.parametrize(
    ("words", "code", "message", "hint"),
    [
        (["--host", "backup2"], 2, "unknown host 'backup2'", "did you mean 'backup1'"),
        (["--host", "root@server"], 2, "unknown host 'root@server'", "url"),
        (["--task", "prdo"], 2, "unknown task 'prdo'", "did you mean 'prod'"),
        (["--snapshot", "autosnap_2"], 2, "no snapshot 'autosnap_2'", "did you mean 'autosnap_1'"),
        (["--level", "1"], 1, "nothing to stand on", "--level 0"),
        (["--recipient", "age1nonsense0"], 1, "age1nonsense0", ""),
        (["--stdin=-x/y@s"], 2, "begins with '-'", ""),
        (["--dataset", "tank/50%"], 2, "contains '%'", ""),
        (["--dataset", "tank/../x"], 2, "does not allow", ""),
        (["--dataset", "tank/ü"], 2, "contains 'ü'", ""),
        (["--dataset", "t" * 256], 2, "at most 255", ""),
        (["--dataset=-tank"], 2, "begins with '-'", ""),
    ],
)
def test_bad_requests_say_so_in_one_line(
    bench: Workbench, src: Dataset, words: list[object], code: int, message: str, hint: str
) -> None:
    expect(bench, words, code, message, hint)


@pytest.mark.pool
def test_an_unknown_dataset_is_named_with_the_nearest(bench: Workbench, src: Dataset) -> None:
    expect(bench, ["--dataset", src.name + "x"], 1, "does not exist", f"did you mean {src.name}")


@pytest.mark.pool
@pytest.mark.parametrize("name", ["with blank", "x" * 100, "a.b:c-d_e"])
def test_odd_but_allowed_names_travel(bench: Workbench, dataset: DatasetFactory, zfs_pool: Pool, name: str) -> None:
    root = dataset("odd")
    zfs("create", f"{root.name}/{name}")
    length = 255 - len(f"{root.name}/{name}@")
    label = ("snap with blank " * 16)[: length - 1] + "s"
    zfs("snapshot", f"{root.name}/{name}@{label}")
    done = bench.run("--dataset", f"{root.name}/{name}", "--json")
    assert done.code == 0, done.err
    (row,) = bench.listed()
    assert (row["dataset"], row["snapshot"]) == (f"{root.name}/{name}", label)
    target = zfs_pool.unused_name("o")
    restored = bench.run("restore", "--dataset", f"{root.name}/{name}", "--identity", bench.key, "--to", target)
    assert restored.code == 0 or len(f"{target}@{label}") > 255, restored.err


def test_no_zfs_command(bench: Workbench, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom zfs_push_backups.zfs import command\ncommand.SBIN_FOLDERS = ()\n"
        "from zfs_push_backups.cli.main import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    words = ["push", "--config", str(bench.config), "--dataset", "tank/x"]
    python = bench.command()[0]
    done = subprocess.run(
        [python, "-c", script, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=bench.environment(str(tmp_path)),
    )
    assert done.returncode == 1
    assert "there is no zfs command" in done.stderr
    assert "install OpenZFS" in done.stderr
    assert bench.objects() == []


def test_an_encrypted_dataset_without_raw(bench: Workbench, tmp_path: Path) -> None:
    fake = fake_source(tmp_path)
    fake.answer("get", "-Hp", "all", "t/d", out="t/d\ttype\tfilesystem\t-\nt/d\tencryption\taes-256-gcm\t-\n")
    expect(bench, ["--dataset", "t/d"], 2, "encrypted", "raw: true", path=fake.path())


def test_not_root(bench: Workbench, tmp_path: Path) -> None:
    fake = fake_source(tmp_path)
    words = "connect: Permission denied\ninternal error: failed to initialize ZFS library\n"
    fake.answer("get", "-Hp", "all", "t/d", err=words, code=1)
    expect(bench, ["--dataset", "t/d"], 1, "Permission denied", "run as root", path=fake.path())


def test_listing_and_restoring_to_a_file_need_no_zfs(bench: Workbench, tmp_path: Path) -> None:
    fake = fake_source(tmp_path)
    fake.answer("send", "t/d@s", file=str(STREAMS / "d-full.zs"))
    assert bench.run("--dataset", "t/d", path=fake.path()).code == 0
    nothing = FakeZfs(tmp_path / "none")
    done = bench.run("list", path=nothing.path())
    assert done.code == 0
    assert "t/d" in done.out
    file = tmp_path / "stream"
    words = ("restore", "--dataset", "t/d", "--identity", bench.key, "--output", file)
    assert bench.run(*words, path=nothing.path()).code == 0
    assert file.read_bytes() == (STREAMS / "d-full.zs").read_bytes()
    assert nothing.calls() == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"limit": 50_000, "err": "internal error: I/O error\n", "code": 1}, "I/O error"),
        ({"limit": 50_000}, "ends|trunc"),
        ({"limit": 0}, "nothing was sent"),
        ({"err": "warning: cannot send 't/d@s': I/O error\n", "code": 1}, "I/O error"),
    ],
    ids=["dies in the middle", "cut with status 0", "nothing with status 0", "whole but failed"],
)
def test_a_send_that_fails_commits_nothing(
    bench: Workbench, tmp_path: Path, answer: dict[str, object], message: str
) -> None:
    fake = fake_source(tmp_path)
    fake.answer("send", "t/d@s", file=str(STREAMS / "d-full.zs"), **answer)  # type: ignore[arg-type]
    done = bench.run("--dataset", "t/d", path=fake.path())
    assert done.code == 1, done.err
    assert re.search(message, done.error_line()), done.err
    assert bench.listed() == []


@pytest.mark.parametrize(
    ("name", "change", "code", "message"),
    [
        ("d-R.zs", bytes, 2, "compound|-R|-I"),
        ("d-I.zs", bytes, 2, "compound|-R|-I"),
        ("e-raw.resumed.zs", bytes, 2, "resum"),
        ("fuse-dedup.zs", bytes, 2, "dedup"),
        ("d-full.zs", lambda data: b"\0" * 400 + data, 2, "not a"),
        ("d-full.zs", lambda data: data[:100], 2, "100 bytes"),
        ("d-full.zs", lambda _data: b"", 2, "empty"),
        ("d-full.zs", lambda data: data[:-400], 1, "ends|trunc"),
        ("d-full.zs", flipped, 1, "checksum|damaged|record"),
        ("d-full.zs", lambda data: data + b"x" * 312, 1, "after"),
        ("d-incr.zs", bytes, 1, "no whole backup"),
    ],
)
def test_what_standard_input_may_not_be(
    bench: Workbench, name: str, change: Callable[[bytes], bytes], code: int, message: str
) -> None:
    done = bench.run("--stdin", "tank/x@s", stdin=change((STREAMS / name).read_bytes()))
    assert done.code in (code, 2), done.err
    assert re.search(message, done.error_line()), done.err
    assert bench.listed() == []


def test_a_source_name_needs_a_machine_id_or_a_configured_one(tmp_path: Path) -> None:
    machine = tmp_path / "machine-id"
    with pytest.raises(ConfigurationError, match="machine id"):
        own_source(None, Config(), (machine,))
    machine.write_text("1a2b3c4d" * 4 + "\n")
    assert own_source(None, Config(), (tmp_path / "absent", machine)).endswith("-1a2b3c4d")
    assert own_source(None, Config(source="nas"), (machine,)) == "nas"
    assert own_source("said", Config(source="nas"), (machine,)) == "said"


def test_check_looks_at_a_further_recipient_beside_the_configured_ones(bench: Workbench) -> None:
    further = engine.generate_identity()[1]
    done = bench.run("check", "--recipient", further)
    (line,) = [line for line in done.out.splitlines() if "recipients:" in line]
    assert "recipients: 2: " in line
    assert further in line


def test_limits_of_a_stop_from_the_environment_hold_for_every_command(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHUTDOWN_DB_TIMEOUT", "soon")
    done = bench.run("stream", "inspect", str(STREAMS / "d-full.zs"), configured=False)
    assert done.code == 2
    assert "SHUTDOWN_DB_TIMEOUT: found 'soon'" in done.error_line()


@pytest.mark.pool
def test_the_upload_limit_holds(bench: Workbench, dataset: DatasetFactory) -> None:
    one = dataset("slow")
    (one.path / "random").write_bytes(os.urandom(3 << 20))
    one.snapshot("s")
    done = bench.run("--dataset", one.name, "--limit-upload", "1MiB", "--json")
    assert done.code == 0, done.err
    (result,) = done.results()
    assert result["seconds"] > 2


def test_an_openssl_held_to_fips_rules_is_named(bench: Workbench) -> None:
    rules = bench.folder / "openssl.cnf"
    rules.write_text("openssl_conf = all\n[all]\nalg_section = rules\n[rules]\ndefault_properties = fips=yes\n")
    # There is no FIPS module here, so the rules refuse even SHA-256, which such machines have: Python uses its own.
    script = (
        "import sys\nsys.modules['_hashlib'] = None\n"
        "from zfs_push_backups.cli.main import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    python, _, _, *words = bench.command("--host", "backup1", "--stdin", "tank/d@a")
    done = subprocess.run(
        [python, "-c", script, *words],
        check=False,
        capture_output=True,
        timeout=60,
        env={**bench.environment(), "OPENSSL_CONF": str(rules)},
        input=(STREAMS / "d-full.zs").read_bytes(),
    )
    assert done.returncode == 2, done.stderr
    assert re.search(b"OpenSSL refuses ChaCha20-Poly1305.*let OPENSSL_CONF name", done.stderr)
    assert bench.objects() == []


def test_keygen_writes_a_private_file_once(bench: Workbench) -> None:
    file = bench.folder / "new.txt"
    done = bench.run("keygen", file, configured=False)
    assert done.code == 0, done.err
    assert done.out.startswith("age1")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "AGE-SECRET-KEY-" in file.read_text()
    assert "AGE-SECRET-KEY-" not in done.out + done.err
    before = file.read_bytes()
    again = bench.run("keygen", file, configured=False)
    assert again.code == 2
    assert "never overwritten" in again.error_line()
    assert file.read_bytes() == before
