"""TLS: a certificate that nobody vouches for stops a push; either variable that users expect makes it trusted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.foreign import AgeIdentity
from harness.program import STREAMS, Place, server_place
from harness.s3 import S3Server
from harness.tls import Authority, make_authority, tls_forwarder

pytestmark = pytest.mark.garage

STREAM = STREAMS / "d-full.zs"
TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_CA_BUNDLE")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(garage: S3Server, authority: Authority) -> Iterator[Place]:
    """Garage behind TLS; the environment trusts what the machine trusts."""
    port = urlsplit(garage.endpoint).port
    assert port is not None
    with tls_forwarder(port, authority) as secure_port:
        server = dataclasses.replace(garage, endpoint=f"https://127.0.0.1:{secure_port}")
        place = server_place(server, "tls")
        environment = {name: value for name, value in place.environment.items() if name not in TRUST}
        yield dataclasses.replace(place, environment=environment, server=garage)


def test_an_unknown_authority_is_refused(secure: Place, age_identity: AgeIdentity) -> None:
    ended = secure.take(STREAM, age_identity.recipient)
    ended.refused(1, "no secure connection", "UnknownIssuer", "AWS_CA_BUNDLE", "https")
    assert secure.content() == {}


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_either_variable_makes_it_trusted(
    variable: str, secure: Place, authority: Authority, age_identity: AgeIdentity, tmp_path: Path
) -> None:
    place = dataclasses.replace(
        secure, url=f"{secure.url}-{variable}", environment={**secure.environment, variable: str(authority.bundle)}
    )
    place.take(STREAM, age_identity.recipient).good()
    (backup,) = place.listed()
    assert backup["stream_bytes"] == STREAM.stat().st_size
    target = tmp_path / "stream"
    words = ("--dataset", "tank/d", "--identity", age_identity.path, "--output", target)
    place.run("restore", *words).good()
    assert target.read_bytes() == STREAM.read_bytes()


def test_the_bundle_wins_over_the_certificate_file(
    secure: Place, authority: Authority, age_identity: AgeIdentity, tmp_path: Path
) -> None:
    other = make_authority(tmp_path)
    trusted = {"AWS_CA_BUNDLE": str(authority.bundle), "SSL_CERT_FILE": str(other.bundle)}
    secure.run("list", changed=trusted).good()
    swapped = dict(zip(trusted, reversed(trusted.values()), strict=True))
    secure.run("list", changed=swapped).refused(1, "no secure connection", "AWS_CA_BUNDLE")


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_bundle_that_cannot_be_used_is_named(variable: str, secure: Place, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    secure.run("list", changed={variable: str(missing)}).refused(2, variable, "missing.pem", "No such file")
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate\n")
    secure.run("list", changed={variable: str(empty)}).refused(2, variable, "empty.pem", "no usable certificate")


def test_plain_http_behind_https_says_so(garage: S3Server, age_identity: AgeIdentity) -> None:
    plain = dataclasses.replace(garage, endpoint=garage.endpoint.replace("http://", "https://"))
    place = server_place(plain, "tls-plain")
    place.run("list").refused(1, "no secure connection", "speaks https")
