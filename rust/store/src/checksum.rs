//! Checksums that a store computes as well: ours must equal its own before an object counts.
//!
//! CRC64NVME is the default because it is one of the two that S3 combines over a whole multipart object, so one value covers all bytes.
//! Values are base64 of the big-endian bytes, as S3 writes them
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>).

use aws_smithy_types::base64;
use crc_fast::CrcAlgorithm;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};

/// Which checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumAlgorithm {
    /// CRC-64/NVME.
    Crc64Nvme,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// SHA-256.
    Sha256,
    /// MD5, declared as Content-MD5 and compared with the `ETag`.
    Md5,
    /// The store was asked for none; the object was read back.
    None,
}

impl ChecksumAlgorithm {
    /// The name in S3 requests; MD5 and none are not announced.
    pub(crate) fn on_the_wire(self) -> Option<aws_sdk_s3::types::ChecksumAlgorithm> {
        use aws_sdk_s3::types::ChecksumAlgorithm as Wire;
        match self {
            Self::Crc64Nvme => Some(Wire::Crc64Nvme),
            Self::Crc32c => Some(Wire::Crc32C),
            Self::Sha256 => Some(Wire::Sha256),
            Self::Md5 | Self::None => None,
        }
    }
}

/// What a checksum covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChecksumKind {
    /// The bytes of the whole object; the store computed it.
    FullObject,
    /// The checksums of the pieces, with `-<pieces>` appended; the store computed it.
    Composite,
    /// The bytes of the whole object as CRC64NVME; we computed it over what was read back.
    Reread,
}

/// A checksum as the store (or the re-reading) named it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreChecksum {
    /// Which checksum.
    pub algorithm: ChecksumAlgorithm,
    /// What it covers.
    #[serde(rename = "type")]
    pub kind: ChecksumKind,
    /// Base64.
    pub value: String,
}

impl StoreChecksum {
    pub(crate) fn full(algorithm: ChecksumAlgorithm, value: String) -> Self {
        Self { algorithm, kind: ChecksumKind::FullObject, value }
    }

    pub(crate) fn reread(algorithm: ChecksumAlgorithm, crc: u64) -> Self {
        Self { algorithm, kind: ChecksumKind::Reread, value: encode_crc64(crc) }
    }
}

/// CRC-64/NVME of bytes that may arrive in portions.
#[derive(Debug)]
pub struct RunningCrc64(crc_fast::Digest);

impl Default for RunningCrc64 {
    fn default() -> Self {
        Self(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme))
    }
}

impl RunningCrc64 {
    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.finalize()
    }
}

pub(crate) fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// The CRC64NVME of pieces laid end to end, from each piece's own value and length.
pub(crate) fn combine_crc64(pieces: impl IntoIterator<Item = (u64, u64)>) -> u64 {
    pieces.into_iter().fold(crc64(&[]), |so_far, (crc, length)| {
        crc_fast::checksum_combine(CrcAlgorithm::Crc64Nvme, so_far, crc, length)
    })
}

pub(crate) fn encode_crc64(crc: u64) -> String {
    base64::encode(crc.to_be_bytes())
}

/// The raw bytes of the checksum that a single PUT of `bytes` declares; for `None` the CRC64NVME that the re-reading must meet.
pub(crate) fn raw(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Vec<u8> {
    match algorithm {
        ChecksumAlgorithm::Crc64Nvme | ChecksumAlgorithm::None => crc64(bytes).to_be_bytes().to_vec(),
        ChecksumAlgorithm::Crc32c => crc_fast::crc32_iscsi(bytes).to_be_bytes().to_vec(),
        ChecksumAlgorithm::Sha256 => {
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
        }
        ChecksumAlgorithm::Md5 => Md5::digest(bytes).to_vec(),
    }
}

/// [`raw`] and the CRC64NVME, which is computed once.
pub(crate) fn raw_and_crc64(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> (Vec<u8>, u64) {
    let crc = crc64(bytes);
    match algorithm {
        ChecksumAlgorithm::Crc64Nvme | ChecksumAlgorithm::None => (crc.to_be_bytes().to_vec(), crc),
        other => (raw(other, bytes), crc),
    }
}

/// The value S3 computes over the raw checksums of the pieces: `base64(H(h1 || h2 ...))-N`; for MD5 the `ETag` form, in hex.
pub(crate) fn composite(algorithm: ChecksumAlgorithm, pieces: &[Vec<u8>]) -> String {
    let hash = raw(algorithm, &pieces.concat());
    let text = if algorithm == ChecksumAlgorithm::Md5 { hex(&hash) } else { base64::encode(hash) };
    format!("{text}-{}", pieces.len())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_agree_with_published_check_values() {
        // "123456789": https://reveng.sourceforge.io/crc-catalogue/ for the CRCs, RFC 1321 and FIPS 180 style vectors for the hashes.
        assert_eq!(crc64(b"123456789"), 0xae8b_1486_0a79_9888);
        assert_eq!(raw(ChecksumAlgorithm::Crc32c, b"123456789"), 0xe306_9283_u32.to_be_bytes());
        assert_eq!(hex(&raw(ChecksumAlgorithm::Md5, b"abc")), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            hex(&raw(ChecksumAlgorithm::Sha256, b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn combining_pieces_equals_the_whole() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n * 31 % 251) as u8).collect();
        let pieces = bytes.chunks(33_000).map(|piece| (crc64(piece), piece.len() as u64));
        assert_eq!(combine_crc64(pieces), crc64(&bytes));
        assert_eq!(combine_crc64([]), crc64(b""));
        let mut running = RunningCrc64::default();
        bytes.chunks(777).for_each(|piece| running.update(piece));
        assert_eq!(running.value(), crc64(&bytes));
    }

    #[test]
    fn a_checksum_is_written_as_the_manifest_has_it() {
        let text =
            serde_json::to_string(&StoreChecksum::full(ChecksumAlgorithm::Crc64Nvme, "eA==".into())).unwrap();
        assert_eq!(text, r#"{"algorithm":"crc64nvme","type":"full_object","value":"eA=="}"#);
        let text = serde_json::to_string(&StoreChecksum::reread(ChecksumAlgorithm::None, 0)).unwrap();
        assert_eq!(text, r#"{"algorithm":"none","type":"reread","value":"AAAAAAAAAAA="}"#);
    }
}
