"""The real S3 server of the tests: Garage, one node on loopback ports, its data in a temporary folder.

Facts (Garage 2.5): it ignores If-None-Match with 200, drops unknown storage classes silently, verifies checksums.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from harness.processes import CommandFailed, free_port, run, server
from harness.s3 import S3Server

ROOT = Path(__file__).resolve().parents[2]
REGION = "garage"
BUCKET = "backups"


def binary() -> Path | None:
    """Return the Garage binary that `make test` built, None if there is none yet."""
    try:
        return Path(run([ROOT / "scripts/garage", "--find"]).strip())
    except CommandFailed:
        return None


@contextlib.contextmanager
def garage_server(program: Path, folder: Path) -> Iterator[S3Server]:
    """Run Garage in `folder` with one bucket and one key for the length of the block."""
    port = free_port()
    here = S3Server(
        name="garage",
        endpoint=f"http://127.0.0.1:{port}",
        region=REGION,
        bucket=BUCKET,
        access_key_id="GK" + secrets.token_hex(12),
        secret_access_key=secrets.token_hex(32),
        conditional="ignores",
    )
    config = folder / "garage.toml"
    config.write_text(_configuration(folder, s3_port=port, rpc_port=free_port()))
    environment = {
        **os.environ,
        "GARAGE_DEFAULT_BUCKET": here.bucket,
        "GARAGE_DEFAULT_ACCESS_KEY": here.access_key_id,
        "GARAGE_DEFAULT_SECRET_KEY": here.secret_access_key,
        "RUST_LOG": "garage=warn",
    }
    command: list[str | Path] = [program, "-c", config, "server", "--single-node", "--default-bucket"]
    with server(command, log=folder / "garage.log", ready=here.answers, environment=environment):
        yield here


def _configuration(folder: Path, *, s3_port: int, rpc_port: int) -> str:
    # Sealed parts never get smaller; Garage would try zstd on every block, which its operators switch off then.
    return f"""
metadata_dir = "{folder}/meta"
data_dir = "{folder}/data"
db_engine = "lmdb"
replication_factor = 1
compression_level = "none"
rpc_bind_addr = "127.0.0.1:{rpc_port}"
rpc_public_addr = "127.0.0.1:{rpc_port}"
rpc_secret = "{secrets.token_hex(32)}"

[s3_api]
s3_region = "{REGION}"
api_bind_addr = "127.0.0.1:{s3_port}"
"""
