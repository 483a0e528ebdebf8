"""ZRB's configuration (ziteh/zfs-remote-backup) as ours, so that its users change nothing to start.

Invariants: the `s3` section is the host `default`; `enabled: false` there means the directory `base_dir/store`, where
ZRB kept its backups local as well. `age_public_key` is one recipient more. Keys that our file also has (base_dir,
tasks, storage_class) mean the same in both. ZRB's retry count is accepted and has no effect.
"""

from __future__ import annotations

from zfs_push_backups.config.models import FileModel, Host

ZRB_HOST = "default"


def translated_host(file: FileModel) -> Host | None:
    """The host that the `s3` section stands for, or None without one."""
    if file.s3 is None:
        return None
    if not file.s3.enabled:
        return Host(name=ZRB_HOST, url=f"file://{file.base_dir}/store")
    return Host(
        name=ZRB_HOST,
        url=file.s3.url,
        region=file.s3.region,
        endpoint=file.s3.endpoint,
        storage_class=file.s3.storage_class,
    )


def all_recipients(file: FileModel) -> tuple[str, ...]:
    """ZRB's one recipient and ours, each once, in the order of the file's usual layout."""
    own = (file.age_public_key,) if file.age_public_key else ()
    return tuple(dict.fromkeys((*own, *(file.recipients or ()))))
