"""The shell blocks of a store's own RECOVER.md, run as its reader would: save, fill in the capitals, bash."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SECONDS = 120.0
BLOCK = re.compile(r"^```sh\n# recover: (.+?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Ran:
    """How a script ended."""

    code: int
    out: str
    err: str

    def done(self) -> str:
        """Demand success; return stdout."""
        assert self.code == 0, self
        return self.out

    def stopped(self, *words: str) -> None:
        """Demand a loud failure: not 0, no claim to be done, and these words."""
        assert self.code != 0, self
        assert "done:" not in self.out, self
        for word in words:
            assert word in self.out + self.err, (word, self)


@dataclass(frozen=True)
class Recipe:
    """The scripts of one RECOVER.md, by the title in their marker comment."""

    scripts: Mapping[str, str]
    folder: Path
    environment: Mapping[str, str]

    def run(self, title: str, **values: str | Path) -> Ran:
        """Fill in variables, each of which the script must set exactly once at its top, and run it."""
        text = self.scripts[title]
        for name, value in values.items():
            line = f"{name}={shlex.quote(str(value))}"
            text, found = re.subn(rf"^{name}=.*$", line.replace("\\", r"\\"), text, flags=re.MULTILINE)
            assert found == 1, f"{title} sets {name} {found} times"
        script = self.folder / (title.replace(" ", "-") + ".sh")
        script.write_text(text)
        done = subprocess.run(
            ["bash", script],
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=self.environment,
            stdin=subprocess.DEVNULL,
        )
        return Ran(done.returncode, done.stdout, done.stderr)


def read_recipe(text: str, folder: Path, environment: Mapping[str, str]) -> Recipe:
    """Take the marked blocks out of RECOVER.md."""
    return Recipe(dict(BLOCK.findall(text)), folder, environment)
