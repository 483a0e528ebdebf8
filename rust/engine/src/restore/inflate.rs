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
            let filled = output.pos() == OUT_BYTES;
            put(output.as_slice())?;
            if input.pos() == bytes.len() && !filled {
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
