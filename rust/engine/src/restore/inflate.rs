//! Takes zstd off a part while it streams through.

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use crate::error::EngineError;

const OUT_BYTES: usize = 128 << 10;

/// One zstd frame, fed piece by piece.
pub(super) struct Inflate {
    decoder: Decoder<'static>,
    out: Vec<u8>,
    ended: bool,
}

impl Inflate {
    pub(super) fn new() -> Result<Self, EngineError> {
        let decoder = Decoder::new().map_err(|error| broken(&error))?;
        Ok(Self { decoder, out: vec![0; OUT_BYTES], ended: false })
    }

    /// Feeds compressed bytes and hands on what comes out.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        put: &mut dyn FnMut(&[u8]) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let mut input = InBuffer::around(bytes);
        loop {
            let mut output = OutBuffer::around(&mut self.out[..]);
            let hint = self.decoder.run(&mut input, &mut output).map_err(|error| broken(&error))?;
            self.ended = hint == 0;
            let may_hold_more = output.pos() == OUT_BYTES && !self.ended;
            put(output.as_slice())?;
            // Asked again behind its end, the decoder would wait for another frame.
            if input.pos() == bytes.len() && !may_hold_more {
                return Ok(());
            }
        }
    }

    /// Fails unless the frame came to its end.
    pub(super) fn finish(&self) -> Result<(), EngineError> {
        if self.ended {
            return Ok(());
        }
        Err(EngineError::new("engine.compression", "a compressed part ends in the middle of its frame"))
    }
}

fn broken(error: &std::io::Error) -> EngineError {
    EngineError::new("engine.compression", format!("a part can't be decompressed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflated(plain: &[u8], feed_bytes: usize) -> Result<Vec<u8>, EngineError> {
        let sealed = zstd::stream::encode_all(plain, 3).unwrap();
        let (mut inflate, mut out) = (Inflate::new().unwrap(), Vec::new());
        for bytes in sealed.chunks(feed_bytes) {
            inflate.feed(bytes, &mut |plain| {
                out.extend_from_slice(plain);
                Ok(())
            })?;
        }
        inflate.finish().map(|()| out)
    }

    #[test]
    fn a_part_that_ends_with_a_full_buffer_is_whole() {
        for length in [1, OUT_BYTES - 1, OUT_BYTES, OUT_BYTES + 1, 3 * OUT_BYTES] {
            for feed_bytes in [1, 7, 64 << 10] {
                let plain = vec![7; length];
                assert!(inflated(&plain, feed_bytes).unwrap() == plain, "{length} bytes, fed {feed_bytes}");
            }
        }
    }

    #[test]
    fn a_part_that_is_cut_is_not() {
        let sealed = zstd::stream::encode_all(&vec![7; OUT_BYTES][..], 3).unwrap();
        let mut inflate = Inflate::new().unwrap();
        inflate.feed(&sealed[..sealed.len() - 1], &mut |_| Ok(())).unwrap();
        assert_eq!(inflate.finish().unwrap_err().code, "engine.compression");
        assert!(Inflate::new().unwrap().finish().is_err());
    }
}
