//! BLAKE3 of sealed bytes, as the manifest records it.

/// A running BLAKE3 digest.
#[derive(Clone, Debug, Default)]
pub struct Digest(blake3::Hasher);

impl Digest {
    /// Below this many bytes, work on one thread is as quick: the hand-over costs more than it saves.
    const PARALLEL_BYTES: usize = 256 * 1024;

    /// The digest of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes`, on this thread.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds `bytes`; large buffers are hashed on every core of the current rayon pool.
    pub fn update_parallel(&mut self, bytes: &[u8]) {
        if bytes.len() < Self::PARALLEL_BYTES {
            self.0.update(bytes);
        } else {
            self.0.update_rayon(bytes);
        }
    }

    /// How many bytes were added.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.count()
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The digest of all bytes so far.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }

    /// The digest of all bytes so far, as 64 lower-case hex digits.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.finalize().to_hex().to_string()
    }

    /// The digest of one buffer, as 64 lower-case hex digits.
    #[must_use]
    pub fn hex_of(bytes: &[u8]) -> String {
        let mut digest = Self::new();
        digest.update_parallel(bytes);
        digest.hex()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        assert_eq!(Digest::new().hex(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
        assert_eq!(
            Digest::hex_of(b"abc"),
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        );
    }

    #[test]
    fn pieces_on_one_or_all_cores_agree() {
        let bytes: Vec<u8> =
            (0..1_500_001_u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        let mut serial = Digest::new();
        let mut parallel = Digest::new();
        for piece in bytes.chunks(700_001) {
            serial.update(piece);
            parallel.update_parallel(piece);
        }
        assert_eq!(serial.hex(), parallel.hex());
        assert_eq!(serial.hex(), Digest::hex_of(&bytes));
        assert_eq!(serial.len(), 1_500_001);
        assert!(Digest::new().is_empty() && !serial.is_empty());
        serial.update(b"x");
        assert_ne!(serial.hex(), parallel.hex());
    }
}
