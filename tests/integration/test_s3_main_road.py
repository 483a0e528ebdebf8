"""The main road on a real S3 server: a real dataset out by configuration, full and incremental, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.foreign import AgeIdentity
from harness.pool import Dataset, Pool, zfs
from harness.program import Ended, program
from harness.s3 import S3Server
from harness.trees import MARKER, change, fill, inventory

pytestmark = [pytest.mark.pool, pytest.mark.garage]

PREFIX = "main-road"
PROPERTY = "org.example:owner-of-secrets"
PROPERTY_VALUE = f"property-{MARKER}"


@dataclass(frozen=True)
class Road:
    """A dataset that has been pushed twice, and how to reach where it went."""

    source: Dataset
    config: Path
    server: S3Server
    pushes: tuple[Ended, Ended]

    def run(self, command: str, *words: str | Path) -> Ended:
        return program(command, "--config", self.config, *words, environment=self.server.environment())

    def bodies(self) -> dict[str, bytes]:
        return self.server.bodies(f"{PREFIX}/")


def configuration(server: S3Server, recipient: str, dataset: str) -> str:
    """JSON is YAML."""
    pool, _, rest = dataset.partition("/")
    host = {
        "url": f"s3://{server.bucket}/{PREFIX}",
        "endpoint": server.endpoint,
        "region": server.region,
        "part_size": "2MiB",
        "storage_class": {"manifest": "STANDARD", "backup_data": ["GLACIER_IR"]},
    }
    tasks = [{"name": "prod", "pool": pool, "dataset": rest}]
    return json.dumps({"source": "road", "recipients": [recipient], "hosts": {"garage": host}, "tasks": tasks})


@pytest.fixture(scope="module")
def road(
    zfs_pool: Pool, garage: S3Server, age_identity: AgeIdentity, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Road]:
    source = zfs_pool.create("road")
    config = tmp_path_factory.mktemp("road") / "config.yaml"
    config.write_text(configuration(garage, age_identity.recipient, source.name))
    push = ("push", "--config", config, "--json")
    zfs("set", f"{PROPERTY}={PROPERTY_VALUE}", source.name)
    fill(source.path)
    source.snapshot("monday")
    first = program(*push, environment=garage.environment()).good()
    change(source.path)
    source.snapshot("tuesday")
    second = program(*push, environment=garage.environment()).good()
    yield Road(source, config, garage, (first, second))
    zfs_pool.destroy(source.name)


def test_two_pushes_are_one_chain_in_the_list(road: Road) -> None:
    listing = road.run("list", "--json", "--long").good().json()
    full, increment = listing["backups"]
    assert (full["level"], full["snapshot"], full["parent"]) == (0, "monday", None)
    assert (increment["level"], increment["snapshot"], increment["parent"]) == (1, "tuesday", full["id"])
    assert all(one["restorable"] and one["dataset"] == road.source.name for one in listing["backups"])
    guids = [
        zfs("get", "-Hp", "-o", "value", "guid", f"{road.source.name}@{one}").strip() for one in ("monday", "tuesday")
    ]
    assert [one["snapshot_guid"] for one in listing["backups"]] == guids
    assert full["parts"] > 2, "the stream was not cut, so this proves little"
    sizes = road.server.keys(f"{PREFIX}/data/")
    for one in listing["backups"]:
        assert one["sealed_bytes"] == sum(size for key, size in sizes.items() if f"/{one['id']}/part-" in key)


def test_the_chain_comes_back_file_by_file(road: Road, zfs_pool: Pool, age_identity: AgeIdentity) -> None:
    target = zfs_pool.unused_name("road-back")
    road.run("restore", "--task", "prod", "--identity", age_identity.path, "--to", target, "--mount").good()
    assert inventory(zfs_pool.path / target.partition("/")[2]) == inventory(road.source.path)
    for snapshot in ("monday", "tuesday"):
        before, after = (
            zfs("get", "-Hp", "-o", "value", "guid", f"{one}@{snapshot}") for one in (road.source.name, target)
        )
        assert before == after
    zfs_pool.destroy(target)


def test_a_third_push_finds_nothing_to_do(road: Road) -> None:
    before = road.bodies()
    (line,) = road.run("push", "--json").good().results()
    assert line["status"] == "up_to_date"
    assert road.bodies() == before


def test_the_bucket_holds_no_plaintext(road: Road, age_identity: AgeIdentity) -> None:
    bodies = road.bodies()
    secrets = (MARKER, PROPERTY, age_identity.path.read_text().split()[-1], road.server.secret_access_key)
    assert any("/part-" in key for key in bodies)
    for key, body in bodies.items():
        assert [secret for secret in secrets if secret.encode() in body] == [], key
        # Every send stream begins with it.
        assert (0x2F5BACBAC).to_bytes(8, "little") not in body, key
    sealed = [body for key, body in bodies.items() if key.endswith(".age")]
    assert len(sealed) > 4
    assert all(body.startswith(b"age-encryption.org/v1\n") for body in sealed)


def test_no_secret_is_printed(road: Road) -> None:
    for ended in road.pushes:
        said = ended.out.decode() + ended.err
        assert MARKER not in said
        assert road.server.secret_access_key not in said


def test_check_tells_what_this_store_does(road: Road) -> None:
    report = road.run("check", "--json", "--max-age", "26h").good().json()
    assert report["ok"] is True
    findings = {finding["name"]: finding for finding in report["findings"]}
    assert findings["host garage: conditional writes"]["detail"] == "ignores"
    assert findings["host garage: writing"]["level"] == "ok"
    dropped = findings["host garage: storage class GLACIER_IR"]
    assert (dropped["level"], bool(dropped["advice"])) == ("warn", True)
    assert findings["host garage: storage class STANDARD"]["level"] == "ok"
    assert findings[f"host garage: {road.source.name}"]["level"] == "ok"
    assert not [key for key in road.server.keys(f"{PREFIX}/") if "probe" in key], "check left its probe behind"


def test_without_a_recipient_nothing_is_uploaded(road: Road, tmp_path: Path) -> None:
    """Encryption that cannot be done must never become an upload in clear text."""
    config = json.loads(road.config.read_text())
    config["hosts"]["garage"]["url"] = f"s3://{road.server.bucket}/no-recipient"
    for recipients in ([], ["age1notakey"]):
        broken = tmp_path / "config.yaml"
        broken.write_text(json.dumps(config | {"recipients": recipients}))
        ended = program("push", "--config", broken, environment=road.server.environment())
        assert ended.code in (1, 2)
        ended.refused(ended.code, "recipient")
    assert road.server.keys("no-recipient/") == {}
