//! BEGIN: which snapshot a stream carries, on what it stands, and what it needs.
//!
//! Layout: `struct drr_begin` in OpenZFS `include/sys/zfs_ioctl.h`; the version word holds the header
//! type in its bits 0-1 and the features in bits 2-31.

use crate::fields::Fields;
use crate::{ByteOrder, Feature, Features, HEADER_BYTES, StreamError};

const MAGIC: u64 = 0x2_f5ba_cbac;
/// Type, payload length and magic: enough to say what it is not.
const MAGIC_END: usize = 16;
const SIMPLE: u8 = 1;
const COMPOUND: u8 = 2;

/// What BEGIN, the first record of every stream, says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// Guid of the snapshot sent; 0 in a compound stream.
    pub to_guid: u64,
    /// Guid of the snapshot or bookmark it stands on; 0 in a full stream.
    pub from_guid: u64,
    /// `pool/dataset@snapshot` as the sender named it; bytes that are not UTF-8 are replaced.
    pub to_name: String,
    /// When the snapshot was made, in seconds since 1970.
    pub creation_unix_seconds: u64,
    /// What the stream uses.
    pub features: Features,
    /// Several streams in one (`-R`, `-I`, `-p`).
    pub compound: bool,
    /// Sent by a big-endian machine.
    pub big_endian: bool,
    /// Objset type: 2 filesystem, 3 volume, 0 in a compound stream.
    pub objset_type: u32,
    /// `DRR_FLAG_*` bits: 1 clone, 2 case-insensitive, 4 with free records, 8 with spill blocks.
    pub flags: u32,
    /// Payload bytes (an nvlist: encryption keys, resume point, package contents) after the header.
    pub payload_len: u32,
}

impl Begin {
    /// Parses BEGIN from the first bytes of a stream; it needs 312 of them and looks at no more.
    ///
    /// A stream that [`Begin::refuse_unsupported`] refuses is parsed all the same.
    ///
    /// # Errors
    /// [`StreamError::Empty`], [`StreamError::NotASendStream`], [`StreamError::UnknownStreamType`],
    /// [`StreamError::Truncated`] if there are fewer than 312 bytes.
    pub fn parse(head: &[u8]) -> Result<Self, StreamError> {
        if head.is_empty() {
            return Err(StreamError::Empty);
        }
        let Some(header) = head.first_chunk::<HEADER_BYTES>() else {
            return Err(if could_begin(head) {
                StreamError::Truncated { at: head.len() as u64 }
            } else {
                StreamError::NotASendStream
            });
        };
        let order = byte_order(header).ok_or(StreamError::NotASendStream)?;
        Self::from_fields(header, &Fields::new(header, order), order)
    }

    /// Refuses what is no whole, self-contained stream of one snapshot.
    ///
    /// # Errors
    /// [`StreamError::Compound`], [`StreamError::Resuming`], [`StreamError::Redacted`],
    /// [`StreamError::Dedup`]; their text says what to send instead.
    pub fn refuse_unsupported(&self) -> Result<(), StreamError> {
        if self.compound {
            Err(StreamError::Compound)
        } else if self.features.has(Feature::Resuming) {
            Err(StreamError::Resuming)
        } else if self.features.has(Feature::Redacted) {
            Err(StreamError::Redacted)
        } else if self.features.has(Feature::Dedup) || self.features.has(Feature::DedupProps) {
            Err(StreamError::Dedup)
        } else {
            Ok(())
        }
    }

    /// Whether blocks of an encrypted dataset travel encrypted (`send -w`).
    #[must_use]
    pub fn raw(&self) -> bool {
        self.features.has(Feature::Raw)
    }

    /// The stream's byte order.
    #[must_use]
    pub fn byte_order(&self) -> ByteOrder {
        if self.big_endian { ByteOrder::Big } else { ByteOrder::Little }
    }

    fn from_fields(
        header: &[u8; HEADER_BYTES],
        fields: &Fields<'_>,
        order: ByteOrder,
    ) -> Result<Self, StreamError> {
        let version = fields.u64_at::<16>();
        let header_type = (version & 0b11) as u8;
        if header_type != SIMPLE && header_type != COMPOUND {
            return Err(StreamError::UnknownStreamType { header_type });
        }
        Ok(Self {
            to_guid: fields.u64_at::<40>(),
            from_guid: fields.u64_at::<48>(),
            to_name: name(&header[56..]),
            creation_unix_seconds: fields.u64_at::<24>(),
            features: Features::from_bits(((version >> 2) & 0x3fff_ffff) as u32),
            compound: header_type == COMPOUND,
            big_endian: order == ByteOrder::Big,
            objset_type: fields.u32_at::<32>(),
            flags: fields.u32_at::<36>(),
            payload_len: fields.u32_at::<4>(),
        })
    }
}

/// The byte order in which `header` is a BEGIN record, if in any.
fn byte_order(header: &[u8; HEADER_BYTES]) -> Option<ByteOrder> {
    [ByteOrder::Little, ByteOrder::Big].into_iter().find(|order| {
        let fields = Fields::new(header, *order);
        fields.u32_at::<0>() == 0 && fields.u64_at::<8>() == MAGIC
    })
}

/// Whether a header that is not whole yet may become a BEGIN record.
fn could_begin(head: &[u8]) -> bool {
    let magics = [MAGIC.to_le_bytes(), MAGIC.to_be_bytes()];
    let kind = &head[..head.len().min(4)];
    let magic = &head[head.len().min(8)..head.len().min(MAGIC_END)];
    kind.iter().all(|byte| *byte == 0) && magics.iter().any(|wanted| wanted.starts_with(magic))
}

fn name(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}
