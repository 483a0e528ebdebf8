"""Encrypted datasets: what is refused, what is loud, and that a raw chain and a plain one do not mix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.pool import Dataset, Pool, zfs
from harness.trees import MARKER
from vm.rig import Rig, facts, get, guids, mounted, whole

pytestmark = [pytest.mark.pool, pytest.mark.garage]


@dataclass(frozen=True)
class Vault:
    """An encrypted filesystem with one file and one snapshot."""

    dataset: Dataset
    key: Path

    @property
    def name(self) -> str:
        return self.dataset.name

    def close(self) -> None:
        zfs("unmount", self.name)
        zfs("unload-key", self.name)


@pytest.fixture
def vault(zfs_pool: Pool, tmp_path: Path) -> Iterator[Vault]:
    key = tmp_path / "passphrase"
    key.write_text("0" * 64)
    properties = {"encryption": "on", "keyformat": "hex", "keylocation": f"file://{key}"}
    made = Vault(zfs_pool.create("vault", **properties), key)
    (made.dataset.path / "file").write_text(MARKER * 1000)
    made.dataset.snapshot("one")
    yield made
    zfs_pool.destroy(made.name)


def test_nothing_is_uploaded_while_raw_is_unsaid(rig: Rig, vault: Vault) -> None:
    rig.configure([rig.task(vault.name)])
    rig.run("push").refused(2, vault.name, "raw: true", "raw: false")
    rig.run("push", "--dataset", vault.name, "--recipient", rig.recipient).refused(2, "raw: true", "raw: false")
    assert rig.place("folder").backup_keys() == set()


def test_a_decrypted_send_needs_the_key_and_says_so(rig: Rig, vault: Vault) -> None:
    rig.configure([rig.task(vault.name, raw=False)])
    vault.close()
    done = rig.run("push")
    assert done.code == 1, done
    assert "key" in done.err.lower(), done.err
    assert [key for key in rig.place("folder").backup_keys() if key.startswith(("manifests", "data"))] == []
    zfs("load-key", vault.name)
    assert [one["status"] for one in rig.push()] == ["pushed"]


def test_a_decrypted_send_comes_back_plain(rig: Rig, vault: Vault, zfs_pool: Pool) -> None:
    rig.configure([rig.task(vault.name, raw=False)])
    rig.push()
    assert next(iter(rig.manifests("folder").values()))["send"]["flags"] == ["-L", "-e", "-c"]
    target = rig.restore(vault.name)
    assert get(target, "encryption") == "off"
    assert facts(mounted(zfs_pool, target)) == facts(vault.dataset.path)
    assert all(MARKER.encode() not in body for body in rig.place("folder").content().values())


@whole
def test_a_change_of_raw_begins_a_new_chain_loudly(rig: Rig, vault: Vault) -> None:
    rig.configure([rig.task(vault.name, raw=True)])
    rig.push()
    vault.dataset.snapshot("two")
    assert [one["level"] for one in rig.push()] == [1]
    vault.dataset.snapshot("three")
    rig.configure([rig.task(vault.name, raw=False)])
    done = rig.run("push", "--json").good()
    assert [one["level"] for one in done.results()] == [0]
    assert "raw" in done.err, done.err
    flags = [manifest["send"]["flags"] for manifest in rig.manifests("folder").values()]
    assert sorted(flags) == [["-L", "-e", "-c"], ["-w"], ["-w"]]


@whole
def test_a_raw_chain_of_several_keys_comes_back(rig: Rig, vault: Vault, zfs_pool: Pool) -> None:
    rig.configure([rig.task(vault.name, raw=True)])
    rig.push()
    vault.key.write_text("1" * 64)
    zfs("change-key", "-o", "keyformat=hex", "-o", f"keylocation=file://{vault.key}", vault.name)
    (vault.dataset.path / "later").write_text("after the change of the key")
    vault.dataset.snapshot("two")
    before = facts(vault.dataset.path)
    vault.close()
    rig.push()
    target = rig.restore(vault.name)
    assert guids(target) == guids(vault.name)
    zfs("load-key", "-L", f"file://{vault.key}", target)
    assert facts(mounted(zfs_pool, target)) == before
