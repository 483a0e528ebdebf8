"""Whoever has the identity and the bucket needs nothing of ours: aws or rclone, stock age, cat and zfs receive."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.foreign import AgeIdentity, ForeignTools
from harness.pool import Pool, zfs
from harness.processes import run
from harness.program import STREAMS, folder_place
from harness.pushed import PROPERTY, SNAPSHOTS, Pushed, guid_of
from harness.s3 import S3Server
from harness.trees import MARKER, inventory

Fetch = Callable[[str, Path], None]
SECONDS = 120


def fetch_by_aws(pushed: Pushed, server: S3Server, foreign: ForeignTools) -> Fetch:
    def fetch(key: str, target: Path) -> None:
        foreign.s3(server, "s3", "cp", "--only-show-errors", f"{pushed.bucket.url}/{key}", target)

    return fetch


def fetch_by_rclone(pushed: Pushed, server: S3Server, foreign: ForeignTools) -> Fetch:
    environment = server.environment() | {
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_S3_PROVIDER": "Other",
        "RCLONE_S3_ENV_AUTH": "true",
        "RCLONE_S3_ENDPOINT": server.endpoint,
        "RCLONE_S3_REGION": server.region,
    }

    def fetch(key: str, target: Path) -> None:
        source = f":s3:{server.bucket}/{pushed.bucket_prefix}/{key}"
        run([foreign.rclone, "copyto", source, target], environment=environment)

    return fetch


@pytest.fixture(params=[fetch_by_aws, fetch_by_rclone], ids=["aws", "rclone"])
def fetch(request: pytest.FixtureRequest, pushed: Pushed, garage: S3Server, foreign: ForeignTools) -> Fetch:
    made: Fetch = request.param(pushed, garage, foreign)
    return made


def receive(stream: Path, target: str) -> None:
    with stream.open("rb") as file:
        subprocess.run(["zfs", "receive", "-u", target], check=True, stdin=file, timeout=SECONDS)


def mounted(pool: Pool, name: str) -> Path:
    zfs("mount", name)
    return pool.path / name.partition("/")[2]


@pytest.mark.pool
@pytest.mark.garage
def test_the_chain_is_restored_from_garage_by_recover_txt(
    fetch: Fetch, pushed: Pushed, foreign: ForeignTools, age_identity: AgeIdentity, zfs_pool: Pool, tmp_path: Path
) -> None:
    prefix = f"{pushed.bucket_prefix}/data/"
    server = pushed.bucket.server
    assert server is not None
    lists = sorted(key for key in server.keys(prefix) if key.endswith("/RECOVER.txt"))
    assert len(lists) == len(SNAPSHOTS)
    target = zfs_pool.unused_name("foreign")
    for number, key in enumerate(lists):
        fetch(key.removeprefix(f"{pushed.bucket_prefix}/"), tmp_path / "RECOVER.txt")
        parts = (tmp_path / "RECOVER.txt").read_text().splitlines()
        assert len(parts) > 1, "one part proves nothing about their order"
        stream = tmp_path / "stream"
        with stream.open("wb") as joined:
            for part in parts:
                fetch(part, tmp_path / "part.age")
                foreign.decrypt(tmp_path / "part.age", age_identity, tmp_path / "part")
                joined.write((tmp_path / "part").read_bytes())
        sent = subprocess.run(["zfs", *pushed.stream(number)], check=True, capture_output=True, timeout=SECONDS).stdout
        assert stream.read_bytes() == sent
        receive(stream, target)
    assert [guid_of(f"{target}@{label}") for label in SNAPSHOTS] == pushed.guids()
    assert inventory(mounted(zfs_pool, target)) == inventory(pushed.source.path)
    zfs_pool.destroy(target)


@pytest.mark.pool
@pytest.mark.garage
def test_recover_txt_is_the_manifests_list_of_parts(pushed: Pushed) -> None:
    for place in (pushed.bucket, pushed.folder):
        content = place.content()
        manifests = [json.loads(body) for key, body in content.items() if key.startswith("manifests/")]
        assert len(manifests) == len(SNAPSHOTS)
        for manifest in manifests:
            keys = [part["key"] for part in manifest["parts"]]
            folder = keys[0].rpartition("/")[0]
            assert content[f"{folder}/RECOVER.txt"].decode() == "".join(f"{key}\n" for key in keys)
            stored = {key: len(body) for key, body in content.items() if f"{folder}/part-" in key}
            assert stored == {part["key"]: part["sealed_length"] for part in manifest["parts"]}


@pytest.mark.pool
@pytest.mark.garage
def test_the_properties_open_with_stock_age(
    pushed: Pushed, foreign: ForeignTools, age_identity: AgeIdentity, tmp_path: Path
) -> None:
    sealed = [body for key, body in pushed.bucket.content().items() if key.endswith("/meta.age")]
    assert len(sealed) == len(SNAPSHOTS)
    for body in sealed:
        (tmp_path / "meta.age").write_bytes(body)
        foreign.decrypt(tmp_path / "meta.age", age_identity, tmp_path / "meta.json")
        meta = json.loads((tmp_path / "meta.json").read_text())
        assert meta["properties"][PROPERTY] == {"value": MARKER, "source": "local"}


@pytest.mark.pool
@pytest.mark.garage
def test_packed_parts_open_with_stock_zstd(
    pushed: Pushed, foreign: ForeignTools, age_identity: AgeIdentity, tmp_path: Path
) -> None:
    store = pushed.folder.folder
    assert store is not None
    lists = sorted(store.glob("data/**/RECOVER.txt"), key=lambda path: path.parent.name)
    keys = [key for one in lists for key in one.read_text().splitlines()]
    assert any(key.endswith(".zst.age") for key in keys)
    joined = b""
    for key in keys:
        foreign.decrypt(store / key, age_identity, tmp_path / "part")
        if key.endswith(".zst.age"):
            (tmp_path / "part").rename(tmp_path / "part.zst")
            run([foreign.zstd, "-d", "-q", "-f", tmp_path / "part.zst", "-o", tmp_path / "part"])
        joined += (tmp_path / "part").read_bytes()
        (tmp_path / "part").unlink()
    sent = [
        subprocess.run(["zfs", *pushed.stream(number)], check=True, capture_output=True, timeout=SECONDS).stdout
        for number in range(len(SNAPSHOTS))
    ]
    assert joined == b"".join(sent)


@pytest.mark.parametrize("name", ["d-full", "e-raw", "l-lc", "l-split", "z-full", "fuse-full"])
def test_every_kind_of_stream_comes_back_by_stock_age(
    name: str, foreign: ForeignTools, age_identity: AgeIdentity, tmp_path: Path
) -> None:
    stream = STREAMS / f"{name}.zs"
    store = tmp_path / "store"
    store.mkdir()
    folder_place(store).take(stream, age_identity.recipient).good()
    (parts,) = store.glob("data/**/RECOVER.txt")
    joined = b""
    for key in parts.read_text().splitlines():
        foreign.decrypt(store / key, age_identity, tmp_path / "part")
        joined += (tmp_path / "part").read_bytes()
        (tmp_path / "part").unlink()
    assert joined == stream.read_bytes()
