//! Gathers the report while the file is walked.

use std::convert::Infallible;

use super::report::{Inspection, KindReport, ResumePlace, StreamReport, Verdict};
use crate::fields::Fields;
use crate::{Begin, Border, Feature, HEADER_BYTES, NvList, Place, Record, RecordKind, Visitor};

/// Streams of which all is kept.
const MOST_STREAMS: usize = 4096;
/// Lists in BEGIN that are longer are not looked into.
const MOST_LIST_BYTES: u64 = 1 << 20;

/// `DRR_FLAG_*` of OpenZFS `include/sys/zfs_ioctl.h`, bit 0 first.
const FLAGS: [&str; 4] = ["clone", "case_insensitive", "free_records", "spill_blocks"];

#[derive(Default)]
pub(super) struct Collector {
    package: Option<Gathered>,
    stream: Option<Gathered>,
    finished: Vec<StreamReport>,
    left_out: u64,
    records: u64,
    in_package: bool,
}

/// One stream as far as it was read.
struct Gathered {
    report: StreamReport,
    kinds: [KindReport; RecordKind::ALL.len()],
    previous: Option<Record>,
    list: Vec<u8>,
    list_bytes: u64,
}

impl Collector {
    pub(super) fn records_met(&self) -> u64 {
        self.records
    }

    pub(super) fn report(mut self, bytes: u64, verdict: Verdict) -> Inspection {
        self.close();
        Inspection {
            bytes,
            verdict,
            package: self.package.map(Gathered::report),
            streams: self.finished,
            streams_left_out: self.left_out,
        }
    }

    /// Puts the stream in hand to the others.
    fn close(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        if self.finished.len() < MOST_STREAMS {
            self.finished.push(stream.report());
        } else {
            self.left_out += 1;
        }
    }
}

impl Visitor for Collector {
    type Error = Infallible;

    fn record(
        &mut self,
        place: Place,
        record: &Record,
        header: &[u8; HEADER_BYTES],
    ) -> Result<(), Infallible> {
        self.records += 1;
        self.in_package = place == Place::Package;
        if record.kind == RecordKind::Begin {
            self.close();
            // The walker has parsed it already; nothing is lost where it would not parse.
            let opened = Begin::parse(header).ok().map(|begin| Gathered::new(&begin, record));
            if self.in_package {
                self.package = opened;
            } else {
                self.stream = opened;
            }
        }
        if let Some(gathered) = if self.in_package { &mut self.package } else { &mut self.stream } {
            gathered.record(record, header);
        }
        Ok(())
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        if let Some(gathered) = if self.in_package { &mut self.package } else { &mut self.stream } {
            gathered.payload(bytes);
        }
        Ok(())
    }
}

impl Gathered {
    fn new(begin: &Begin, record: &Record) -> Self {
        let named = |(bit, _): &(u32, &str)| begin.flags & 1 << bit != 0;
        let report = StreamReport {
            at: record.at,
            bytes: 0,
            whole: false,
            to_name: begin.to_name.clone(),
            to_guid: begin.to_guid,
            from_guid: (begin.from_guid != 0).then_some(begin.from_guid),
            creation_unix_seconds: begin.creation_unix_seconds,
            objset: objset(begin),
            byte_order: if begin.big_endian { "big" } else { "little" },
            features: begin.features.iter().map(Feature::name).collect(),
            unknown_feature_bits: begin.features.unknown_bits(),
            flags: (0..).zip(FLAGS).filter(named).map(|(_, name)| name).collect(),
            unknown_flag_bits: begin.flags >> FLAGS.len() << FLAGS.len(),
            records: Vec::new(),
            objects: 0,
            highest_object: 0,
            borders: 0,
            records_with_checksum: 0,
            end_checksum: None,
            resumes_at: None,
        };
        let resuming = begin.features.has(Feature::Resuming) && record.payload_len <= MOST_LIST_BYTES;
        Self {
            report,
            kinds: RecordKind::ALL.map(|kind| KindReport {
                kind: kind.name(),
                records: 0,
                bytes: 0,
                payload_bytes: 0,
                logical_bytes: 0,
            }),
            previous: None,
            list: Vec::new(),
            list_bytes: if resuming { record.payload_len } else { 0 },
        }
    }

    fn record(&mut self, record: &Record, header: &[u8; HEADER_BYTES]) {
        let kind = &mut self.kinds[record.kind as usize];
        kind.records += 1;
        kind.bytes += HEADER_BYTES as u64;
        kind.payload_bytes += record.payload_len;
        let logical_len = record.logical_len.filter(|length| *length != u64::MAX);
        kind.logical_bytes = kind.logical_bytes.saturating_add(logical_len.unwrap_or_default());
        self.report.bytes += HEADER_BYTES as u64;
        self.report.records_with_checksum += u64::from(record.checksum.is_some());
        if let (RecordKind::Object, Some(object)) = (record.kind, record.object) {
            self.report.objects += 1;
            self.report.highest_object = self.report.highest_object.max(object);
        }
        let border = self.previous.as_ref().and_then(|previous| Border::between(previous, record));
        self.report.borders += u64::from(border.is_some());
        if record.kind == RecordKind::End {
            let order = if self.report.byte_order == "big" {
                crate::ByteOrder::Big
            } else {
                crate::ByteOrder::Little
            };
            let sums = Fields::new(header, order).sums_at::<8>();
            // A package's first END carries sums, its closing one none.
            self.report.end_checksum = self.report.end_checksum.or((sums != [0; 4]).then_some(sums));
            self.report.whole = self.report.objset != "package" || sums == [0; 4];
        }
        self.previous = Some(*record);
    }

    fn payload(&mut self, bytes: &[u8]) {
        let length = bytes.len() as u64;
        self.report.bytes += length;
        if let Some(previous) = &self.previous {
            self.kinds[previous.kind as usize].bytes += length;
        }
        if (self.list.len() as u64) < self.list_bytes {
            self.list.extend_from_slice(bytes);
            if self.list.len() as u64 == self.list_bytes {
                self.report.resumes_at = resume_place(&std::mem::take(&mut self.list));
                self.list_bytes = 0;
            }
        }
    }

    fn report(self) -> StreamReport {
        let records = self.kinds.into_iter().filter(|kind| kind.records > 0).collect();
        StreamReport { records, ..self.report }
    }
}

fn objset(begin: &Begin) -> &'static str {
    match (begin.compound, begin.objset_type) {
        (true, _) => "package",
        (false, 2) => "filesystem",
        (false, 3) => "volume",
        (false, _) => "unknown",
    }
}

fn resume_place(list: &[u8]) -> Option<ResumePlace> {
    let list = NvList::decode(list).ok()?;
    Some(ResumePlace { object: list.uint64("resume_object")?, offset: list.uint64("resume_offset")? })
}
