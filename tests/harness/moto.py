"""moto: S3 in Python, for what Garage lacks: If-None-Match, Object Lock, archive classes and thaw.

It approximates S3, so it is never proof of durability.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from harness.processes import free_port, server
from harness.s3 import S3Server


@contextlib.contextmanager
def moto_server(folder: Path) -> Iterator[S3Server]:
    """Run moto with one bucket for the length of the block."""
    port = free_port()
    here = S3Server(
        name="moto",
        endpoint=f"http://127.0.0.1:{port}",
        region="us-east-1",
        bucket="backups",
        access_key_id="test",
        secret_access_key="test",
        conditional="honours",
    )

    def ready() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with server(command, log=folder / "moto.log", ready=ready, environment=environment):
        here.client().create_bucket(Bucket=here.bucket)
        yield here
