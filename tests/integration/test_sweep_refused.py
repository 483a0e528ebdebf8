"""A store that doesn't list unfinished uploads, or forbids it: leftovers go all the same, and no push is kept."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from harness.foreign import AgeIdentity
from harness.pool import DatasetFactory
from harness.program import SOURCE, STREAMS, program, server_place
from harness.proxy import proxy_to, say
from harness.s3 import S3Server

FULL = (STREAMS / "d-full.zs").read_bytes()
LEFT = "20260101T000000Z-0-00000000000000aa-00000000000a"

pytestmark = pytest.mark.garage


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (501, "NotImplemented"), (405, "MethodNotAllowed")]
)
def test_a_sweep_does_without_the_list_of_uploads(
    garage: S3Server, tmp_path: Path, age_identity: AgeIdentity, status: int, code: str
) -> None:
    prefix = f"sweep-refused/{tmp_path.name}"
    with proxy_to(garage.endpoint) as proxy:
        place = server_place(dataclasses.replace(garage, endpoint=proxy.endpoint), prefix)
        place.take(FULL, age_identity.recipient).good()
        intent = {
            "format": 1,
            "requires": [],
            "repository": json.loads(garage.read(f"{prefix}/repository.json"))["id"],
            "source": SOURCE,
            "dataset": "tank/left",
            "id": LEFT,
            "started": "2026-01-01T00:00:00Z",
            "manifest": f"manifests/{SOURCE}/tank/left/@/{LEFT}~0.json",
        }
        left = {
            f"{prefix}/runs/{SOURCE}/{LEFT}.json": json.dumps(intent).encode(),
            f"{prefix}/data/{SOURCE}/tank/left/@/{LEFT}/part-000000-00000000.age": b"left by a killed run",
        }
        for key, body in left.items():
            garage.client().put_object(Bucket=garage.bucket, Key=key, Body=body)
        one = proxy.on("GET uploads", say(status, code), count=None)
        done = place.take(FULL, age_identity.recipient, "tank/other@a").good()
        assert one.met > 0
        assert "lists no unfinished uploads" in done.err
        # Garage ignores conditional writes, so the leftover was judged, and waits for its grace time.
        assert "goes after" in place.run("cleanup", "--source", SOURCE).good().out.decode()


@pytest.mark.pool
def test_credentials_that_may_not_delete_keep_no_stopped_push_from_its_end(
    garage: S3Server, tmp_path: Path, age_identity: AgeIdentity, dataset: DatasetFactory
) -> None:
    one = dataset("no-delete")
    (one.path / "file").write_bytes(os.urandom(8 << 20))
    one.snapshot("s")
    prefix = f"no-delete/{tmp_path.name}"
    with proxy_to(garage.endpoint) as proxy:
        place = server_place(dataclasses.replace(garage, endpoint=proxy.endpoint), prefix)
        config = tmp_path / "config.yaml"
        host = {"url": place.url, "endpoint": proxy.endpoint, "region": garage.region, "part_size": "1MiB"}
        content = {"base_dir": str(tmp_path / "state"), "recipients": [age_identity.recipient], "hosts": {"h": host}}
        config.write_text(json.dumps(content))
        words = ("push", "--config", config, "--dataset", one.name, "--source", SOURCE)
        failing = proxy.on("PUT part", say(403, "AccessDenied"), first=6, count=None)
        assert program(*words, environment=place.environment).code != 0
        assert failing.met > 0
        proxy.rules.remove(failing)
        # What lies behind a gap doesn't count any more.
        before = sorted(key for key in garage.keys(f"{prefix}/data/") if "/part-" in key)
        garage.client().delete_object(Bucket=garage.bucket, Key=before[1])
        refused = [proxy.on(what, say(403, "AccessDenied"), count=None) for what in ("POST delete", "DELETE part")]
        done = program(*words, "--json", environment=place.environment).good()
        assert sum(one.met for one in refused) > 0
        assert "may not be removed" in done.err
    assert [result["status"] for result in done.results()] == ["pushed"]
    assert before[-1] in garage.keys(f"{prefix}/data/")
    check = (tmp_path / "stream", "--force")
    server_place(garage, prefix).run(
        "restore", "--dataset", one.name, "--identity", age_identity.path, "--output", *check
    ).good()
