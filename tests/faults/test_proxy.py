"""The proxy itself: signatures hold through it, requests have their names, and each fault is what its name says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import botocore.exceptions
import pytest

from harness.proxy import Proxy, cut_after, flip, hang_after, kind_of, lose_reply, proxy_to, say
from harness.s3 import S3Server

pytestmark = pytest.mark.garage

KEY = "proxied/data/x/part-000001-aa.age"
BODY = bytes(range(256)) * 4000


@pytest.fixture
def proxy(garage: S3Server) -> Iterator[Proxy]:
    with proxy_to(garage.endpoint) as one:
        yield one


@pytest.fixture
def client(garage: S3Server, proxy: Proxy) -> S3Server:
    return dataclasses.replace(garage, endpoint=proxy.endpoint)


def put(server: S3Server, key: str = KEY) -> None:
    server.client().put_object(Bucket=server.bucket, Key=key, Body=BODY)


@pytest.mark.parametrize(
    ("method", "target", "kind"),
    [
        ("PUT", "/b/p/data/s/t/@/i/part-000001-aa.age?x-id=PutObject", "PUT part"),
        ("PUT", "/b/p/data/s/t/%40/i/part-000001-aa.age?partNumber=2&uploadId=u", "PUT piece"),
        ("POST", "/b/p/k?uploads", "POST begin"),
        ("POST", "/b/p/k?uploadId=u", "POST complete"),
        ("DELETE", "/b/p/k?uploadId=u", "DELETE upload"),
        ("GET", "/b?list-type=2&prefix=p", "GET list"),
        ("GET", "/b?uploads&prefix=p", "GET uploads"),
        ("PUT", "/b/p/manifests/s/t/@/i~0.json", "PUT manifest"),
        ("DELETE", "/b/p/runs/s/i.json", "DELETE intent"),
        ("GET", "/b/p/repository.json", "GET repository"),
    ],
)
def test_requests_have_names(method: str, target: str, kind: str) -> None:
    assert kind_of(method, target) == kind


def test_signed_requests_pass(client: S3Server, proxy: Proxy) -> None:
    put(client)
    assert client.read(KEY) == BODY
    assert client.keys("proxied/") == {KEY: len(BODY)}
    client.client().delete_object(Bucket=client.bucket, Key=KEY)
    assert proxy.arrived == ["PUT part", "GET part", "GET list", "DELETE part"]


def test_what_is_lost_is_the_answer_only(client: S3Server, garage: S3Server, proxy: Proxy) -> None:
    proxy.on("PUT part", lose_reply, count=None)
    with pytest.raises(botocore.exceptions.BotoCoreError):
        put(client)
    assert garage.read(KEY) == BODY


@pytest.mark.parametrize("fault", [cut_after(1000), flip(5000), say(503, "SlowDown")], ids=["cut", "flip", "say"])
def test_what_is_spoilt_is_not_stored(
    client: S3Server, garage: S3Server, proxy: Proxy, fault: object, request: pytest.FixtureRequest
) -> None:
    key = f"proxied/{request.node.callspec.id}/part-1"
    rule = proxy.on("PUT part", fault, first=2, count=None)  # type: ignore[arg-type]
    put(client)
    with pytest.raises((botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError)):
        put(client, key)
    assert rule.met > 0
    assert key not in garage.keys("proxied/")
    proxy.clear()
    put(client, key)
    assert garage.read(key) == BODY


def test_what_hangs_is_let_go_of(client: S3Server, proxy: Proxy) -> None:
    rule = proxy.on("PUT part", hang_after(10))
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(put, client)
        while not rule.met:
            assert not hanging.done()
        proxy.clear()
        # The client notices that its connection ended, and tries once more.
        hanging.result(20)


def test_nobody_listens_for_a_while(client: S3Server, proxy: Proxy) -> None:
    put(client)
    with proxy.refusing(), pytest.raises(botocore.exceptions.EndpointConnectionError):
        put(client)
    put(client)
