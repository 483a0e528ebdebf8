//! What `zfs send -t` sends for a token, made from the whole stream: BEGIN with the place in its list, the object announced
//! again, then the rest.

use sendstream::{
    Border, HEADER_BYTES, NvList, NvValue, Record, RecordKind, ResumeToken, Scanner, Sink, StreamWriter,
};

/// The feature RESUMING in BEGIN's version field.
const RESUMING: u64 = 1 << (20 + 2);

/// One record: what it is, its header, its payload.
pub(crate) struct Raw {
    pub(crate) record: Record,
    pub(crate) header: [u8; HEADER_BYTES],
    pub(crate) payload: Vec<u8>,
}

/// The records of a whole stream.
pub(crate) fn records(stream: &[u8]) -> Vec<Raw> {
    let mut raws = Raws(Vec::new());
    let mut scanner = Scanner::new();
    scanner.feed(stream, &mut raws).unwrap();
    scanner.finish().unwrap();
    raws.0
}

/// What a sender of `stream` sends for `token`.
pub(crate) fn resumed(stream: &[u8], token: &str) -> Vec<u8> {
    resumed_with(stream, token, |_| {})
}

/// As [`resumed`], with `change` done to the records before they are written.
pub(crate) fn resumed_with(stream: &[u8], token: &str, change: impl FnOnce(&mut Vec<Raw>)) -> Vec<u8> {
    let token = ResumeToken::decode(token).unwrap();
    let mut sent = Vec::new();
    let mut announced = None;
    for (index, raw) in records(stream).into_iter().enumerate() {
        let here = raw.record.object == Some(token.object);
        match raw.record.kind {
            RecordKind::Begin => sent.push(begin(raw, &token)),
            RecordKind::Object if here && token.offset > 0 => announced = Some(raw),
            _ if raw.record.at >= token.bytes => {
                sent.extend(announced.take());
                sent.push(raw);
            }
            _ => assert!(index > 0),
        }
    }
    change(&mut sent);
    written(sent)
}

fn written(raws: Vec<Raw>) -> Vec<u8> {
    let mut writer = StreamWriter::new(Vec::new());
    for raw in raws {
        writer.record(&raw.header).unwrap();
        writer.payload(&raw.payload).unwrap();
    }
    writer.into_inner()
}

fn begin(mut raw: Raw, token: &ResumeToken) -> Raw {
    let version = u64::from_le_bytes(*raw.header[16..].first_chunk().unwrap()) | RESUMING;
    let mut list = vec![
        ("resume_object".to_owned(), NvValue::Uint64(token.object)),
        ("resume_offset".to_owned(), NvValue::Uint64(token.offset)),
    ];
    list.extend(NvList::decode(&raw.payload).map_or_else(|_| Vec::new(), |keys| keys.0));
    raw.header[16..24].copy_from_slice(&version.to_le_bytes());
    put_list(&mut raw, list);
    raw
}

fn put_list(begin: &mut Raw, list: Vec<(String, NvValue)>) {
    begin.payload = NvList(list).encode();
    begin.header[4..8].copy_from_slice(&u32::try_from(begin.payload.len()).unwrap().to_le_bytes());
}

/// The stream as of a dataset with this key, which BEGIN holds.
pub(crate) fn keyed(stream: &[u8], key: u64) -> Vec<u8> {
    let mut raws = records(stream);
    let keys = NvList(vec![("DSL_CRYPTO_MASTER_KEY_1".to_owned(), NvValue::Uint64(key))]);
    put_list(&mut raws[0], vec![("crypt_keydata".to_owned(), NvValue::List(keys))]);
    written(raws)
}

struct Raws(Vec<Raw>);

impl Sink for Raws {
    type Error = std::convert::Infallible;

    fn record(
        &mut self,
        record: &Record,
        header: &[u8; HEADER_BYTES],
        _: Option<Border>,
    ) -> Result<(), Self::Error> {
        self.0.push(Raw { record: *record, header: *header, payload: Vec::new() });
        Ok(())
    }

    fn payload(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.last_mut().unwrap().payload.extend_from_slice(bytes);
        Ok(())
    }
}
