#!/usr/bin/env python3
"""Enforce deny.toml and the layering of the crates, from `cargo metadata` alone.

Third-party crates: allowed licences, banned crates (a second TLS stack), crates.io as the only source.
Our crates: who may depend on whom, and which one may name aws or pyo3 (ARCHITECTURE.md has the picture).
Prints one line a finding; exit code 1 if there is any.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GROUND_FLOOR = {"sendstream", "sealing", "format", "store"}
MAY_USE = {name: set[str]() for name in GROUND_FLOOR} | {"engine": GROUND_FLOOR, "bindings": {"engine"}}
OWNERS = {
    "aws-sdk": "store",
    "aws-config": "store",
    "aws-smithy": "store",
    "rustls": "store",
    "openssl": "sealing",
    "pyo3": "bindings",
}


def licence_allowed(expression: str, allowed: set[str]) -> bool:
    """Evaluate an SPDX expression (AND, OR, WITH, parentheses, the old `/`) against the allowed names."""
    words = re.findall(r"[()]|[^\s()]+ WITH [^\s()]+|[^\s()]+", expression.replace("/", " OR "))
    return _any_of(words, allowed)


def _any_of(words: list[str], allowed: set[str]) -> bool:
    result = _all_of(words, allowed)
    while words and words[0] == "OR":
        words.pop(0)
        result = _all_of(words, allowed) or result
    return result


def _all_of(words: list[str], allowed: set[str]) -> bool:
    result = _one(words, allowed)
    while words and words[0] == "AND":
        words.pop(0)
        result = _one(words, allowed) and result
    return result


def _one(words: list[str], allowed: set[str]) -> bool:
    word = words.pop(0)
    if word == "(":
        result = _any_of(words, allowed)
        words.pop(0)
        return result
    return word in allowed


def third_party(package: dict[str, Any], policy: dict[str, Any]) -> list[str]:
    """Return what is wrong with one crate that is not ours."""
    found = []
    label = f"{package['name']} {package['version']}"
    source = str(package["source"]).removeprefix("registry+").removeprefix("sparse+")
    if source not in policy["sources"]["allow-registry"]:
        found.append(f"{label}: comes from {source}, which deny.toml does not allow")
    licence = package["license"] or "no licence named"
    if not licence_allowed(licence, set(policy["licenses"]["allow"])):
        found.append(f"{label}: licence {licence} is not in deny.toml's list")
    for ban in policy["bans"]["deny"]:
        name, _, version = ban["crate"].partition("@")
        if package["name"] == name and (not version or package["version"].startswith(f"{version}.")):
            found.append(f"{label}: banned by deny.toml; `cargo tree -i {name}` shows who asks for it")
    return found


def ours(package: dict[str, Any], members: set[str]) -> list[str]:
    """Return where one of our crates reaches past its layer."""
    name = package["name"]
    if name not in MAY_USE:
        return [f"{name}: unknown crate; give it a place in {Path(__file__).name}"]
    used = {dependency["name"] for dependency in package["dependencies"] if dependency["kind"] != "dev"}
    found = [f"{name}: must not depend on {other}" for other in sorted(used & members - MAY_USE[name])]
    for prefix, owner in OWNERS.items():
        if name != owner:
            found += [f"{name}: only {owner} may name {other}" for other in sorted(used) if other.startswith(prefix)]
    return found


def cargo(*arguments: str) -> str:
    """Run a cargo command that prints what it knows, without touching the lock file."""
    command = ["cargo", *arguments, "--locked", "--quiet"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=300).stdout


def built(targets: list[str]) -> set[tuple[str, str]]:
    """Return name and version of every crate that is compiled; `cargo metadata` also names unused optional ones."""
    crates = set()
    for target in targets:
        tree = cargo(
            "tree", "--workspace", "--edges=normal,build,dev", "--prefix=none", "--format={p}", f"--target={target}"
        )
        crates |= {(line.split()[0], line.split()[1].removeprefix("v")) for line in tree.splitlines() if line}
    return crates


def main() -> int:
    policy = tomllib.loads((ROOT / "deny.toml").read_text())
    packages = json.loads(cargo("metadata", "--format-version=1"))["packages"]
    members = {package["name"] for package in packages if package["source"] is None}
    crates = built(policy["graph"]["targets"])
    found: list[str] = []
    for package in packages:
        if (package["name"], package["version"]) in crates:
            found += ours(package, members) if package["source"] is None else third_party(package, policy)
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(crates)} crates checked against deny.toml, {len(found)} findings")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
