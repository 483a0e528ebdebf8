"""What an operator gets wrong about an S3 store: one clear line, the right exit code, and nothing in the bucket."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness import garage as garage_harness
from harness.foreign import AgeIdentity
from harness.processes import free_port, run
from harness.program import STREAMS, Ended, Place, server_place
from harness.s3 import S3Server

pytestmark = pytest.mark.garage

STREAM = STREAMS / "fuse-full.zs"
FAKETIME = "/usr/$LIB/faketime/libfaketime.so.1"

Change = Callable[[Place, Path], Place]


def changed(place: Place, *, url: str | None = None, words: dict[str, str] | None = None, **environment: str) -> Place:
    """Return the place with another URL, options or variables; an empty variable is taken away."""
    options = dict(zip(place.words[::2], place.words[1::2], strict=True)) | (words or {})
    variables = {**place.environment, **environment}
    return dataclasses.replace(
        place,
        url=url or place.url,
        words=tuple(word for option in options.items() for word in option),
        environment={name: value for name, value in variables.items() if value},
    )


def wrong_secret(place: Place, _folder: Path) -> Place:
    return changed(place, AWS_SECRET_ACCESS_KEY="0" * 64)


def unknown_key(place: Place, _folder: Path) -> Place:
    return changed(place, AWS_ACCESS_KEY_ID="GK" + "0" * 24)


def no_credentials(place: Place, folder: Path) -> Place:
    return changed(place, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", HOME=str(folder))


def half_credentials(place: Place, folder: Path) -> Place:
    return changed(place, AWS_SECRET_ACCESS_KEY="", HOME=str(folder))


def wrong_region(place: Place, _folder: Path) -> Place:
    return changed(place, words={"--region": "eu-nowhere-1"})


def no_such_bucket(place: Place, _folder: Path) -> Place:
    return changed(place, url=place.url.replace("//backups/", "//no-such-bucket/"))


def endpoint_down(place: Place, _folder: Path) -> Place:
    return changed(place, words={"--endpoint": f"http://127.0.0.1:{free_port()}"})


def unknown_name(place: Place, _folder: Path) -> Place:
    return changed(place, words={"--endpoint": "http://store.invalid"})


def clock_behind(place: Place, _folder: Path) -> Place:
    return changed(place, LD_PRELOAD=FAKETIME, FAKETIME="-2d", FAKETIME_DONT_FAKE_MONOTONIC="1")


CASES: dict[str, tuple[Change, int, tuple[str, ...]]] = {
    "wrong secret key": (wrong_secret, 1, ("not accepted", "Invalid signature", "AWS_SECRET_ACCESS_KEY")),
    "unknown access key": (unknown_key, 1, ("not accepted", "No such key", "AWS_ACCESS_KEY_ID")),
    "no credentials": (no_credentials, 1, ("none found", "AWS_ACCESS_KEY_ID", "credentials_file")),
    "half of the credentials": (half_credentials, 1, ("credentials", "AWS_SECRET_ACCESS_KEY")),
    "wrong region": (wrong_region, 2, ("`eu-nowhere-1` is wrong", "set `region: garage`")),
    "no such bucket": (no_such_bucket, 2, ("no bucket `no-such-bucket`", "create it")),
    "endpoint down": (endpoint_down, 1, ("refused", "check `endpoint`")),
    "unknown server": (unknown_name, 1, ("can't be reached", "check `endpoint`")),
    "clock behind": (clock_behind, 1, ("clock", "about 172", "NTP")),
}


def refused(ended: Ended, code: int, words: tuple[str, ...], server: S3Server) -> None:
    text = ended.refused(code, *words)
    assert server.secret_access_key not in text
    assert server.access_key_id not in text


@pytest.mark.parametrize("name", CASES)
def test_a_push_into_a_wrong_store(name: str, garage: S3Server, age_identity: AgeIdentity, tmp_path: Path) -> None:
    change, code, words = CASES[name]
    good = server_place(garage, "bad-input/" + name.replace(" ", "-"))
    refused(change(good, tmp_path).take(STREAM, age_identity.recipient), code, words, garage)
    assert good.content() == {}
    assert good.listed() == []


@pytest.mark.parametrize("name", ["wrong secret key", "no credentials", "wrong region", "no such bucket"])
@pytest.mark.parametrize("command", ["list", "restore", "check"])
def test_reading_a_wrong_store(
    name: str, command: str, garage: S3Server, age_identity: AgeIdentity, tmp_path: Path
) -> None:
    change, code, words = CASES[name]
    bad = change(server_place(garage, "bad-input/reading"), tmp_path)
    if command == "check":
        ended = bad.run("check", "--recipient", age_identity.recipient)
        assert ended.code == 1
        assert "Traceback" not in ended.err
        assert all(word in ended.out.decode() for word in words), ended
        return
    more = ("--dataset", "tank/d", "--identity", age_identity.path, "--output", tmp_path / "out")
    refused(bad.run(command, *(more if command == "restore" else ())), code, words, garage)
    assert not (tmp_path / "out").exists()


def test_errors_are_json_too(garage: S3Server, age_identity: AgeIdentity, tmp_path: Path) -> None:
    bad = wrong_secret(server_place(garage, "bad-input/json"), tmp_path)
    ended = bad.run("list", "--json")
    error = ended.json()["error"]
    assert (ended.code, error["code"], error["exit_code"]) == (1, "store.credentials", 1)


KeyWith = Callable[[str], S3Server]


@pytest.fixture(scope="module")
def key_with(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyWith]:
    """A Garage of its own, and keys with one right only: `key_with("--read")`; "" is the owner's."""
    garage = garage_harness.binary()
    if garage is None:
        pytest.skip("needs Garage: scripts/garage builds it (`make test` does so by itself)")
    folder = tmp_path_factory.mktemp("rights")
    with garage_harness.garage_server(garage, folder) as owner:
        manage: list[str | Path] = [garage, "-c", folder / "garage.toml"]

        def make(right: str) -> S3Server:
            if not right:
                return owner
            key, secret = "GK" + secrets.token_hex(12), secrets.token_hex(32)
            run([*manage, "key", "import", "--yes", "-n", right.strip("-"), key, secret])
            run([*manage, "bucket", "allow", right, owner.bucket, "--key", key])
            return dataclasses.replace(owner, access_key_id=key, secret_access_key=secret)

        yield make


@pytest.mark.parametrize("existing", [False, True], ids=["new prefix", "repository exists"])
@pytest.mark.parametrize("right", ["--read", "--write"])
def test_a_key_without_all_rights(right: str, existing: bool, key_with: KeyWith, age_identity: AgeIdentity) -> None:
    prefix = f"rights{right}-{existing}"
    owner = server_place(key_with(""), prefix)
    if existing:
        owner.take(STREAM, age_identity.recipient, name="tank/other@a").good()
    before = owner.content()
    server = key_with(right)
    limited = server_place(server, prefix)
    refused(limited.take(STREAM, age_identity.recipient), 1, ("access denied", "HTTP 403", "check the rights"), server)
    assert owner.content() == before
    assert [one["dataset"] for one in owner.listed()] == ["tank/other"] * existing


def test_check_names_the_missing_right(key_with: KeyWith, age_identity: AgeIdentity) -> None:
    place = server_place(key_with("--read"), "rights-check")
    report = place.run("check", "--json", "--recipient", age_identity.recipient).json()
    levels = {one["name"].rpartition(": ")[2]: one["level"] for one in report["findings"]}
    assert (levels["reading"], levels["listing"], levels["writing"]) == ("ok", "ok", "fail")
    (writing,) = [one for one in report["findings"] if one["name"].endswith("writing")]
    assert "403" in writing["detail"]
    assert report["ok"] is False
