"""Loading: the example, ZRB's file, and what an operator sees when something is wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from zfs_push_backups.config.load import load, parse
from zfs_push_backups.config.models import Common, Config
from zfs_push_backups.errors import ConfigurationError

EXAMPLE = Path(__file__).parents[3] / "examples" / "config.yaml"
ZRB = """\
base_dir: /var/lib/zrb/
age_public_key: age1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx  # Enter the public key above
s3:
  enabled: true
  bucket: my-backup-bucket
  region: us-east-1
  prefix: zfs-backups/
  endpoint: "" # Leave empty for AWS S3, or specify custom endpoint for S3-compatible services
  storage_class:
    manifest: STANDARD
    backup_data:
      - DEEP_ARCHIVE # Level 0 (full backup)
      - DEEP_ARCHIVE # Level 1
      - DEEP_ARCHIVE # Level 2
      - GLACIER      # Level 3
  retry:
    max_attempts: 8
tasks:
  - name: example_task
    description: Example backup task
    pool: pool
    dataset: temp
    enabled: true
"""
LAUGHS = b"x0: &x0 [1, 1]\n" + b"".join(
    b"x%d: &x%d [%s]\n" % (number, number, b", ".join([b"*x%d" % (number - 1)] * 9)) for number in range(1, 9)
)
HOST = "hosts: {b: {url: s3://bucket}}\n"


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, name="c.yaml")
    assert caught.value.exit_code == 2
    return caught.value.problems


def test_the_shipped_example_loads_and_shows_every_key() -> None:
    config = load(EXAMPLE)
    assert [host.name for host in config.hosts] == ["backup1", "offsite-disk"]
    prod, home = config.tasks
    assert (prod.root, prod.full_every, prod.max_chain) == ("tank/important", timedelta(days=90), 30)
    assert [hook.on_error for hook in prod.hooks.before] == ["fail", "continue"]
    assert home.snapshot.create
    assert config.warnings == ()
    text = EXAMPLE.read_text()
    for section in (config, *config.hosts, *config.tasks, prod.snapshot, prod.hooks):
        for key in type(section).model_fields:
            if key not in {"path", "warnings"}:
                assert f"{key}:" in text, key


def test_what_stands_in_the_file_is_what_the_program_gets() -> None:
    said = {
        "base_dir": "/b", "source": "nas", "lock_dir": "/l", "shutdown_timeout": "7s", "source_stall_timeout": "6h",
        "memory_budget": "512MiB", "identity": "/k",
    }  # fmt: skip
    assert said.keys() == Common.model_fields.keys()
    for key, value in said.items():
        assert getattr(parse(f"{key}: {value}\n"), key) != getattr(Config(), key), key
    assert parse("source_stall_timeout: 6h\n").source_stall_timeout == timedelta(hours=6)


def test_times_beyond_what_a_request_can_take_are_refused() -> None:
    found = problems("hosts:\n  b:\n    url: s3://bucket\n    stall_timeout: 15m\n    retry_timeout: 1h\n")
    assert [problem.partition(": ")[2] for problem in found] == [
        "hosts.b.stall_timeout: found 15m; allowed: at most 14m",
        "hosts.b.retry_timeout: found 1h; allowed: at most 25m",
    ]


def test_keys_of_s3_at_a_folder_are_told() -> None:
    config = parse("hosts:\n  b:\n    url: file:///mnt\n    region: eu\n    limit_upload: 1MiB\n", name="c.yaml")
    assert config.warnings == ("c.yaml:4: hosts.b.region: has no effect, as the host is a folder",)


def test_zrbs_readme_configuration_loads_as_it_stands() -> None:
    config = parse(ZRB)
    [host] = config.hosts
    assert (host.name, host.url, host.region, host.endpoint) == (
        "default", "s3://my-backup-bucket/zfs-backups", "us-east-1", None,
    )  # fmt: skip
    classes = [host.storage_class.for_level(level) for level in (0, 2, 3, 9)]
    assert classes == ["DEEP_ARCHIVE", "DEEP_ARCHIVE", "GLACIER", "GLACIER"]
    assert config.recipients == ("age1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",)
    [task] = config.tasks
    assert (task.name, task.root, task.enabled) == ("example_task", "pool/temp", True)


def test_zrb_disabled_means_the_directory_beside_it() -> None:
    [host] = parse(ZRB.replace("enabled: true\n  bucket", "enabled: false\n  bucket")).hosts
    assert (host.name, host.url) == ("default", "file:///var/lib/zrb/store")
    assert host.storage_class.for_level(0) is None


def test_an_unknown_key_shows_the_nearest_one() -> None:
    [problem] = problems("tasks:\n  - name: a\n    pool: tank\n    datset: x\n")
    assert problem == "c.yaml:4: tasks[0].datset: unknown key; did you mean 'dataset'?"
    [problem] = problems("hosts:\n  b:\n    url: s3://bucket\n    storage_class: {zzz: STANDARD}\n")
    assert problem == "c.yaml:4: hosts.b.storage_class.zzz: unknown key; allowed: manifest, backup_data"
    [problem] = problems("tasks:\n  - {name: a, pool: p, hooks: {befor: []}}\n")
    assert "did you mean 'before'?" in problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tasks: [{name: 5, pool: tank}]", "1: tasks[0].name: found the number 5; allowed: text (put it in quotes)"),
        ("tasks: [{name: a, pool: p, enabled: 'yes'}]", "1: tasks[0].enabled: found 'yes'; allowed: true or false"),
        ("tasks: [{name: a, pool: p, max_chain: 0}]", "1: tasks[0].max_chain: found the number 0; allowed: 1 or more"),
        ("tasks: [{name: a}]", "1: tasks[0].pool: missing; it must be given"),
        ("tasks: 5", "1: tasks: found the number 5; allowed: a list"),
        ("hosts: [a]", "1: hosts: found a list; allowed: a mapping (key: value)"),
        ("shutdown_timeout: 2.5", "1: shutdown_timeout: found the number 2.5; allowed: a duration such as"),
        ("shutdown_timeout: -3", "1: shutdown_timeout: found the number -3; allowed: a duration such as"),
        ("shutdown_timeout: 0", "1: shutdown_timeout: found less than a second; allowed: at least 1s"),
        ("lock_dir: run", "1: lock_dir: found 'run'; allowed: an absolute path"),
        ("shutdown_timeout: 30 parsecs", "1: shutdown_timeout: found '30 parsecs'; allowed: a duration such as"),
        ("memory_budget: lots", "1: memory_budget: found 'lots'; allowed: a size such as"),
        ("memory_budget: 1KiB", "1: memory_budget: found 1024 bytes; allowed: at least 32MiB"),
        ("base_dir: var/lib", "1: base_dir: found 'var/lib'; allowed: an absolute path"),
        ("hosts: {b: {url: 'http://x'}}", "1: hosts.b.url: found 'http://x'; allowed: s3://bucket/prefix or file://"),
        ("hosts: {b: {url: 's3://bucket/../x'}}", "1: hosts.b.url: found"),
        ("hosts:\n  b:\n", "2: hosts.b.url: missing; allowed: s3://bucket/prefix or file://"),
        ("hosts: {b: {url: 's3://bucket', checksum: crc}}", "1: hosts.b.checksum: found 'crc'; allowed: 'auto'"),
        ("hosts: {b: {url: 's3://bucket', endpoint: x.org}}", "1: hosts.b.endpoint: found 'x.org'; allowed: https://"),
        ("hosts: {b: {url: 's3://bck', part_size: 64KiB}}", "1: hosts.b.part_size: found 65536 bytes; allowed: at l"),
        ("hosts: {b: {url: 's3://bck', part_size: 5GiB}}", "1: hosts.b.part_size: found 5368709120 bytes; allo"),
        ("recipients: []", "1: recipients: found an empty list; allowed: at least 1 entry"),
        ("recipients: [bob]", "1: recipients[0]: found 'bob'; allowed: a recipient such as age1"),
        ("tasks: [{name: a, pool: p, exclude: [x]}]", "1: tasks[0]: found include or exclude without `recurs"),
        ("tasks: [{name: a, pool: mirror1}]", "1: tasks[0].pool: the pool name 'mirror1' is reserved by ZFS"),
        ("tasks: [{name: a, pool: p, dataset: x/../y}]", "1: tasks[0].dataset: the dataset name has the component"),
        ("tasks: [{name: a, pool: p, hooks: {before: [ls -l]}}]", "1: tasks[0].hooks.before[0]: found text; allow"),
        ("tasks: [{name: a, pool: p, snapshot: {name: x}}]", "1: tasks[0].snapshot.name: found 'x'; allowed: a"),
        ("source: a/b", "1: source: found 'a/b'; allowed: up to 100 letters"),
        ("s3: {enabled: true, bucket: x}", "1: s3: found bucket 'x' with prefix ''; allowed: a bucket's name"),
        ("a: !!python/object:os.system x", "1: a: found the YAML tag"),
        (HOST + "tasks: [{name: a, pool: p, hosts: [bb]}]", "2: tasks[0].hosts: found the unknown host 'bb'; did you"),
        ("hosts:\n  a@b: {url: s3://bucket}\n  a-b: {url: s3://bucket}", "3: hosts.a-b: would share its lock with"),
    ],
)  # fmt: skip
def test_every_problem_names_line_key_found_and_allowed(text: str, expected: str) -> None:
    assert any(problem.startswith(f"c.yaml:{expected}") for problem in problems(text)), problems(text)


def test_duplicates_are_errors_with_both_lines() -> None:
    assert problems("hosts:\n  a: {url: s3://bucket}\n  a: {url: s3://other}\n") == (
        "c.yaml:3: hosts.a: duplicate key; it stands in line 2 already",
    )
    [problem] = problems("tasks:\n  - {name: a, pool: p}\n  - {name: a, pool: q}\n")
    assert problem.startswith("c.yaml:3: tasks[1].name: found 'a' again, it stands in line 2")
    assert problems("hosts: {default: {url: s3://bucket}}\ns3: {enabled: false}\n")[0].startswith(
        "c.yaml:1: hosts.default"
    )


def test_all_problems_are_listed_the_first_line_first() -> None:
    found = problems("tasks:\n  - nme: x\n    pool: tank\nbase_dir: x\nbase_dir: /y\nsource: 7\n")
    assert [int(problem.split(":")[1]) for problem in found] == [2, 2, 4, 5, 6]


@pytest.mark.parametrize("name", ["server@remote", "192.168.1.100", "backup.example.org", "fe80::1"])
def test_a_machine_without_url_gets_the_line_to_write(name: str) -> None:
    [problem] = problems(f"hosts:\n  '{name}':\n")
    assert "looks like a machine" in problem
    assert f"`{name}: {{url: s3://bucket/prefix}}`" in problem
    assert parse(f"hosts:\n  '{name}': {{url: s3://bucket/p/}}\n").hosts[0].url == "s3://bucket/p"


@pytest.mark.parametrize("cold", ["GLACIER", "DEEP_ARCHIVE"])
def test_a_cold_class_for_manifests_is_refused(cold: str) -> None:
    [problem] = problems(f"hosts:\n  b:\n    url: s3://bucket\n    storage_class: {{manifest: {cold}}}\n")
    assert problem.startswith(f"c.yaml:4: hosts.b.storage_class.manifest: found '{cold}', a cold class")
    assert "a cold class" in problems(ZRB.replace("manifest: STANDARD", f"manifest: {cold}"))[0]


def test_glacier_ir_is_hot_and_one_class_is_a_list() -> None:
    [host] = parse("hosts: {b: {url: s3://bucket, storage_class: {manifest: GLACIER_IR, backup_data: GLACIER}}}").hosts
    assert [host.storage_class.for_level(level) for level in (0, 5)] == ["GLACIER", "GLACIER"]


def test_a_misspelt_class_is_a_warning() -> None:
    config = parse("hosts:\n  b: {url: s3://bucket, storage_class: {backup_data: DEEP_ARCHVE}}\n", name="c.yaml")
    assert config.warnings == (
        "c.yaml:2: hosts.b.storage_class: the class 'DEEP_ARCHVE' is unknown; did you mean 'DEEP_ARCHIVE'?",
    )


@pytest.mark.parametrize(
    "text",
    [
        "hosts:\n  b: {url: s3://bucket, secret_access_key: hunter2secret}\n",
        "hosts:\n  b: {url: s3://bucket, access-key: hunter2secret}\n",
        "hosts:\n  b: {url: 's3://key:hunter2secret@bucket'}\n",
        "hosts:\n  b: {url: s3://bucket, endpoint: 'https://key:hunter2secret@x.org'}\n",
        "s3: {enabled: false, AWS_SECRET_ACCESS_KEY: hunter2secret}\n",
        "password: [hunter2secret]\n",
        "recipients: [AGE-SECRET-KEY-1HUNTER2SECRET]\n",
        "identity: AGE-SECRET-KEY-1HUNTER2SECRET\n",
        "base_dir: AGE-SECRET-KEY-1HUNTER2SECRET\n",
        "tasks: [AGE-SECRET-KEY-1HUNTER2SECRET]\n",
        "age_secret_key: AGE-SECRET-KEY-1HUNTER2SECRET\n",
        "secret_key: hunter2secret\nbad: [hunter2secret: x\n",
    ],
)
def test_secrets_are_refused_and_never_shown(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    assert "hunter2" not in str(caught.value).lower()


def test_a_secret_is_told_where_it_goes() -> None:
    [problem] = problems("hosts:\n  b:\n    url: s3://bucket\n    secret_access_key: x\n")
    assert problem.startswith("c.yaml:4: hosts.b.secret_access_key: secrets never stand in this file")
    assert "AWS_SECRET_ACCESS_KEY" in problem
    assert "credentials_file" in problem


def test_yaml_is_1_2_and_dates_stay_text() -> None:
    text = "tasks: [{name: 'on', pool: p, dataset: on, snapshot: {match: 2026-11-21}}]"
    [task] = parse(text).tasks
    assert (task.dataset, task.snapshot.match) == ("on", ("2026-11-21",))


def test_anchors_and_merges_work() -> None:
    text = "tasks:\n  - &a {name: a, pool: p, recursive: true}\n  - {<<: *a, name: b}\n"
    assert [(task.name, task.recursive) for task in parse(text).tasks] == [("a", True), ("b", True)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty"),
        (b"# only a comment\n", "the file is empty"),
        (b"- a\n", "1: found a list at the top; allowed: a mapping"),
        (b"just text\n", "1: found text at the top"),
        (b"a: [1\n", "not valid YAML"),
        (b"a: 1\n\tb: 2\n", "2: not valid YAML: found character"),
        (b"a: 1\n---\nb: 2\n", "2: not valid YAML: but found another document"),
        (b"a: \xff\n", "1: not UTF-8 text"),
        (b"a: \x00\n", "not valid YAML"),
        (b"a: " + b"[" * 800, "nested too deeply"),
        (b"a: &x [*x]\n", "nested too deeply"),
        (LAUGHS, "too many aliases"),
        (b"x" * (4 * 1024**2 + 1), "larger than 4 MiB"),
    ],
)  # fmt: skip
def test_what_is_no_usable_file_says_so(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert str(path) in caught.value.message
    assert expected in caught.value.message


def test_a_missing_file_a_folder_and_a_bad_name_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such file") as caught:
        load(tmp_path / "none.yaml")
    assert "--config" in caught.value.hint
    with pytest.raises(ConfigurationError, match="found a directory"):
        load(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load("a\0b")


def test_an_unreadable_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigurationError, match="not readable by this user"):
        load(tmp_path / "config.yaml")


def test_commented_out_sections_are_empty_ones() -> None:
    config = parse("hosts:\ntasks:\nbase_dir: /x\n")
    assert (config.hosts, config.tasks) == ((), ())


def test_a_lock_folder_and_whole_seconds_for_a_stop() -> None:
    config = parse("lock_dir: /run/lock\nshutdown_timeout: 7\n")
    assert (config.lock_dir, config.shutdown_timeout) == (Path("/run/lock"), timedelta(seconds=7))
    assert parse("base_dir: /x\n").lock_dir is None
    assert parse("shutdown_timeout: 1m").shutdown_timeout == timedelta(minutes=1)
