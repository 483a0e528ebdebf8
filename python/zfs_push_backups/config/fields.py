"""The single values of the configuration: each type knows what it allows and says so.

Invariants: a value that passes is usable as it stands (URL without trailing slash, sizes in bytes, spans as timedelta).
Messages start with `found ...; allowed: ...` and never show a value that may be a secret.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from zfs_push_backups.config.quantities import (
    DURATION_ALLOWED,
    SIZE_ALLOWED,
    format_duration,
    parse_duration,
    parse_size,
)
from zfs_push_backups.names import check_component, check_dataset_name, check_pool_name

COLD_CLASSES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
KNOWN_CLASSES: Final = (
    *("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "REDUCED_REDUNDANCY"),
    *("GLACIER_IR", "GLACIER", "DEEP_ARCHIVE", "EXPRESS_ONEZONE"),
)
_LONGEST_LABEL_BYTES: Final = 200
_LONGEST_PATTERN: Final = 255
URL_ALLOWED: Final = "s3://bucket/prefix or file:///absolute/folder"
_SHOWN_CHARACTERS: Final = 60
_SECRET: Final = re.compile(
    r"AGE-SECRET-KEY|AGE-PLUGIN-[A-Z0-9]+-1|PRIVATE KEY|A(?:KIA|SIA)[A-Z0-9]{16}|//[^/@]*:[^/@]*@"
)
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}")
_CLASS: Final = re.compile(r"[A-Z][A-Z0-9_-]{0,63}")
_SOURCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_AGE_RECIPIENT: Final = re.compile(r"age1[a-z0-9_+-]{8,}")
_SSH_RECIPIENT: Final = re.compile(r"ssh-(?:ed25519|rsa) [A-Za-z0-9+/]+=*(?: .*)?")
_MACHINE: Final = re.compile(
    r"[^@/\s]+@[^@/\s]+|[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*\]?"
    r"|(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}\.?"
)
_TIME_CODES: Final = re.compile(r"%[YmdHMSj]")


def show(value: object) -> str:
    """A value as errors show it: its kind, shortened, and hidden where it may be a secret."""
    if isinstance(value, str):
        if unless_secret(value) != value:
            return unless_secret(value)
        return repr(value) if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]!r}..."
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {str(value)[:_SHOWN_CHARACTERS]}"
    return "nothing" if value is None else "a mapping" if isinstance(value, dict) else "a list"


def unless_secret(text: str) -> str:
    """The text, unless somebody may have written a secret in its place."""
    return "what looks like a secret" if _SECRET.search(text) else text


def looks_like_machine(name: str) -> bool:
    """True for `user@server`, an IP address, or a dotted host name: something people would log in to."""
    return _MACHINE.fullmatch(name) is not None


def _refuse(value: object, allowed: str) -> ValueError:
    return ValueError(f"found {show(value)}; allowed: {allowed}")


def check_url(value: str) -> str:
    """The URL without trailing slashes. Raises ValueError."""
    parts = urlsplit(value)
    if _SECRET.search(value) or "@" in parts.netloc:
        raise ValueError(f"found credentials inside the URL; allowed: {URL_ALLOWED}, credentials stand in a file")
    path = parts.path.rstrip("/")
    plain = not (parts.query or parts.fragment) and all(step not in {"", ".", ".."} for step in path.split("/")[1:])
    s3 = parts.scheme == "s3" and _BUCKET.fullmatch(parts.netloc)
    folder = parts.scheme == "file" and not parts.netloc and path.startswith("/")
    if not plain or not (s3 or folder) or not value.isprintable():
        raise _refuse(value, URL_ALLOWED)
    return f"{parts.scheme}://{parts.netloc}{path}"


def _endpoint(value: str) -> str:
    parts = urlsplit(value)
    if parts.username or parts.password:
        raise ValueError("found credentials inside the endpoint; allowed: https://host or https://host:port")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise _refuse(value, "https://host or https://host:port")
    _ = parts.port
    return value.rstrip("/")


def _manifest_class(value: str) -> str:
    if value in COLD_CLASSES:
        allowed = "a class that is read at once, such as STANDARD, STANDARD_IA or GLACIER_IR"
        raise ValueError(f"found {value!r}, a cold class: a run must read manifests at once; allowed: {allowed}")
    return value


def _storage_class(value: str) -> str:
    if not _CLASS.fullmatch(value):
        raise _refuse(value, f"a storage class in capitals such as {', '.join(KNOWN_CLASSES)}")
    return value


def _recipient(value: str) -> str:
    text = value.strip()
    if "AGE-SECRET-KEY" in text or "PRIVATE KEY" in text:
        raise ValueError("found a secret key; allowed: the public one, which begins with age1, ssh-ed25519 or ssh-rsa")
    if not _AGE_RECIPIENT.fullmatch(text) and not _SSH_RECIPIENT.fullmatch(text):
        raise _refuse(value, "a recipient such as age1..., ssh-ed25519 ... or ssh-rsa ...")
    return text


def check_source(value: str) -> str:
    """The name of a source, as it may be used for new backups. Raises ValueError."""
    if not _SOURCE.fullmatch(value):
        raise _refuse(value, "up to 100 letters, digits, '.', '_' and '-', a letter or digit first")
    return value


def _label(value: str) -> str:
    if (
        not value
        or value != value.strip()
        or not value.isprintable()
        or "://" in value
        or len(value.encode()) > _LONGEST_LABEL_BYTES
    ):
        raise _refuse(value, "1 to 200 bytes of printable text without '://' and without blanks around it")
    return value


def _absolute(value: object) -> Path:
    if isinstance(value, Path) and value.is_absolute():
        return value
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value or _SECRET.search(value):
        raise _refuse(value, "an absolute path such as /root/.aws/credentials")
    return Path(value)


def _dataset(value: str) -> str:
    if value:
        check_dataset_name(f"p/{value}")
    return value


def _template(value: str) -> str:
    check_component(_TIME_CODES.sub("0", value), "snapshot")
    if not all(code in value for code in ("%Y", "%d", "%H", "%M")) and "%j" not in value:
        raise _refuse(value, "a name with the time in it, such as zfs-push-backups_%Y-%m-%d_%H:%M:%S")
    return value


def _pattern(value: str) -> str:
    if not value or not value.isprintable() or len(value) > _LONGEST_PATTERN:
        raise _refuse(value, "a pattern such as autosnap_* (with *, ? and [abc])")
    return value


def _size(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _refuse(value, SIZE_ALLOWED)
    return parse_size(value)


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise _refuse(value, f"{DURATION_ALLOWED} (say the unit)")
    return parse_duration(value)


def _seconds(value: object) -> timedelta:
    if isinstance(value, int) and not isinstance(value, bool):
        return parse_duration(f"{value}s") if value >= 0 else _duration(value)
    return _duration(value)


def one_or_list(value: object) -> object:
    """Lets `match: x` stand for `match: [x]`."""
    return (value,) if isinstance(value, str) else value


def empty_is_none(value: object) -> object:
    """Lets `endpoint: ""` stand for an absent endpoint, as ZRB has it."""
    return None if value == "" else value


def nothing_is_empty_list(value: object) -> object:
    """Lets `tasks:` with every entry commented out stand for an empty list."""
    return () if value is None else value


def nothing_is_empty_mapping(value: object) -> object:
    """Lets `hosts:` with every entry commented out stand for an empty mapping."""
    return {} if value is None else value


_SIZE_SCHEMA: Final = WithJsonSchema(
    {
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?([KkMmGgTtPp]([Ii]?[Bb])?|[Bb])?$"},
        ],
        "description": SIZE_ALLOWED,
    }
)
_DURATION_SCHEMA: Final = WithJsonSchema(
    {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?[wdhms] ?)+$", "description": DURATION_ALLOWED}
)
_PATH_SCHEMA: Final = WithJsonSchema({"type": "string", "pattern": "^/"})


def _at_least(smallest: int, shown: str) -> AfterValidator:
    def check(value: int) -> int:
        if value < smallest:
            raise ValueError(f"found {value} bytes; allowed: at least {shown}")
        return value

    return AfterValidator(check)


def _at_most(largest: int, shown: str) -> AfterValidator:
    def check(value: int) -> int:
        if value > largest:
            raise ValueError(f"found {value} bytes; allowed: at most {shown}")
        return value

    return AfterValidator(check)


def _positive(value: timedelta) -> timedelta:
    if value < timedelta(seconds=1):
        raise ValueError("found less than a second; allowed: at least 1s")
    return value


def _no_longer(longest: timedelta) -> AfterValidator:
    def check(value: timedelta) -> timedelta:
        if value > longest:
            raise ValueError(f"found {format_duration(value)}; allowed: at most {format_duration(longest)}")
        return value

    return AfterValidator(check)


StoreUrl = Annotated[str, AfterValidator(check_url), Field(examples=["s3://bucket/prefix", "file:///mnt/zfs"])]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
StorageClass = Annotated[str, AfterValidator(_storage_class)]
ManifestClass = Annotated[str, AfterValidator(_storage_class), AfterValidator(_manifest_class)]
Recipient = Annotated[str, AfterValidator(_recipient)]
SourceName = Annotated[str, AfterValidator(check_source)]
Label = Annotated[str, AfterValidator(_label)]
AbsolutePath = Annotated[Path, PlainValidator(_absolute), _PATH_SCHEMA]
PoolName = Annotated[str, AfterValidator(check_pool_name)]
RelativeDataset = Annotated[
    str, BeforeValidator(lambda value: "" if value is None else value), AfterValidator(_dataset)
]
SnapshotTemplate = Annotated[str, AfterValidator(_template)]
Pattern = Annotated[str, AfterValidator(_pattern)]
PartSize = Annotated[
    int, PlainValidator(_size), _at_least(1024**2, "1MiB"), _at_most(4 * 1024**3, "4GiB"), _SIZE_SCHEMA
]
MemoryBudget = Annotated[int, PlainValidator(_size), _at_least(32 * 1024**2, "32MiB"), _SIZE_SCHEMA]
Rate = Annotated[int, PlainValidator(_size), _at_least(1024, "1KiB"), _SIZE_SCHEMA]
_DURATION_SERIALIZER: Final = PlainSerializer(format_duration, return_type=str, when_used="json")
Duration = Annotated[
    timedelta, PlainValidator(_duration), AfterValidator(_positive), _DURATION_SERIALIZER, _DURATION_SCHEMA
]
# A request to S3 is signed for 15 minutes; it is signed anew until the patience with it ends.
StallTimeout = Annotated[Duration, _no_longer(timedelta(minutes=14))]
RetryTimeout = Annotated[Duration, _no_longer(timedelta(minutes=25))]
Seconds = Annotated[
    timedelta, PlainValidator(_seconds), AfterValidator(_positive), _DURATION_SERIALIZER, _DURATION_SCHEMA
]
