"""RECOVER.md's thaw block on a server with archive classes: asks once for each cold part, then says they are ready."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness.foreign import AgeIdentity, ForeignTools
from harness.program import STREAMS, program, server_place
from harness.recipe import read_recipe
from harness.s3 import S3Server


@pytest.mark.timeout(300)
def test_cold_parts_are_thawed_by_the_recipe(
    moto_s3: S3Server, foreign: ForeignTools, age_identity: AgeIdentity, tmp_path: Path
) -> None:
    place = server_place(moto_s3, "thaw")
    host = {
        "url": place.url,
        "endpoint": moto_s3.endpoint,
        "region": moto_s3.region,
        "storage_class": {"manifest": "STANDARD_IA", "backup_data": ["DEEP_ARCHIVE"]},
    }
    config = tmp_path / "config.yaml"
    content = {"source": "cold", "recipients": [age_identity.recipient], "hosts": {"moto": host}}
    config.write_text(json.dumps(content))
    words = ("push", "--config", config, "--stdin", "tank/d@a")
    program(*words, stdin=STREAMS / "d-full.zs", environment=place.environment).good()

    heads = {key: moto_s3.client().head_object(Bucket=moto_s3.bucket, Key=key) for key in moto_s3.keys("thaw/")}
    cold = {key for key, head in heads.items() if head.get("StorageClass") == "DEEP_ARCHIVE"}
    assert cold == {key for key in heads if "/part-" in key}
    assert cold
    (manifest,) = [key.removeprefix("thaw/") for key in heads if "/manifests/" in key]
    assert heads[f"thaw/{manifest}"]["StorageClass"] == "STANDARD_IA"

    out = tmp_path / "out"
    restore = ("--dataset", "tank/d", "--identity", age_identity.path, "--output", out)
    place.run("restore", *restore).refused(1, "thaw", "part-")
    assert not out.exists()

    path = os.pathsep.join([str(foreign.aws.parent), os.environ["PATH"]])
    recipe = read_recipe(moto_s3.read("thaw/RECOVER.md").decode(), tmp_path, moto_s3.environment() | {"PATH": path})
    values = {"BUCKET": moto_s3.bucket, "PREFIX": "thaw", "ENDPOINT": moto_s3.endpoint, "MANIFEST": manifest}
    assert f"waiting: {len(cold)} parts" in recipe.run("s3 thaw", **values).done()
    assert f"ready: all {len(cold)} parts" in recipe.run("s3 thaw", **values).done()
    place.run("restore", *restore).good()
    assert out.read_bytes() == (STREAMS / "d-full.zs").read_bytes()
