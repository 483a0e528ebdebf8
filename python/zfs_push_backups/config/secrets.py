"""Keeps secrets out of the configuration: they come from files or the environment only.

Invariants: a key that means a secret is refused wherever it stands, and its value is neither shown nor looked at.
Rationale: configuration files are copied, committed and mailed; a file that holds a credential leaks it with the rest.
"""

from __future__ import annotations

import re
from typing import Final

from zfs_push_backups.config.document import Document, KeyPath, Problem, Value

_SECRET_KEY: Final = re.compile(
    r"(?:aws_|s3_)?(?:access_key(?:_id)?|secret(?:_access)?(?:_key)?|session_token|security_token)"
    r"|password|passphrase|token|credentials|(?:age_)?(?:secret|private|identity)_key"
)
_STORE_ADVICE: Final = (
    "secrets never stand in this file; put them in the environment variables AWS_ACCESS_KEY_ID and"
    " AWS_SECRET_ACCESS_KEY or in a credentials file, and name that: `credentials_file: /root/.aws/credentials`"
)
_AGE_ADVICE: Final = "secrets never stand in this file; name the identity's file instead: `identity: [/root/age.key]`"


def take_secrets(document: Document) -> None:
    """Removes every secret from the document and notes a problem for each."""
    document.data = _clean_mapping(document, document.data, ())


def _clean(document: Document, value: Value, path: KeyPath) -> Value:
    if isinstance(value, dict):
        return _clean_mapping(document, value, path)
    if isinstance(value, tuple):
        return tuple(_clean(document, item, (*path, index)) for index, item in enumerate(value))
    return value


def _clean_mapping(document: Document, mapping: dict[str, Value], path: KeyPath) -> dict[str, Value]:
    kept: dict[str, Value] = {}
    for key, value in mapping.items():
        here = (*path, key)
        plain = re.sub(r"[ -]", "_", key.lower())
        if path != ("hosts",) and _SECRET_KEY.fullmatch(plain):
            advice = _AGE_ADVICE if plain.endswith(("private_key", "identity_key")) or "age" in plain else _STORE_ADVICE
            document.problems.append(Problem(document.line_of(here), here, advice))
        else:
            kept[key] = _clean(document, value, here)
    return kept
