//! What proves on this machine which stream bytes a part holds: taken along when a part is cut, compared when an
//! interrupted run reads the same stream again.

use format::{Blake3Hash, EndChecksum};
use sealing::Digest;
use sendstream::{Border, HEADER_BYTES, Record, RecordCounts, RecordKind};
use serde_json::json;

use super::piece::PartEnd;
use super::splicing::Beginning;
use crate::error::EngineError;
use crate::job::JobContext;
use crate::request::{JournaledPart, PartProof};

/// Where a record's own checksum begins; a re-announced record has another one.
const RECORD_CHECKSUM_AT: usize = 280;

/// The running proof of the part in hand.
#[derive(Default)]
pub(crate) struct Proving {
    part: Digest,
    begin_payload: Digest,
    in_begin: bool,
    announced: Option<Announcement>,
    in_announcement: bool,
    records: RecordCounts,
}

/// The latest OBJECT record.
struct Announcement {
    object: u64,
    digest: Digest,
}

impl Proving {
    /// Behind a border: counts go on; BEGIN's payload and the object in hand come once more before anything else.
    pub(crate) fn behind(beginning: &Beginning) -> Self {
        Self { records: beginning.records, ..Self::default() }
    }

    /// The payload of BEGIN, which the beginning has already.
    pub(crate) fn repeated_begin(&mut self, payload: &[u8]) {
        self.begin_payload.update(payload);
    }

    /// BLAKE3 of BEGIN's payload.
    pub(crate) fn begin_payload(&self) -> Blake3Hash {
        Blake3Hash::from_bytes(self.begin_payload.bytes())
    }

    /// The header of a record that the beginning has already.
    pub(crate) fn repeated(&mut self, record: &Record, header: &[u8; HEADER_BYTES]) {
        self.announce(record, header);
    }

    /// Bytes of such a record's payload.
    pub(crate) fn repeated_payload(&mut self, bytes: &[u8]) {
        self.announcement_payload(bytes);
    }

    /// A record's header, which belongs to the part in hand.
    pub(crate) fn record(&mut self, record: &Record, header: &[u8; HEADER_BYTES]) {
        self.part.update(header);
        self.records.count(record.kind);
        self.in_begin = record.kind == RecordKind::Begin;
        self.announce(record, header);
    }

    /// Bytes of the latest record's payload.
    pub(crate) fn payload(&mut self, bytes: &[u8]) {
        self.part.update(bytes);
        if self.in_begin {
            self.begin_payload.update(bytes);
        }
        self.announcement_payload(bytes);
    }

    fn announce(&mut self, record: &Record, header: &[u8; HEADER_BYTES]) {
        self.in_announcement = record.kind == RecordKind::Object;
        if let (true, Some(object)) = (self.in_announcement, record.object) {
            let mut digest = Digest::new();
            digest.update(&header[..RECORD_CHECKSUM_AT]);
            self.announced = Some(Announcement { object, digest });
        }
    }

    fn announcement_payload(&mut self, bytes: &[u8]) {
        if let (true, Some(announced)) = (self.in_announcement, &mut self.announced) {
            announced.digest.update(bytes);
        }
    }

    /// The proof of the part that ends here; the next one begins.
    pub(crate) fn end_part(&mut self, border: Option<Border>, end_checksum: [u64; 4]) -> PartProof {
        let part = std::mem::take(&mut self.part);
        PartProof {
            blake3: Blake3Hash::from_bytes(part.bytes()),
            end_checksum: EndChecksum(end_checksum),
            border: border.map(Into::into),
            begin_payload: self.begin_payload(),
            announcement: border.and_then(|border| self.announcement(border)),
            records: self.records.to_array(),
        }
    }

    /// BLAKE3 of the OBJECT record behind which the border lies.
    pub(crate) fn announcement(&self, border: Border) -> Option<Blake3Hash> {
        let Border::AfterWrite { object, .. } = border else { return None };
        let announced = self.announced.as_ref().filter(|announced| announced.object == object)?;
        Some(Blake3Hash::from_bytes(announced.digest.bytes()))
    }
}

/// The parts that earlier sessions stored, from number 0 without a gap.
pub(crate) struct StoredParts {
    parts: Vec<JournaledPart>,
    proven: usize,
    context: JobContext,
}

impl StoredParts {
    /// # Errors
    /// `engine.bad_request` unless they are numbered from 0 without a gap and lie one behind the other.
    ///
    /// The first `before` of them are not read again.
    pub(crate) fn new(
        parts: Vec<JournaledPart>,
        before: usize,
        context: JobContext,
    ) -> Result<Self, EngineError> {
        let mut offset = 0;
        for (number, JournaledPart { part, .. }) in parts.iter().enumerate() {
            if usize::try_from(part.number).ok() != Some(number) || part.stream_offset != offset {
                let text = format!("stored part {} is not where part {number} belongs", part.number);
                return Err(EngineError::bad_request(text));
            }
            offset = offset.saturating_add(part.stream_length);
        }
        Ok(Self { parts, proven: before, context })
    }

    /// Whether a part needs no upload.
    pub(crate) fn holds(&self, number: u32) -> bool {
        usize::try_from(number).is_ok_and(|number| number < self.parts.len())
    }

    /// Compares a part of the stream with what is stored of it.
    ///
    /// # Errors
    /// `engine.prefix_differs`.
    pub(crate) fn prove(&mut self, number: u32, end: &PartEnd) -> Result<(), EngineError> {
        let known = usize::try_from(number).ok().and_then(|number| self.parts.get(number));
        let known =
            known.ok_or_else(|| EngineError::internal("a part that is not stored was to be proven"))?;
        let same = known.part.stream_offset == end.stream_offset
            && known.part.stream_length == end.stream_length
            && end.proof.as_deref() == Some(&known.proof);
        if !same {
            let why = format!("part {number} of the stream is not the one that is stored");
            return Err(differs(&why).with("part", number));
        }
        self.proven += 1;
        self.context.progress.add_part();
        self.context.note(json!({ "kind": "skipped", "number": number }));
        tracing::debug!(part = number, key = %known.part.key, "part skipped: it is stored and the same");
        Ok(())
    }

    /// # Errors
    /// `engine.prefix_differs` when the stream ended before all that is stored was met.
    pub(crate) fn all_proven(&self) -> Result<(), EngineError> {
        if self.proven == self.parts.len() {
            return Ok(());
        }
        let (met, stored) = (self.proven, self.parts.len());
        Err(differs(&format!("it ended after {met} parts where {stored} are stored")))
    }
}

fn differs(why: &str) -> EngineError {
    let text = format!("the stream is not the one that was interrupted: {why}; it has to be sent anew");
    EngineError::new("engine.prefix_differs", text)
}
