"""Which host and tasks a command means."""

from __future__ import annotations

from pathlib import Path

import pytest

from zfs_push_backups.config.choice import choose_host, choose_tasks, required_recipients
from zfs_push_backups.config.load import parse
from zfs_push_backups.config.models import Config
from zfs_push_backups.errors import ConfigurationError, UsageError

TWO = parse(
    """
recipients: [age1qqqqqqqqqq]
hosts:
  backup1: {url: s3://bucket/prefix, endpoint: 'https://s3.example.org', region: eu}
  "server@remote": {url: file:///mnt/offsite}
tasks:
  - {name: prod, pool: tank, dataset: important, hosts: [backup1]}
  - {name: home, pool: tank}
  - {name: old, pool: tank, dataset: old, enabled: false}
""",
    path=Path("/etc/c.yaml"),
)


def test_a_host_by_name_even_if_it_looks_like_a_machine() -> None:
    assert choose_host(TWO, "server@remote").url == "file:///mnt/offsite"


def test_a_sole_host_or_default_needs_no_name() -> None:
    assert choose_host(parse("hosts: {only: {url: s3://bucket}}"), None).name == "only"
    both = parse("hosts: {a: {url: s3://bucket}}\ns3: {enabled: false}")
    assert choose_host(both, None).name == "default"
    with pytest.raises(UsageError) as caught:
        choose_host(TWO, None)
    assert caught.value.hint == "say --host with one of: backup1, server@remote"


def test_a_url_is_a_host_and_finds_its_settings() -> None:
    assert choose_host(Config(), "s3://other/x/").name == "s3://other/x"
    assert choose_host(TWO, "s3://bucket/prefix/").name == "backup1"
    with pytest.raises(UsageError, match="allowed: s3://bucket/prefix"):
        choose_host(Config(), "ftp://x")


def test_the_same_bucket_elsewhere_is_another_store() -> None:
    elsewhere = choose_host(TWO, "s3://bucket/prefix", endpoint="https://minio.lan")
    assert (elsewhere.name, elsewhere.endpoint, elsewhere.region) == ("s3://bucket/prefix", "https://minio.lan", None)
    assert choose_host(TWO, "s3://bucket/prefix", endpoint="https://s3.example.org").name == "backup1"
    assert choose_host(TWO, "s3://bucket/prefix", endpoint="").name == "s3://bucket/prefix"
    twins = parse("hosts: {a: {url: s3://twin, endpoint: 'https://one'}, z: {url: s3://twin, endpoint: 'https://two'}}")
    assert choose_host(twins, "s3://twin", endpoint="https://two").name == "z"
    with pytest.raises(UsageError, match="several have the URL") as caught:
        choose_host(twins, "s3://twin")
    assert caught.value.hint.endswith("a, z")


def test_endpoint_and_region_can_be_replaced() -> None:
    host = choose_host(TWO, "backup1", endpoint="http://127.0.0.1:3900", region="garage")
    assert (host.name, host.endpoint, host.region) == ("backup1", "http://127.0.0.1:3900", "garage")
    with pytest.raises(UsageError, match="--endpoint or --region: found"):
        choose_host(TWO, "backup1", endpoint="nonsense")


def test_an_unknown_host_shows_the_nearest_and_all() -> None:
    with pytest.raises(UsageError) as caught:
        choose_host(TWO, "backup2")
    assert caught.value.hint == "did you mean 'backup1'? the hosts are: backup1, server@remote"


@pytest.mark.parametrize("name", ["root@nas", "10.0.0.1", "nas.local"])
def test_a_machine_gets_the_line_to_write(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_host(TWO, name)
    assert f"`{name}: {{url: s3://bucket/prefix}}`" in caught.value.hint


def test_no_host_at_all() -> None:
    with pytest.raises(ConfigurationError, match="no configuration that names a host"):
        choose_host(Config(), None)


def test_the_enabled_tasks_of_a_host() -> None:
    assert [task.name for task in choose_tasks(TWO, choose_host(TWO, "backup1"))] == ["prod", "home"]
    assert [task.name for task in choose_tasks(TWO, choose_host(TWO, "server@remote"))] == ["home"]
    assert [task.name for task in choose_tasks(TWO, choose_host(TWO, "backup1"), ["home", "prod"])] == ["prod", "home"]


@pytest.mark.parametrize(
    ("host", "task", "message", "hint"),
    [
        ("backup1", "prdo", "unknown task 'prdo'", "did you mean 'prod'? the tasks are: home, old, prod"),
        ("backup1", "old", "the task 'old' is disabled", "enabled: true"),
        ("server@remote", "prod", "the task 'prod' is not for the host 'server@remote'", "its hosts are: backup1"),
    ],
)
def test_a_task_that_cannot_be_meant_is_refused(host: str, task: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_tasks(TWO, choose_host(TWO, host), [task])
    assert caught.value.message == message
    assert hint in caught.value.hint


def test_nothing_to_do_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="has no task"):
        choose_tasks(Config(), choose_host(Config(), "file:///x"))


def test_recipients_are_required_and_can_be_given() -> None:
    assert required_recipients(TWO) == ("age1qqqqqqqqqq",)
    assert required_recipients(TWO, ["age1given"]) == ("age1given",)
    with pytest.raises(ConfigurationError, match="nothing is ever stored unencrypted"):
        required_recipients(Config())
