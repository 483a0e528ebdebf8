"""Reads the configuration: file -> text -> document -> FileModel -> Config; or one error with all problems.

Invariants: whatever the bytes are, the outcome is a Config or a ConfigurationError; problems stand in the order of the
file, each as `file:line: key: what was found; what is allowed`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from zfs_push_backups.config.document import Document, KeyPath, Problem, read_document, shown_path
from zfs_push_backups.config.fields import KNOWN_CLASSES
from zfs_push_backups.config.models import Common, Config, FileModel, Host, StorageClasses
from zfs_push_backups.config.problems import problems_of
from zfs_push_backups.config.secrets import take_secrets
from zfs_push_backups.config.zrb import ZRB_HOST, all_recipients, translated_host
from zfs_push_backups.errors import ConfigurationError
from zfs_push_backups.names import lock_component, nearest

DEFAULT_PATH: Final = Path("/etc/zfs-push-backups/config.yaml")
_ONLY_S3: Final = frozenset(
    {"endpoint", "region", "checksum", "payload_signing", "path_style", "credentials_file", "profile"}
)
_LARGEST_FILE_BYTES: Final = 4 * 1024**2


def load(path: Path | str = DEFAULT_PATH) -> Config:
    """The configuration in the file. Raises ConfigurationError."""
    return parse(_text(Path(path)), name=str(path), path=Path(path))


def parse(text: str, *, name: str = "configuration", path: Path | None = None) -> Config:
    """The configuration in `text`; `name` is the file as errors show it. Raises ConfigurationError."""
    document = read_document(text, name)
    take_secrets(document)
    problems = list(document.problems)
    file = None
    try:
        file = FileModel.model_validate(document.data)
    except ValidationError as error:
        problems += problems_of(error, document)
    if file is not None:
        problems += _contradictions(file, document)
    if problems or file is None:
        raise _configuration_error(name, problems)
    return _config(file, document, name, path)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path}: there is no such file", hint="write one (examples/config.yaml shows every key) or use --config"
        ) from None
    except IsADirectoryError:
        raise ConfigurationError(f"{path}: found a directory; allowed: a file", hint="name the file itself") from None
    except PermissionError:
        raise ConfigurationError(f"{path}: not readable by this user", hint="run as root or correct its mode") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"{str(path)!r}: cannot be read: {reason}") from error
    if len(content) > _LARGEST_FILE_BYTES:
        raise ConfigurationError(f"{path}: larger than 4 MiB, which no configuration is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{line}: not UTF-8 text", hint="save the file as UTF-8") from None


def _configuration_error(name: str, problems: Iterable[Problem]) -> ConfigurationError:
    lines: dict[str, None] = {}
    for problem in sorted(problems, key=lambda problem: problem.line):
        key = f" {shown_path(problem.path)}:" if problem.path else ""
        lines[f"{name}:{problem.line}:{key} {problem.text}"] = None
    return ConfigurationError("\n".join(lines), problems=tuple(lines))


def _contradictions(file: FileModel, document: Document) -> list[Problem]:
    """What pydantic cannot see: keys that contradict each other in different sections."""
    found: list[Problem] = []

    def note(path: KeyPath, text: str) -> None:
        found.append(Problem(document.line_of(path), path, text))

    if file.s3 is not None and ZRB_HOST in file.hosts:
        note(("hosts", ZRB_HOST), "the section s3 is the host 'default' already; allowed: one of the two")
    names = set(file.hosts) | ({ZRB_HOST} if file.s3 else set())
    locks: dict[str, str] = {}
    for name in file.hosts:
        other = locks.setdefault(lock_component(name), name)
        if other != name:
            note(("hosts", name), f"would share its lock with the host {other!r}; rename one of them")
    lines: dict[str, int] = {}
    for index, task in enumerate(file.tasks):
        path: KeyPath = ("tasks", index, "name")
        if task.name in lines:
            note(
                path, f"found {task.name!r} again, it stands in line {lines[task.name]}; allowed: a name for each task"
            )
        lines.setdefault(task.name, document.line_of(path))
        for host in task.hosts or ():
            if host not in names:
                near = nearest(host, names)
                allowed = f"did you mean {near!r}?" if near else f"allowed: {', '.join(sorted(names)) or 'none yet'}"
                note(("tasks", index, "hosts"), f"found the unknown host {host!r}; {allowed}")
    return found


def _config(file: FileModel, document: Document, name: str, path: Path | None) -> Config:
    zrb = translated_host(file)
    hosts = tuple(Host.model_construct(name=key, **dict(settings)) for key, settings in file.hosts.items())
    return Config.model_construct(
        **{name: getattr(file, name) for name in Common.model_fields.keys() & file.model_fields_set},
        path=path,
        recipients=all_recipients(file),
        hosts=(*((zrb,) if zrb else ()), *hosts),
        tasks=file.tasks,
        warnings=(*_class_warnings(file, document, name), *_idle_warnings(file, document, name)),
    )


def _class_warnings(file: FileModel, document: Document, name: str) -> Iterable[str]:
    """Storage classes that look misspelt. Stores have classes of their own, so this is no error."""
    sections: list[tuple[KeyPath, StorageClasses]] = [
        (("hosts", key, "storage_class"), host.storage_class) for key, host in file.hosts.items()
    ]
    if file.s3:
        sections.append((("s3", "storage_class"), file.s3.storage_class))
    for path, classes in sections:
        for value in dict.fromkeys((classes.manifest, *classes.backup_data)):
            if value and value not in KNOWN_CLASSES and (near := nearest(value, KNOWN_CLASSES)):
                line = document.line_of(path)
                yield f"{name}:{line}: {shown_path(path)}: the class {value!r} is unknown; did you mean {near!r}?"


def _idle_warnings(file: FileModel, document: Document, name: str) -> Iterable[str]:
    """Keys that only S3 knows, at a host that is a folder."""
    for key, host in file.hosts.items():
        for setting in sorted(_ONLY_S3 & host.model_fields_set) if host.url.startswith("file://") else ():
            path: KeyPath = ("hosts", key, setting)
            yield f"{name}:{document.line_of(path)}: {shown_path(path)}: has no effect, as the host is a folder"
