"""Which failure of the package a code of the engine is: what the operator does next decides.

Invariant: every code of the engine stands here (a test compares); one that doesn't is a defect and says so.
"""

from __future__ import annotations

from zfs_push_backups import errors

_CLASSES: dict[type[errors.ZfsPushBackupsError], str] = {
    errors.AccessDenied: "store.credentials store.forbidden store.read_only",
    errors.Cancelled: "engine.cancelled",
    errors.ConfigurationError: """
        engine.bad_request
        seal.cipher_refused
        store.invalid_config store.invalid_key store.no_such_bucket store.unsupported store.wrong_region
    """,
    errors.FormatTooNew: "format.requires format.too_new",
    errors.IdentityError: """
        seal.bad_recipient seal.identity_encrypted seal.identity_file seal.no_identities seal.no_recipients seal.plugin
        seal.recipient_set seal.wrong_identity
    """,
    errors.InternalError: """
        engine.forked engine.internal engine.io
        format.random
        seal.layout seal.library seal.need_more
        store.already_exists
    """,
    errors.ResumeImpossible: "engine.foreign_parts engine.prefix_differs engine.splice_refused",
    errors.SourceFailed: """
        engine.source_failed engine.source_read engine.source_stalled engine.wrong_stream
        stream.abandoned stream.bad_length stream.bytes_after_end stream.checksum_mismatch stream.malformed_end
        stream.second_begin stream.truncated stream.unknown_record stream.wrong_snapshot
    """,
    errors.StoreDamaged: """
        engine.compression engine.listing engine.part_damaged engine.part_length engine.part_missing
        engine.repository_changed
        format.ambiguous_backup format.ambiguous_parent format.bad_key format.bad_text format.broken_link format.cycle
        format.damaged format.missing_parent format.tombstone format.unreadable
        seal.corrupt seal.corrupt_header seal.not_age seal.truncated
        store.not_found
    """,
    errors.StoreUnavailable: """
        store.archived store.checksum store.clock_skew store.full store.io store.other store.stalled store.throttled
        store.tls store.unreachable
    """,
    errors.StreamRefused: """
        stream.compound stream.dedup stream.empty stream.not_a_send_stream stream.redacted stream.resuming
        stream.unknown_stream_type
    """,
    errors.StreamUnfit: """
        package.outside_stream
        partial.io partial.no_border partial.no_sums partial.other_place partial.whole
        splice.bad_list splice.differs splice.kept_changed splice.no_resume_place splice.no_sums splice.not_announced
        splice.not_resumed splice.other_keys splice.other_place splice.other_stream splice.unexpected_record
        token.bad_compression token.bad_list token.bad_name token.checksum_mismatch token.missing_key
        token.not_a_token token.too_long token.unexpected_key token.unknown_version
    """,
    errors.UsageError: "format.bad_name format.key_too_long format.unknown_backup",
    errors.ZfsError: "engine.sink_write",
}

CLASS_OF_CODE = {code: kind for kind, codes in _CLASSES.items() for code in codes.split()}


def translate_of_file(code: str, message: str) -> errors.ZfsPushBackupsError:
    """Return the failure that `code` is where streams in files are worked on: there every kind of stream is welcome."""
    if code.startswith("stream."):
        return errors.StreamUnfit(message, code=code)
    return translate(code, message, reads_backups=False)


def translate(code: str, message: str, *, reads_backups: bool) -> errors.ZfsPushBackupsError:
    """Return the failure that `code` is. In a job that reads backups, a broken stream or checksum is damage."""
    kind = CLASS_OF_CODE.get(code, errors.InternalError)
    if reads_backups and (code.startswith("stream.") or code == "store.checksum"):
        kind = errors.StoreDamaged
    return kind(message, code=code)
