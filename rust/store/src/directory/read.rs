//! Reading a file in pieces.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;

use super::fault;
use super::folder::Root;
use super::work::Desk;
use crate::error::{Place, StoreError};
use crate::object::Download;

/// The longest piece of a download, in bytes.
const PIECE_BYTES: u64 = 1024 * 1024;

pub(super) fn open(
    root: &Root,
    key: &str,
    range: Option<Range<u64>>,
    place: Place,
    desk: Desk,
) -> Result<Download, StoreError> {
    let opened = root.open_file(key).map_err(|fault| fault::reading(&fault, &place, key))?;
    let total_length = opened.length;
    let range = range.unwrap_or(0..total_length);
    let end = range.end.min(total_length);
    if total_length > 0 && range.start >= end || range.start > end {
        let why = format!("bytes {}..{} are not within its {total_length} bytes", range.start, range.end);
        return Err(StoreError::Other { place, why });
    }
    let length = end - range.start;
    Ok(Download {
        length,
        total_length,
        chunks: pieces(Arc::new(opened.file), range.start..end, place, desk).boxed(),
    })
}

fn pieces(
    file: Arc<File>,
    range: Range<u64>,
    place: Place,
    desk: Desk,
) -> impl futures::Stream<Item = Result<Bytes, StoreError>> + Send {
    futures::stream::try_unfold((file, range, place, desk), |(file, range, place, desk)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let length = PIECE_BYTES.min(range.end - range.start);
        let (source, start, at) = (Arc::clone(&file), range.start, place.clone());
        let reading = desk.blocking(place.clone(), move |work| {
            let piece = work.begins("reading").and_then(|()| read_piece(&source, start, length));
            piece.map_err(|fault| short_or(&fault, at))
        });
        let piece = reading.await?;
        Ok(Some((piece, (file, start + length..range.end, place, desk))))
    })
}

fn read_piece(file: &File, start: u64, length: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut piece, start)?;
    Ok(piece.into())
}

fn short_or(fault: &io::Error, place: Place) -> StoreError {
    if fault.kind() == io::ErrorKind::UnexpectedEof {
        return StoreError::Io { place, why: "the file became shorter while it was read".into() };
    }
    fault::writing(fault, &place, "")
}
