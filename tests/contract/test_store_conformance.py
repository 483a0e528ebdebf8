"""One suite for every store: the Rust conformance tests against Garage (ignores If-None-Match) and moto (obeys)."""

import re
import subprocess
from pathlib import Path

import pytest

from harness.s3 import S3Server

ROOT = Path(__file__).resolve().parents[2]
# The whole workspace's features, so that the build of `make test` is used; only this test target runs.
COMMAND = [
    *("scripts/cargo", "test", "--release", "--workspace"),
    *("--all-features", "--test", "conformance_s3"),
]


def run_suite(server: S3Server) -> None:
    environment = server.environment() | {
        "ZPB_TEST_S3_ENDPOINT": server.endpoint,
        "ZPB_TEST_S3_BUCKET": server.bucket,
        "ZPB_TEST_S3_REGION": server.region,
        "ZPB_TEST_S3_CONDITIONAL": server.conditional,
    }
    done = subprocess.run(COMMAND, cwd=ROOT, check=False, capture_output=True, text=True, timeout=1500, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = [int(count) for count in re.findall(r"test result: ok\. (\d+) passed", done.stdout)]
    assert sum(passed) > 0, f"no test ran:\n{done.stdout}"
    assert server.keys(), "the suite left no trace: it ran against something else"


@pytest.mark.timeout(1600)
def test_against_garage(garage: S3Server) -> None:
    run_suite(garage)


@pytest.mark.timeout(1600)
def test_against_moto(moto_s3: S3Server) -> None:
    run_suite(moto_s3)
