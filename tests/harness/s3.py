"""One S3 server as the tests see it, whichever program serves it: where, which keys, and a second, foreign client."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import botocore.config
import botocore.exceptions
import botocore.session


@dataclass(frozen=True)
class S3Server:
    """A running server with one bucket. `conditional` tells what it does with `If-None-Match: *`."""

    name: str
    endpoint: str
    region: str
    bucket: str
    access_key_id: str
    secret_access_key: str
    conditional: Literal["honours", "ignores"]

    def environment(self) -> dict[str, str]:
        """Return the caller's environment with this server's credentials, and none of the machine's own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return kept | {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """Return a botocore client: what a test believes about the bucket's content comes from here."""
        session = botocore.session.Session()
        session.set_credentials(self.access_key_id, self.secret_access_key)
        config = botocore.config.Config(
            s3={"addressing_style": "path"},
            retries={"max_attempts": 1},
            connect_timeout=5,
            read_timeout=30,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return session.create_client("s3", region_name=self.region, endpoint_url=self.endpoint, config=config)

    def answers(self) -> bool:
        """Tell whether the bucket can be listed."""
        try:
            self.client().list_objects_v2(Bucket=self.bucket, MaxKeys=1)
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return False
        return True

    def keys(self, prefix: str = "") -> dict[str, int]:
        """Return key -> length of every object under the prefix."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}

    def read(self, key: str) -> bytes:
        """Return an object's bytes."""
        body: bytes = self.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def bodies(self, prefix: str = "") -> dict[str, bytes]:
        """Return key -> bytes of every object under the prefix."""
        client = self.client()
        keys = self.keys(prefix)
        return {key: client.get_object(Bucket=self.bucket, Key=key)["Body"].read() for key in keys}
