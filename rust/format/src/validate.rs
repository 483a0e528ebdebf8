//! Whether a manifest agrees with itself.
//!
//! A writer checks before it commits, a reader before it trusts: the parts must make one gap-free stream, all keys must be
//! the backup's own (a forged manifest must not lead a reader, or a sweeper, elsewhere), and id, level and parent must fit.

use crate::manifest::DOCUMENT;
use crate::{BackupKeys, Compression, Damage, FORMAT, FormatError, Manifest, Part, PartName};

impl Manifest {
    /// Checks all that a manifest says against itself.
    ///
    /// # Errors
    /// [`FormatError::Damaged`] with the first contradiction.
    pub fn validate(&self) -> Result<(), FormatError> {
        self.find_damage().map_err(|damage| FormatError::Damaged { document: DOCUMENT, damage })
    }

    fn find_damage(&self) -> Result<(), Damage> {
        self.check_fields()?;
        self.check_id()?;
        self.check_parent()?;
        let keys =
            self.keys().map_err(|cause| bad_field("source or dataset", &self.dataset, &cause.to_string()))?;
        self.check_meta(&keys)?;
        self.check_parts(&keys)
    }

    fn check_fields(&self) -> Result<(), Damage> {
        if self.format != FORMAT {
            return Err(bad_field("format", &self.format.to_string(), "this version writes and reads 1"));
        }
        if self.recipients.is_empty() {
            return Err(Damage::NoRecipients);
        }
        let blank = |text: &String| text.trim().is_empty() || text.contains(char::is_control);
        if let Some(recipient) = self.recipients.iter().find(|recipient| blank(recipient)) {
            return Err(bad_field("recipients", recipient, "a recipient is one line of text"));
        }
        let parent_snapshot = self.parent.as_ref().map(|parent| &parent.snapshot);
        for snapshot in std::iter::once(&self.snapshot).chain(parent_snapshot) {
            if snapshot.is_empty() || snapshot.contains(['@', '/', '#']) {
                return Err(bad_field("snapshot", snapshot, "it must be the short name, behind the @"));
            }
        }
        Ok(())
    }

    fn check_id(&self) -> Result<(), Damage> {
        let against = "its id";
        if self.level != self.id.level {
            let (found, expected) = (self.level.to_string(), self.id.level.to_string());
            return Err(Damage::Mismatch { field: "level", found, against, expected });
        }
        if self.snapshot_guid != self.id.snapshot_guid {
            let (found, expected) = (self.snapshot_guid.to_string(), self.id.snapshot_guid.to_string());
            return Err(Damage::Mismatch { field: "snapshot_guid", found, against, expected });
        }
        Ok(())
    }

    fn check_parent(&self) -> Result<(), Damage> {
        let Some(parent) = &self.parent else {
            return if self.level == 0 { Ok(()) } else { Err(Damage::NoParent { level: self.level }) };
        };
        if self.level == 0 {
            return Err(Damage::FullWithParent);
        }
        if parent.id.level >= self.level {
            return Err(Damage::ParentLevel { level: self.level, parent: parent.id.level });
        }
        if parent.snapshot_guid != parent.id.snapshot_guid {
            let (found, expected) = (parent.snapshot_guid.to_string(), parent.id.snapshot_guid.to_string());
            let field = "parent's snapshot_guid";
            return Err(Damage::Mismatch { field, found, against: "the parent's id", expected });
        }
        Ok(())
    }

    fn check_meta(&self, keys: &BackupKeys) -> Result<(), Damage> {
        let expected = keys.meta_key();
        if self.meta.key != expected {
            return Err(Damage::ForeignKey { what: "meta".to_owned(), key: self.meta.key.clone(), expected });
        }
        not_zero(self.meta.sealed_length, || "meta".to_owned())
    }

    fn check_parts(&self, keys: &BackupKeys) -> Result<(), Damage> {
        let prefix = keys.data_prefix();
        let mut border = 0_u64;
        let mut before = None;
        for part in &self.parts {
            if let Some(after) = before.filter(|after| *after >= part.number) {
                return Err(Damage::WrongOrder { number: part.number, after });
            }
            before = Some(part.number);
            self.check_part_key(part, &prefix)?;
            border = end_of(part, border)?;
        }
        if before.is_none() {
            return Err(Damage::NoParts);
        }
        if border != self.stream_length {
            return Err(Damage::StreamLength { found: border, stated: self.stream_length });
        }
        Ok(())
    }

    fn check_part_key(&self, part: &Part, prefix: &str) -> Result<(), Damage> {
        let name = part.key.strip_prefix(prefix).and_then(PartName::parse);
        let Some(name) = name.filter(|name| name.number == part.number) else {
            return Err(Damage::ForeignKey {
                what: format!("part {}", part.number),
                key: part.key.clone(),
                expected: format!("{prefix}part-{:06}-<attempt nonce>[.zst].age", part.number),
            });
        };
        if name.zstd && self.compression == Compression::None {
            return Err(Damage::UnstatedCompression { number: part.number });
        }
        Ok(())
    }
}

/// Where a part ends that must start at `border`.
fn end_of(part: &Part, border: u64) -> Result<u64, Damage> {
    let (number, expected, found) = (part.number, border, part.stream_offset);
    if found > expected {
        return Err(Damage::Gap { number, expected, found });
    }
    if found < expected {
        return Err(Damage::Overlap { number, expected, found });
    }
    not_zero(part.stream_length, || format!("the stream's share in part {number}"))?;
    not_zero(part.sealed_length, || format!("part {number}"))?;
    border.checked_add(part.stream_length).ok_or(Damage::Overflow { number })
}

fn not_zero(length: u64, what: impl Fn() -> String) -> Result<(), Damage> {
    if length == 0 { Err(Damage::ZeroLength { what: what() }) } else { Ok(()) }
}

fn bad_field(field: &'static str, value: &str, why: &str) -> Damage {
    Damage::BadField { field, value: value.to_owned(), why: why.to_owned() }
}
