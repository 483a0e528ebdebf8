#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod begin;
mod error;
mod features;
mod fields;
mod fletcher;
mod frames;
mod inspect;
mod nvlist;
mod proof;
mod record;
mod resummer;
mod saved;
mod scanner;
mod sink;
mod splice;
mod summary;
mod token;
mod walker;
mod writer;

pub use begin::Begin;
pub use error::{ScanError, StreamError};
pub use features::{Feature, Features};
pub use fields::ByteOrder;
pub use fletcher::Fletcher4;
pub use inspect::{Inspection, KindReport, ResumePlace, StreamReport, Verdict, inspect};
pub use nvlist::{NvList, NvListError, NvValue};
pub use record::{MAX_PAYLOAD_BYTES, Record, RecordKind};
pub use resummer::Resummer;
pub use saved::{KeptBeginning, PartialError, PartialStream, SavedBorder, last_border};
pub use scanner::Scanner;
pub use sink::{Border, Discard, Sink};
pub use splice::{
    ResumedStream, SpliceError, SpliceFault, SpliceSink, SpliceSummary, SplicedReader, Splicer,
};
pub use summary::{RecordCounts, StreamSummary};
pub use token::{ResumeToken, TokenError};
pub use walker::{Place, Visitor, Walker};
pub use writer::{StreamWriter, WriteError};

/// Bytes of a record header.
pub const HEADER_BYTES: usize = 312;
