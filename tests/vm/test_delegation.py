"""A user who is not root, with what `zfs allow` gave."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from harness.pool import Dataset, Pool, zfs
from harness.program import Ended
from vm.interruption import MIB, TAG, WentOn, assert_spliced, interrupt, send
from vm.rig import Rig, bookmarks, facts, guids, held, mounted, whole

pytestmark = [pytest.mark.pool, pytest.mark.garage]
USER = "pusher"
RIGHTS = "send,hold,release,bookmark,snapshot"


class AsUser:
    """The rig's hosts, used by an ordinary user."""

    def __init__(self, rig: Rig, dataset: Dataset) -> None:
        self.rig, self.dataset = rig, dataset
        rig.configure([rig.task(dataset.name)])
        rig.state.mkdir()
        subprocess.run(["chown", "-R", f"{USER}:", rig.folder], check=True)
        for folder in (rig.folder, *list(rig.folder.parents)[:4]):
            if str(folder) not in ("/", "/tmp"):
                folder.chmod(0o755)

    def enter(self) -> tuple[str, ...]:
        """Make the rig's environment the user's; returns what makes a command the user's."""
        environment = {**self.rig.environment, "HOME": f"/home/{USER}", "USER": USER}
        runtime = f"/run/user-{USER}"
        subprocess.run(["install", "-d", "-o", USER, "-m", "700", runtime], check=True)
        self.rig.environment = {**environment, "XDG_RUNTIME_DIR": runtime}
        return ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups")

    def allow_all_but(self, missing: str) -> None:
        """Give the user what a push needs, but for one right."""
        rights = ",".join(right for right in RIGHTS.split(",") if right != missing)
        zfs("allow", USER, rights, self.dataset.name)

    def run(self, command: str, *words: str) -> Ended:
        return self.rig.run(command, *words, wrapper=self.enter())


@pytest.fixture(scope="module", autouse=True)
def user() -> Iterator[None]:
    subprocess.run(["useradd", "--create-home", USER], check=True)
    yield
    subprocess.run(["userdel", "--remove", USER], check=False)


@pytest.fixture
def as_user(rig: Rig, source: Dataset) -> AsUser:
    (source.path / "file").write_bytes(b"content" * 10_000)
    source.snapshot("one")
    return AsUser(rig, source)


def test_delegated_rights_are_enough(as_user: AsUser, zfs_pool: Pool) -> None:
    dataset, rig = as_user.dataset, as_user.rig
    zfs("allow", USER, RIGHTS, dataset.name)
    done = as_user.run("push", "--json").good()
    assert [one["status"] for one in done.results()] == ["pushed"], done
    dataset.snapshot("two")
    done = as_user.run("push", "--json").good()
    assert [one["level"] for one in done.results()] == [1], done
    assert len(bookmarks(dataset.name)) == 2
    assert zfs("holds", "-H", f"{dataset.name}@two") == ""
    dataset.snapshot("three")
    zfs("destroy", f"{dataset.name}@one")
    done = as_user.run("push", "--json", "--level", "1").good()
    assert [(one["level"], "#" in one["base"]) for one in done.results()] == [(1, True)], done
    rig.environment = rig.server.environment()
    target = rig.restore(dataset.name)
    assert set(guids(target)) == {"one", "three"}
    assert facts(mounted(zfs_pool, target)) == facts(dataset.path)


def test_the_user_goes_on_to_the_byte(as_user: AsUser, tmp_path_factory: pytest.TempPathFactory) -> None:
    dataset, rig = as_user.dataset, as_user.rig
    (dataset.path / "large").write_bytes(os.urandom(12 * MIB))
    dataset.snapshot("two")
    rig.configure([rig.task(dataset.name)], part_size="1MiB")
    zfs("allow", USER, RIGHTS, dataset.name)
    scratch = tmp_path_factory.mktemp("uninterrupted")
    stream = send(f"{dataset.name}@two", ["-L", "-e", "-c"], None, scratch / "stream")
    journaled = interrupt(rig, signal.SIGTERM, 4, wrapper=as_user.enter())
    done = as_user.run("push", "--json", "-v").good()
    (result,) = done.results()
    went_on = WentOn(result, rig.manifests("folder")[result["manifest_key"]], done)
    assert_spliced(rig, went_on, journaled, stream, scratch)


@whole
def test_a_snapshot_can_be_taken_by_the_user(as_user: AsUser) -> None:
    zfs("allow", USER, RIGHTS, as_user.dataset.name)
    done = as_user.run("push", "--json", "--dataset", as_user.dataset.name, "--create").good()
    assert [one["status"] for one in done.results()] == ["pushed"], done


@whole
def test_without_the_right_to_take_a_snapshot_none_is_made(as_user: AsUser) -> None:
    name = as_user.dataset.name
    as_user.allow_all_but("snapshot")
    as_user.run("push", "--dataset", name, "--create").refused(1, "zfs allow USER snapshot,mount")
    assert set(guids(name)) == {"one"}
    assert as_user.rig.manifests("folder") == {}


@whole
def test_what_the_user_cannot_bookmark_is_held(as_user: AsUser) -> None:
    dataset = as_user.dataset
    as_user.allow_all_but("bookmark")
    done = as_user.run("push", "-v").good()
    assert f"{dataset.name}@one is held, as it can't be bookmarked" in done.err
    assert "zfs allow USER bookmark DATASET" in done.err
    assert bookmarks(dataset.name) == []
    assert held(f"{dataset.name}@one") == [TAG]
    dataset.snapshot("two")
    (result,) = as_user.run("push", "--json").good().results()
    assert (result["level"], result["base"]) == (1, "@one")


@whole
def test_what_the_user_cannot_release_is_said_and_released_once_he_can(as_user: AsUser) -> None:
    one = f"{as_user.dataset.name}@one"
    as_user.allow_all_but("release")
    done = as_user.run("push").good()
    assert f"{one} can't be released" in done.err
    assert "zfs allow USER release DATASET" in done.err
    assert held(one) == [TAG]
    zfs("allow", USER, RIGHTS, as_user.dataset.name)
    as_user.run("push").good()
    assert held(one) == []


@pytest.mark.parametrize("missing", ["send", "hold"])
def test_a_missing_right_is_named(as_user: AsUser, missing: str) -> None:
    as_user.allow_all_but(missing)
    text = as_user.run("push").refused(1, "zfs allow", missing, USER if missing == "hold" else "USER")
    assert "root" in text
    assert [key for key in as_user.rig.place("folder").backup_keys() if key.startswith("manifests")] == []
