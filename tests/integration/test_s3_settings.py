"""A host's settings for S3, from the configuration to the wire: a proxy sees what the server is sent."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.foreign import AgeIdentity
from harness.program import SOURCE, STREAMS, Ended, program, without_aws
from harness.proxy import Exchange, framing, proxy_to
from harness.s3 import S3Server

pytestmark = pytest.mark.garage

STREAM = STREAMS / "d-full.zs"
HASH = b"x-amz-content-sha256"
CHECKSUMS = {"crc64nvme", "crc32c", "sha256"}
Head = dict[bytes, bytes]


@dataclasses.dataclass(frozen=True)
class Bench:
    """One host of a configuration, reached through a proxy that keeps the heads of uploads of parts."""

    folder: Path
    server: S3Server
    identity: AgeIdentity

    def run(self, settings: dict[str, Any], command: str, *words: str | Path, **environment: str) -> Ended:
        server = self.server
        url = f"s3://{server.bucket}/settings/{self.folder.name}"
        host = {"url": url, "endpoint": server.endpoint, "region": server.region, **settings}
        content = {"source": SOURCE, "recipients": [self.identity.recipient], "hosts": {"garage": host}}
        config = self.folder / "config.yaml"
        config.write_text(json.dumps(content))
        given = (command, "--config", config, "--host", "garage", *words)
        return program(*given, stdin=STREAM if "--stdin" in words else None, environment=environment)

    def there_and_back(self, settings: dict[str, Any], **environment: str) -> list[tuple[bytes, Head]]:
        """Push a stream and restore it; returns the request line and fields of each part's upload."""
        heads: list[tuple[bytes, Head]] = []

        def see(exchange: Exchange) -> None:
            heads.append((exchange.head.split(b"\r\n")[0], framing(exchange.head)))
            exchange.plainly()

        with proxy_to(self.server.endpoint) as proxy:
            proxy.on("PUT part", see, count=None)
            seen = dataclasses.replace(self, server=dataclasses.replace(self.server, endpoint=proxy.endpoint))
            seen.run(settings, "push", "--stdin", "tank/d@a", **environment).good()
            target = self.folder / "stream"
            words = ("--dataset", "tank/d", "--identity", self.identity.path, "--output", target)
            seen.run(settings, "restore", *words, **environment).good()
        assert target.read_bytes() == STREAM.read_bytes()
        assert heads
        return heads


@pytest.fixture
def bench(tmp_path: Path, garage: S3Server, age_identity: AgeIdentity) -> Bench:
    return Bench(tmp_path, garage, age_identity)


@pytest.mark.parametrize("checksum", [*sorted(CHECKSUMS), "md5", "none"])
def test_the_checksum_that_was_chosen_is_declared(bench: Bench, checksum: str) -> None:
    for _, head in bench.there_and_back({"checksum": checksum}, **bench.server.environment()):
        declared = {one for one in CHECKSUMS if b"x-amz-checksum-" + one.encode() in head}
        assert declared == {checksum} & CHECKSUMS
        assert (b"content-md5" in head) is (checksum == "md5")


@pytest.mark.parametrize(("signing", "signed"), [("always", True), ("never", False), ("auto", True)])
def test_bodies_are_signed_as_chosen(bench: Bench, signing: str, *, signed: bool) -> None:
    for _, head in bench.there_and_back({"payload_signing": signing}, **bench.server.environment()):
        assert (head[HASH] != b"UNSIGNED-PAYLOAD") is signed
        assert not signed or len(head[HASH]) == hashlib.sha256().digest_size * 2


@pytest.mark.parametrize("path_style", [None, True])
def test_with_an_endpoint_the_bucket_stands_in_the_path(bench: Bench, *, path_style: bool | None) -> None:
    settings = {} if path_style is None else {"path_style": path_style}
    for line, head in bench.there_and_back(settings, **bench.server.environment()):
        assert line.startswith(f"PUT /{bench.server.bucket}/settings/".encode())
        assert head[b"host"].startswith(b"127.0.0.1:")


def credentials(server: S3Server, path: Path, profile: str, secret: str | None = None) -> Path:
    """A credentials file with one profile that is right, unless another secret is given, and a wrong default."""
    keys = f"aws_access_key_id = {server.access_key_id}\naws_secret_access_key = {secret or server.secret_access_key}\n"
    wrong = "[default]\naws_access_key_id = GK0123456789abcdef01234567\naws_secret_access_key = wrong\n"
    path.write_text(f"{wrong}[{profile}]\n{keys}")
    path.chmod(0o600)
    return path


Ways = Callable[[Path], tuple[dict[str, str], dict[str, str]]]


def by_file(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    return {"credentials_file": str(path), "profile": "backup"}, {}


def by_variable(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    return {"profile": "backup"}, {"AWS_SHARED_CREDENTIALS_FILE": str(path)}


@pytest.mark.parametrize("way", [by_file, by_variable])
def test_a_profile_wins_over_the_environment(bench: Bench, tmp_path: Path, way: Ways) -> None:
    settings, variables = way(credentials(bench.server, tmp_path / "credentials", "backup"))
    wrong = {"AWS_ACCESS_KEY_ID": "GK0123456789abcdef01234567", "AWS_SECRET_ACCESS_KEY": "wrong"}
    bench.there_and_back(settings, **without_aws(), **variables, **wrong, AWS_PROFILE="default")


@pytest.mark.parametrize("way", [by_file, by_variable])
def test_a_profile_with_a_wrong_secret_is_refused(bench: Bench, tmp_path: Path, way: Ways) -> None:
    settings, variables = way(credentials(bench.server, tmp_path / "credentials", "backup", "wrong-as-well"))
    done = bench.run(settings, "push", "--stdin", "tank/d@a", **{**bench.server.environment(), **variables})
    text = done.refused(1, "credentials")
    assert "wrong-as-well" not in text + done.err
    assert bench.server.keys(f"settings/{tmp_path.name}/") == {}


def test_a_profile_that_is_not_there_is_named(bench: Bench, tmp_path: Path) -> None:
    path = credentials(bench.server, tmp_path / "credentials", "backup")
    settings = {"credentials_file": str(path), "profile": "backups"}
    bench.run(settings, "push", "--stdin", "tank/d@a", **bench.server.environment()).refused(1, "backups")
    assert bench.server.keys(f"settings/{tmp_path.name}/") == {}
