"""A store that was full yesterday and is empty today: a disk that isn't mounted leaves a bare mount point behind."""

from __future__ import annotations

from pathlib import Path

from harness.foreign import AgeIdentity
from harness.program import SOURCE, STREAMS, program

FULL = (STREAMS / "d-full.zs").read_bytes()


def test_an_emptied_store_is_begun_anew_with_a_warning(tmp_path: Path, age_identity: AgeIdentity) -> None:
    store = tmp_path / "store"
    store.mkdir()
    config = tmp_path / "config.yaml"
    config.write_text(
        f"base_dir: {tmp_path}/state\nlock_dir: {tmp_path}\nsource: {SOURCE}\n"
        f"recipients: [{age_identity.recipient}]\nhosts: {{disk: {{url: 'file://{store}'}}}}\n"
    )
    words = ("push", "--config", config, "--host", "disk", "--stdin", "tank/d@a")
    assert "mounted" not in program(*words, stdin=FULL).good().err
    store.rename(tmp_path / "unmounted")
    store.mkdir()
    done = program(*words, stdin=FULL).good()
    assert "look whether it is mounted" in done.err
    assert "mounted" not in program(*words, stdin=FULL).good().err, "told once"
