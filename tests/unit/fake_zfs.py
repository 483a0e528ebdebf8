"""A stand-in for zfs(8), only for what a real one can't be made to show: it records each call and answers by rule.

A rule is the beginning of an argument list with what to answer; the longest beginning that fits is taken.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
from typing import Any

SCRIPT = """#!{python} -I
import json, os, sys, time
folder = os.path.dirname(os.path.abspath(__file__))
arguments = sys.argv[1:]
with open(os.path.join(folder, "calls.jsonl"), "a") as calls:
    calls.write(json.dumps({{"argv": arguments, "LC_ALL": os.environ.get("LC_ALL"), "sid": os.getsid(0)}}) + "\\n")
rules = json.load(open(os.path.join(folder, "rules.json")))
fitting = [rule for rule in rules if arguments[: len(rule["argv"])] == rule["argv"]]
if not fitting:
    sys.stderr.write("fake zfs: no rule for " + repr(arguments))
    sys.exit(99)
rule = max(fitting, key=lambda rule: len(rule["argv"]))
if rule["file"]:
    with open(rule["file"], "rb") as stream:
        sys.stdout.buffer.write(stream.read(rule["limit"]))
sys.stdout.buffer.write(rule["out"].encode())
sys.stdout.flush()
sys.stderr.write(rule["err"])
sys.stderr.flush()
if rule["hang"]:
    time.sleep(600)
sys.exit(rule["code"])
"""


@dataclass
class FakeZfs:
    """The program's folder; put it first in PATH, or pass `program`."""

    folder: Path
    rules: list[dict[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.program = self.folder / "zfs"
        self.program.write_text(SCRIPT.format(python=sys.executable))
        self.program.chmod(0o755)
        (self.folder / "rules.json").write_text("[]")

    def answer(
        self,
        *argv: str,
        out: str = "",
        err: str = "",
        code: int = 0,
        hang: bool = False,
        file: str = "",
        limit: int = -1,
    ) -> None:
        """Add a rule."""
        rule = {"argv": list(argv), "out": out, "err": err, "code": code, "hang": hang, "file": file, "limit": limit}
        self.rules.append(rule)
        (self.folder / "rules.json").write_text(json.dumps(self.rules))

    def calls(self) -> list[list[str]]:
        """All argument lists so far."""
        return [list(map(str, entry["argv"])) for entry in self.records()]

    def records(self) -> list[dict[str, Any]]:
        """All calls with their surroundings."""
        log = self.folder / "calls.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def path(self) -> str:
        """PATH with this program first."""
        return os.pathsep.join([str(self.folder), os.environ.get("PATH", "")])
