"""What the design takes for granted about these servers and pools; a new version that differs shows here."""

import base64
import hashlib

import botocore.exceptions
import pytest

from harness.foreign import AgeIdentity, ForeignTools
from harness.pool import DatasetFactory, Pool, zfs
from harness.s3 import S3Server


def test_garage_ignores_if_none_match(garage: S3Server) -> None:
    client = garage.client()
    for body in (b"first", b"second"):
        client.put_object(Bucket=garage.bucket, Key="servers/twice", Body=body, IfNoneMatch="*")
    assert garage.read("servers/twice") == b"second"


def test_moto_honours_if_none_match(moto_s3: S3Server) -> None:
    client = moto_s3.client()
    client.put_object(Bucket=moto_s3.bucket, Key="servers/twice", Body=b"first", IfNoneMatch="*")
    with pytest.raises(botocore.exceptions.ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=moto_s3.bucket, Key="servers/twice", Body=b"second", IfNoneMatch="*")
    assert moto_s3.read("servers/twice") == b"first"


def test_garage_refuses_a_wrong_checksum(garage: S3Server) -> None:
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    with pytest.raises(botocore.exceptions.ClientError, match=r"InvalidDigest|BadDigest|InvalidRequest|checksum"):
        garage.client().put_object(Bucket=garage.bucket, Key="servers/sum", Body=b"this", ChecksumSHA256=wrong)
    assert "servers/sum" not in garage.keys("servers/")


def test_aws_reads_what_the_bucket_holds(garage: S3Server, foreign: ForeignTools) -> None:
    garage.client().put_object(Bucket=garage.bucket, Key="servers/aws", Body=b"bytes")
    assert foreign.s3(garage, "s3", "cp", f"s3://{garage.bucket}/servers/aws", "-") == "bytes"


def test_age_identity_names_its_recipient(age_identity: AgeIdentity) -> None:
    assert age_identity.recipient.startswith("age1")
    assert f"public key: {age_identity.recipient}" in age_identity.path.read_text()


@pytest.mark.pool
def test_pool_speaks_the_baseline(zfs_pool: Pool, dataset: DatasetFactory) -> None:
    one = dataset("baseline", compression="on")
    (one.path / "file").write_bytes(b"x" * 100_000)
    name = one.snapshot("a")
    assert zfs("list", "-H", "-o", "name", "-t", "snapshot", "-r", one.name).split() == [name]
    rows = [line.split("\t") for line in zfs("get", "-Hp", "guid,createtxg,creation", name).splitlines()]
    assert [row[1] for row in rows] == ["guid", "createtxg", "creation"]
    assert all(int(row[2]) > 0 for row in rows)
    zfs("hold", "zpbtest:held", name)
    assert zfs("get", "-Hp", "-o", "value", "userrefs", name).strip() == "1"
