"""The configuration's JSON Schema, for editors and linters.

Invariants: made from the models, so it cannot drift from what `load` accepts; one entry stands for a list where the
models allow that. Cross-references (host names, duplicate tasks) are beyond a schema: `load` has the last word.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from zfs_push_backups.config.models import FileModel
from zfs_push_backups.config.quantities import format_duration

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ONE_OR_LIST: Final = {
    "FileModel": ("recipients", "identity"),
    "StorageClasses": ("backup_data",),
    "SnapshotRule": ("match",),
    "Task": ("hosts", "include", "exclude"),
}
_ALSO_SECONDS: Final = {"FileModel": ("shutdown_timeout",)}
_ALSO_AUTO: Final = {"HostSettings": ("part_size",)}
_ALSO_EMPTY: Final = {"HostSettings": ("endpoint", "region"), "ZrbS3": ("endpoint", "region")}
_ALSO_NULL: Final = {"FileModel": ("hosts", "tasks"), "Hooks": ("before", "after"), "Task": ("dataset",)}


class _Generator(GenerateJsonSchema):
    """Writes defaults as people would."""

    def encode_default(self, dft: Any) -> Any:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the configuration file."""
    schema = FileModel.model_json_schema(mode="validation", schema_generator=_Generator)
    sections = {"FileModel": schema, **schema["$defs"]}
    for table, extra in (
        (_ONE_OR_LIST, {"type": "string"}),
        (_ALSO_SECONDS, {"type": "integer"}),
        (_ALSO_AUTO, {"const": "auto"}),
        (_ALSO_EMPTY, {"const": ""}),
        (_ALSO_NULL, {"type": "null"}),
    ):
        for section, keys in table.items():
            for key in keys:
                _widen(sections[section]["properties"], key, extra)
    hook = sections["Hook"]
    schema["$defs"]["Hook"] = {"anyOf": [hook, hook["properties"]["command"]]}
    return {"$schema": _DIALECT, **schema, "title": "zfs-push-backups configuration"}


def _widen(properties: dict[str, Any], key: str, extra: dict[str, str]) -> None:
    """Allows `extra` besides what the key allows, keeping its title, default and description in place."""
    old = properties[key]
    kept = {name: old.pop(name) for name in ("default", "title", "description") if name in old}
    choices = old["anyOf"] if set(old) == {"anyOf"} else [old]
    properties[key] = {"anyOf": [*choices, dict(extra)], **kept}
