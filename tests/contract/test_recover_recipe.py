"""RECOVER.md as it lies in the store: its own shell blocks, with stock tools, restore a chain or fail loudly."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.damage import flipped
from harness.foreign import AgeIdentity, ForeignTools
from harness.pool import Pool, zfs
from harness.processes import CommandFailed
from harness.program import Place, folder_place, server_place
from harness.pushed import SNAPSHOTS, Pushed, guid_of
from harness.recipe import Ran, Recipe, read_recipe
from harness.s3 import S3Server
from harness.trees import MARKER, inventory

pytestmark = [pytest.mark.pool, pytest.mark.garage]


@dataclass
class Scene:
    """A private copy of a pushed store, of one kind, and a machine that restores from it."""

    kind: str
    place: Place
    recipe: Recipe
    where: dict[str, str | Path]
    identity: Path
    target: str

    def manifests(self) -> list[str]:
        """Return the manifests as the recipe's step 1 shows them, the older first."""
        lines = self.recipe.run(f"{self.kind} list", **self.where).done().splitlines()
        return sorted(line[line.index("manifests/") :] for line in lines)

    def chain(self, manifest: str) -> Ran:
        return self.recipe.run(
            f"{self.kind} chain", **self.where, MANIFEST=manifest, IDENTITY=self.identity, TARGET=self.target
        )

    def received(self) -> list[str]:
        """Return the labels of the target's snapshots; nothing where it does not exist."""
        with contextlib.suppress(CommandFailed):
            names = zfs("list", "-H", "-o", "name", "-t", "snapshot", "-r", self.target).split()
            return [name.partition("@")[2] for name in names]
        return []

    def parts(self, number: int) -> list[str]:
        """Return the keys of the parts of backup `number`, in order."""
        manifest = json.loads(self.place.content()[self.manifests()[number]])
        return [part["key"] for part in manifest["parts"]]

    def write(self, key: str, body: bytes | None) -> None:
        """Replace an object behind everybody's back; None takes it away."""
        if self.place.folder is not None:
            path = self.place.folder / key
            path.unlink(missing_ok=True)
            if body is not None:
                path.write_bytes(body)
            return
        server = self.place.server
        assert server is not None
        name = f"{self.place.url.removeprefix(f's3://{server.bucket}/')}/{key}"
        if body is None:
            server.client().delete_object(Bucket=server.bucket, Key=name)
        else:
            server.client().put_object(Bucket=server.bucket, Key=name, Body=body)


def bucket_copy(pushed: Pushed, server: S3Server, name: str) -> tuple[Place, dict[str, str | Path]]:
    client = server.client()
    for key in server.keys(f"{pushed.bucket_prefix}/"):
        copy = name + key.removeprefix(pushed.bucket_prefix)
        client.copy_object(Bucket=server.bucket, Key=copy, CopySource={"Bucket": server.bucket, "Key": key})
    # No ENDPOINT: whoever lives with another store than AWS has it in the environment.
    return server_place(server, name), {"BUCKET": server.bucket, "PREFIX": name}


@pytest.fixture(params=["directory", "s3"])
def scene(
    request: pytest.FixtureRequest, pushed: Pushed, foreign: ForeignTools, age_identity: AgeIdentity, tmp_path: Path
) -> Iterator[Scene]:
    pool: Pool = request.getfixturevalue("zfs_pool")
    server: S3Server = request.getfixturevalue("garage")
    place: Place
    where: dict[str, str | Path]
    if request.param == "s3":
        place, where = bucket_copy(pushed, server, f"recipe/{tmp_path.name}")
    else:
        assert pushed.folder.folder is not None
        store = shutil.copytree(pushed.folder.folder, tmp_path / "store")
        place, where = folder_place(store), {"STORE": store}
    path = os.pathsep.join([str(foreign.aws.parent), os.environ["PATH"]])
    environment = server.environment() | {"AWS_ENDPOINT_URL": server.endpoint, "PATH": path}
    recipe = read_recipe(place.content()["RECOVER.md"].decode(), tmp_path, environment)
    target = pool.unused_name("recipe")
    yield Scene(request.param, place, recipe, where, age_identity.path, target)
    pool.destroy(target)


def mounted(pool: Pool, name: str) -> Path:
    zfs("mount", name)
    return pool.path / name.partition("/")[2]


def test_the_chain_script_restores_everything(scene: Scene, pushed: Pushed, zfs_pool: Pool) -> None:
    manifests = scene.manifests()
    assert len(manifests) == len(SNAPSHOTS)
    before = scene.place.content()
    assert f"done: {scene.target} is restored" in scene.chain(manifests[-1]).done()
    assert [guid_of(f"{scene.target}@{label}") for label in SNAPSHOTS] == pushed.guids()
    again = scene.chain(manifests[-1]).done()
    assert again.count("already there") == len(SNAPSHOTS)
    assert inventory(mounted(zfs_pool, scene.target)) == inventory(pushed.source.path)
    assert scene.place.content() == before, "the recipe wrote to the store"


def test_the_scripts_for_one_backup_restore_it_too(scene: Scene, pushed: Pushed, zfs_pool: Pool) -> None:
    for manifest in scene.manifests():
        folder, _, name = manifest.removeprefix("manifests/").rpartition("/")
        backup = f"data/{folder}/{name.partition('~')[0]}"
        values: dict[str, str | Path] = {"BACKUP": backup, "IDENTITY": scene.identity, "TARGET": scene.target}
        assert "done:" in scene.recipe.run(f"{scene.kind} one backup", **scene.where, **values).done()
    assert inventory(mounted(zfs_pool, scene.target)) == inventory(pushed.source.path)


def test_the_identity_script_shows_the_properties(scene: Scene, tmp_path: Path, foreign: ForeignTools) -> None:
    manifest = scene.manifests()[0]
    common: dict[str, str | Path] = {**scene.where, "MANIFEST": manifest}
    assert MARKER in scene.recipe.run(f"{scene.kind} identity", **common, IDENTITY=scene.identity).done()
    (tmp_path / "other").mkdir()
    other = foreign.new_identity(tmp_path / "other")
    scene.recipe.run(f"{scene.kind} identity", **common, IDENTITY=other.path).stopped("no identity matched")


def test_recover_txt_can_be_made_from_the_manifest(scene: Scene, tmp_path: Path) -> None:
    manifest = scene.manifests()[0]
    copy = tmp_path / "manifest.json"
    copy.write_bytes(scene.place.content()[manifest])
    keys = scene.recipe.run("list of parts", MANIFEST_FILE=copy).done()
    assert keys.splitlines() == scene.parts(0)


def flip(scene: Scene, number: int) -> str:
    key = scene.parts(number)[-1]
    scene.write(key, flipped(scene.place.content()[key]))
    return key


def truncate(scene: Scene, number: int) -> str:
    """Take whole 64 KiB chunks off the end: each one that is left is genuine."""
    key = scene.parts(number)[0]
    body = scene.place.content()[key]
    sealed_chunk = 65552
    head = body.index(b"\n", body.index(b"\n--- ") + 1) + 1 + 16
    chunks = (len(body) - head - 1) // sealed_chunk
    scene.write(key, body[: head + chunks * sealed_chunk])
    return key


def lose(scene: Scene, number: int) -> str:
    key = scene.parts(number)[1]
    scene.write(key, None)
    return key


def swap(scene: Scene, number: int) -> str:
    """Two genuine parts in each other's place: only the stream's own checksum can tell."""
    one, other = scene.parts(number)[:2]
    bodies = scene.place.content()
    scene.write(one, bodies[other])
    scene.write(other, bodies[one])
    return ""


DAMAGES = [flip, truncate, lose, swap]
# The aws command takes a second for each object, and the scripts differ only in how they fetch.
CASES = [("directory", damage, number) for damage in DAMAGES for number in (0, 1)] + [("s3", flip, 1), ("s3", lose, 0)]


@pytest.mark.parametrize(
    ("scene", "damage", "number"),
    CASES,
    indirect=["scene"],
    ids=[f"{kind}-{damage.__name__}-{number}" for kind, damage, number in CASES],
)
def test_damage_is_loud_and_nothing_half_is_kept(
    damage: Callable[[Scene, int], str], number: int, scene: Scene, pushed: Pushed
) -> None:
    sound = scene.place.content()
    newest = scene.manifests()[-1]
    named = damage(scene, number)
    scene.chain(newest).stopped("STOP:", named)
    # What is missing is seen before anything is received; other damage only when its backup's turn comes.
    complete = 0 if damage is lose else number
    assert scene.received() == list(SNAPSHOTS[:complete])
    now = scene.place.content()
    for key, body in sound.items():
        if now.get(key) != body:
            scene.write(key, body)
    scene.chain(newest).done()
    assert [guid_of(f"{scene.target}@{label}") for label in SNAPSHOTS] == pushed.guids()


@pytest.mark.parametrize("scene", ["directory"], indirect=True)
def test_the_check_script_finds_what_is_wrong(scene: Scene) -> None:
    manifest = scene.manifests()[0]
    assert "done:" in scene.recipe.run("directory check", **scene.where, MANIFEST=manifest).done()
    short, lost = truncate(scene, 0), lose(scene, 0)
    ran = scene.recipe.run("directory check", **scene.where, MANIFEST=manifest)
    ran.stopped(f"wrong length: {short}", f"missing: {lost}", "STOP: 2 parts")
