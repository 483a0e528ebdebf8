//! Reading an object. The SDK retries until the answer begins; what breaks off later is asked for again from the byte it broke off at.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures::StreamExt;

use super::{Shared, error};
use crate::error::{Place, StoreError};
use crate::object::Download;

/// The longest piece of a download, in bytes.
const PIECE_BYTES: usize = 1024 * 1024;
/// Interruptions in a row, without progress between them, after which a download fails.
const MAX_INTERRUPTIONS: u32 = 5;
/// What must come between two interruptions to count as progress: a server that sends a byte and hangs up makes none.
const PROGRESS_BYTES: u64 = 64 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn get(
    shared: Arc<Shared>,
    key: &str,
    range: Option<Range<u64>>,
) -> Result<Download, StoreError> {
    let address = shared.address("read", key)?;
    if let Some(range) = &range
        && range.is_empty()
    {
        let why = format!("the range {}..{} is empty", range.start, range.end);
        return Err(StoreError::Other { place: address.place, why });
    }
    open(shared, &address.full, &address.place, range).await
}

pub(super) async fn open(
    shared: Arc<Shared>,
    full_key: &str,
    place: &Place,
    range: Option<Range<u64>>,
) -> Result<Download, StoreError> {
    let header = range.as_ref().map(|range| format!("bytes={}-{}", range.start, range.end - 1));
    let output = request(&shared, full_key, place, header, None).await?;
    let length = output.content_length().and_then(|length| u64::try_from(length).ok());
    let unclear = || StoreError::Other { place: place.clone(), why: "the store named no length".into() };
    let length = length.ok_or_else(unclear)?;
    let start = range.as_ref().map_or(0, |range| range.start);
    let total_length = match &range {
        Some(_) => total_of(output.content_range(), start).ok_or_else(|| StoreError::Unsupported {
            place: place.clone(),
            why: "the store does not answer requests for a range of bytes".into(),
        })?,
        None => length,
    };
    let asked = range.as_ref().map_or(length, |range| range.end - range.start);
    if length > asked {
        let why = format!("{asked} bytes were asked for and {length} are offered");
        return Err(StoreError::Other { place: place.clone(), why });
    }
    let body = Body {
        shared,
        full_key: full_key.to_owned(),
        place: place.clone(),
        e_tag: output.e_tag().map(str::to_owned),
        position: start,
        end: start + length,
        stream: output.body,
        ready: Bytes::new(),
        interruptions: 0,
        since_interruption: 0,
    };
    Ok(Download { length, total_length, chunks: pieces(body).boxed() })
}

/// The total from `bytes 5-9/100`, if the range begins where it should.
fn total_of(content_range: Option<&str>, start: u64) -> Option<u64> {
    let (first, rest) = content_range?.strip_prefix("bytes ")?.split_once('-')?;
    let (_, total) = rest.split_once('/')?;
    (first.parse() == Ok(start)).then(|| total.parse().ok())?
}

async fn request(
    shared: &Shared,
    full_key: &str,
    place: &Place,
    range: Option<String>,
    if_match: Option<String>,
) -> Result<GetObjectOutput, StoreError> {
    let request = shared
        .client
        .get_object()
        .bucket(&shared.bucket)
        .key(full_key)
        .set_range(range)
        .set_if_match(if_match);
    let output = request
        .customize()
        .config_override(shared.briefly())
        .send()
        .await
        .map_err(|error| shared.failure(&error, place))?;
    shared.bucket_seen.store(true, Ordering::Relaxed);
    Ok(output)
}

struct Body {
    shared: Arc<Shared>,
    full_key: String,
    place: Place,
    e_tag: Option<String>,
    /// The next byte of the object to come out of `stream`.
    position: u64,
    end: u64,
    stream: ByteStream,
    /// Received, not yet handed on.
    ready: Bytes,
    interruptions: u32,
    since_interruption: u64,
}

fn pieces(body: Body) -> impl futures::Stream<Item = Result<Bytes, StoreError>> + Send {
    futures::stream::try_unfold(
        body,
        |mut body| async move { Ok(body.next().await?.map(|piece| (piece, body))) },
    )
}

impl Body {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        loop {
            if !self.ready.is_empty() {
                let length = self.ready.len().min(PIECE_BYTES);
                return Ok(Some(self.ready.split_to(length)));
            }
            if self.position == self.end {
                return Ok(None);
            }
            match self.stream.next().await {
                Some(Ok(bytes)) => self.receive(bytes)?,
                Some(Err(fault)) => {
                    let cause = error::from_connection(&fault, &self.place);
                    self.resume(cause).await?;
                }
                None => {
                    let why = format!("the answer ended at byte {} of {}", self.position, self.end);
                    self.resume(StoreError::Unreachable { place: self.place.clone(), why }).await?;
                }
            }
        }
    }

    fn receive(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let after = self.position + bytes.len() as u64;
        if after > self.end {
            let why = "the store sent more bytes than it announced".into();
            return Err(StoreError::Other { place: self.place.clone(), why });
        }
        self.since_interruption += bytes.len() as u64;
        if self.since_interruption >= PROGRESS_BYTES {
            self.interruptions = 0;
        }
        self.position = after;
        self.ready = bytes;
        Ok(())
    }

    async fn resume(&mut self, cause: StoreError) -> Result<(), StoreError> {
        self.interruptions += 1;
        self.since_interruption = 0;
        if self.interruptions > MAX_INTERRUPTIONS {
            return Err(cause);
        }
        tracing::warn!(place = %self.place, position = self.position, %cause, "download interrupted; going on");
        tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(self.interruptions - 1)).await;
        let range = Some(format!("bytes={}-{}", self.position, self.end - 1));
        let output = request(&self.shared, &self.full_key, &self.place, range, self.e_tag.clone()).await;
        let output = output.map_err(|error| match error {
            StoreError::AlreadyExists { place } => {
                StoreError::Other { place, why: "the object was replaced while it was read".into() }
            }
            other => other,
        })?;
        if total_of(output.content_range(), self.position).is_none() {
            return Err(cause);
        }
        self.stream = output.body;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_answer_must_begin_where_asked() {
        assert_eq!(total_of(Some("bytes 5-9/100"), 5), Some(100));
        assert_eq!(total_of(Some("bytes 0-99/100"), 5), None);
        assert_eq!(total_of(Some("bytes 5-9/*"), 5), None);
        assert_eq!(total_of(None, 5), None);
    }
}
