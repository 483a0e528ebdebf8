//! What `zfs send -t` sends, as it was seen to do: BEGIN with the place in its list, the object announced again, the
//! WRITEs of a block that the border lies in, then the rest.

use sendstream::{Begin, Border, ByteOrder, NvList, NvValue, RecordKind};

use crate::streams::{Raw, Seen, Sums, encode};

const RESUMING: u64 = 1 << (20 + 2);

/// The resumed stream for `border`, which lies before the record `index`.
pub(crate) fn resumed(records: &[Seen], index: usize, border: Border, order: ByteOrder) -> Vec<u8> {
    let raws = little(records, order);
    encode(&resumed_records(records, &raws, index, border), order, Sums::EveryRecord)
}

/// The records of that stream, little-endian and without sums.
pub(crate) fn resumed_records(records: &[Seen], raws: &[Raw], index: usize, border: Border) -> Vec<Raw> {
    let (object, _) = border.resume_place();
    let mut sent = vec![begin(&raws[0], border)];
    let covers = |seen: &Seen| {
        seen.record.kind == RecordKind::ObjectRange && seen.record.object.is_some_and(|first| first <= object)
    };
    let range = records[..index].iter().rposition(covers);
    sent.extend(range.map(|range| raws[range].clone()));
    if let Border::AfterWrite { end_offset, .. } = border {
        let announced = records[..index]
            .iter()
            .rposition(|seen| seen.record.kind == RecordKind::Object && seen.record.object == Some(object))
            .expect("an object is announced before it is written");
        sent.push(raws[announced].clone());
        let mut next = announced + 1;
        if is_free_to_the_end(&records[next], object) {
            sent.push(raws[next].clone());
            next += 1;
        }
        if records[next].record.kind == RecordKind::Spill && records[next].record.unmodified {
            sent.push(raws[next].clone());
        }
        let block =
            u64::from(u32::from_le_bytes(*raws[announced].header[24..].first_chunk().unwrap())).max(1);
        let block_starts = end_offset / block * block;
        sent.extend(
            (next..index)
                .filter(|at| repeats(&records[*at], object, block_starts))
                .map(|at| raws[at].clone()),
        );
    }
    sent.extend_from_slice(&raws[index..]);
    sent
}

fn is_free_to_the_end(seen: &Seen, object: u64) -> bool {
    let record = seen.record;
    record.kind == RecordKind::Free && record.object == Some(object) && record.logical_len == Some(u64::MAX)
}

fn repeats(seen: &Seen, object: u64, block_starts: u64) -> bool {
    let writes = matches!(seen.record.kind, RecordKind::Write | RecordKind::WriteEmbedded);
    writes
        && seen.record.object == Some(object)
        && seen.record.offset.is_some_and(|offset| offset >= block_starts)
}

/// BEGIN with the RESUMING feature and the place before what its list held.
pub(crate) fn begin(original: &Raw, border: Border) -> Raw {
    let (object, offset) = border.resume_place();
    let mut list = NvList(vec![
        ("resume_object".to_owned(), NvValue::Uint64(object)),
        ("resume_offset".to_owned(), NvValue::Uint64(offset)),
    ]);
    if let Ok(NvList(pairs)) = NvList::decode(&original.payload) {
        list.0.extend(pairs);
    }
    let payload = list.encode();
    let version = u64::from_le_bytes(*original.header[16..].first_chunk().unwrap());
    let begin = Raw { header: original.header, payload: Vec::new() };
    begin.u64(16, version | RESUMING).u32(4, u32::try_from(payload.len()).unwrap()).payload(&payload)
}

/// The records as the encoder of the tests wants them.
pub(crate) fn little(records: &[Seen], order: ByteOrder) -> Vec<Raw> {
    let raw = |seen: &Seen| Raw { header: seen.header, payload: seen.payload.clone() };
    let mut raws: Vec<Raw> = records.iter().map(raw).collect();
    if order == ByteOrder::Big {
        for raw in &mut raws {
            crate::streams::swap_from_big(&mut raw.header);
        }
    }
    raws
}

/// Whether the simulated BEGIN is one that the crate takes for resumed.
pub(crate) fn is_resumed(stream: &[u8]) -> bool {
    Begin::parse(stream).is_ok_and(|begin| begin.features.has(sendstream::Feature::Resuming))
}
