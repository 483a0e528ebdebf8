//! Which records of a resumed stream the beginning has already, and which continue it.
//!
//! `zfs send -t` goes back to the object named in the token and announces it again: `OBJECT_RANGE` (raw),
//! OBJECT, a FREE of everything behind the object's end, a SPILL flagged unmodified where there is a
//! spill block that did not change. Where the border lies inside a block (1 MiB blocks that travel as
//! 128 KiB WRITEs) it sends the block's earlier WRITEs again. All that follows is what the one run
//! would have sent behind the border. Anything else is refused.

use super::SpliceError;
use crate::fields::Fields;
use crate::{Border, Record, RecordKind};

/// What a FREE has as its length that reaches to the object's end (`DMU_OBJECT_END`).
const TO_THE_END: u64 = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Drop,
    Keep,
}

/// How far the repeated announcement has got. Each step may be left out, none may come twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Start,
    ObjectRange,
    Object,
    Free,
    Spill,
    RepeatedWrites,
    Continued,
}

#[derive(Debug)]
pub(super) struct Rule {
    border: Border,
    raw: bool,
    step: Step,
}

impl Rule {
    pub(super) fn new(border: Border, raw: bool) -> Self {
        Self { border, raw, step: Step::Start }
    }

    /// # Errors
    /// [`SpliceError::Unexpected`], [`SpliceError::NotAnnounced`].
    pub(super) fn judge(&mut self, record: &Record, fields: &Fields<'_>) -> Result<Verdict, SpliceError> {
        if let Some(step) =
            self.repetition(record, fields).filter(|step| self.step < *step || self.may_repeat(*step))
        {
            self.step = step;
            return Ok(Verdict::Drop);
        }
        if !self.has_begun(record) {
            return Err(SpliceError::NotAnnounced { at: record.at, record: record.kind });
        }
        if !self.continues(record) {
            return Err(SpliceError::Unexpected { at: record.at, record: record.kind });
        }
        self.step = Step::Continued;
        Ok(Verdict::Keep)
    }

    fn may_repeat(&self, step: Step) -> bool {
        step == Step::RepeatedWrites && self.step == step
    }

    /// The step of the repeated announcement that a record is, if it can be one.
    fn repetition(&self, record: &Record, fields: &Fields<'_>) -> Option<Step> {
        let (resumed, _) = self.border.resume_place();
        let of_object = record.object == Some(resumed);
        if record.kind == RecordKind::ObjectRange {
            let first = record.object?;
            let behind = first.saturating_add(fields.u64_at::<16>());
            return (self.raw && (first..behind).contains(&resumed)).then_some(Step::ObjectRange);
        }
        let Border::AfterWrite { end_offset, .. } = self.border else { return None };
        let announced = self.step >= Step::Object;
        match record.kind {
            RecordKind::Object if of_object => Some(Step::Object),
            // Later, the same record frees something in the object that the one run frees there too.
            RecordKind::Free if of_object && self.step == Step::Object => {
                (record.logical_len == Some(TO_THE_END)).then_some(Step::Free)
            }
            RecordKind::Spill if of_object && announced && record.unmodified => Some(Step::Spill),
            RecordKind::Write | RecordKind::WriteEmbedded if of_object && announced => {
                (record.write_end()? <= end_offset && record.offset? < end_offset)
                    .then_some(Step::RepeatedWrites)
            }
            _ => None,
        }
    }

    /// Whether the object was announced, so that what is no repetition continues the stream.
    fn has_begun(&self, record: &Record) -> bool {
        match self.border {
            Border::AfterWrite { .. } => self.step >= Step::Object,
            Border::BeforeObject { object } => {
                self.step == Step::Continued
                    || (record.kind == RecordKind::Object && record.object == Some(object))
            }
        }
    }

    /// Whether a record lies behind the border.
    fn continues(&self, record: &Record) -> bool {
        let (resumed, offset) = self.border.resume_place();
        let Some(object) = record.object else { return record.kind == RecordKind::End };
        let first = self.step != Step::Continued;
        match record.kind {
            RecordKind::Object if first && matches!(self.border, Border::BeforeObject { .. }) => {
                object == resumed
            }
            RecordKind::Object | RecordKind::ObjectRange | RecordKind::FreeObjects => object > resumed,
            RecordKind::Write | RecordKind::WriteEmbedded | RecordKind::Free => {
                object > resumed || (object == resumed && record.offset >= Some(offset))
            }
            RecordKind::Spill if object == resumed && matches!(self.border, Border::AfterWrite { .. }) => {
                !record.unmodified
            }
            RecordKind::Spill => object >= resumed,
            RecordKind::Begin | RecordKind::End | RecordKind::WriteByref | RecordKind::Redact => false,
        }
    }
}
