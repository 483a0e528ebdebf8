//! Recorded streams: with the resumed stream that OpenZFS itself sent, and at every border with a simulated sender.

use std::io::Read;

use sendstream::{Border, ByteOrder, ResumeToken, SplicedReader, last_border};

use crate::sender::{is_resumed, little, resumed, resumed_records};
use crate::streams::{Raw, Seen, Sums, WHOLE, encode, fixture, raw_records, records, token, walk};
use crate::{assert_spliced, borders_at, saved_at, splice};

const RESUMED_BY_ZFS: [&str; 5] = ["d-full", "d-lec", "e-raw", "l-lc", "z-full"];

/// Streams whose sender could resume.
pub(crate) fn modern() -> impl Iterator<Item = &'static str> {
    WHOLE.into_iter().filter(|name| !name.starts_with("fuse"))
}

/// Where the stream has the border that OpenZFS resumed at.
fn place(name: &str, records: &[Seen]) -> (usize, Border) {
    let token = ResumeToken::decode(&token(name)).unwrap();
    let at = |index: &usize| {
        borders_at(records, *index)
            .into_iter()
            .find(|border| border.resume_place() == (token.object, token.offset))
    };
    let index = (1..records.len()).find(|index| at(index).is_some()).expect("ZFS resumes at a border");
    (index, at(&index).unwrap())
}

#[test]
fn what_zfs_itself_sent_continues_the_stream() {
    for name in RESUMED_BY_ZFS {
        let stream = fixture(name);
        let records = records(&stream);
        let (index, border) = place(name, &records);
        let saved = saved_at(&records, &stream, index, border);
        let theirs = fixture(&format!("{name}.resumed"));
        assert_spliced(&stream, &records, &saved, &theirs, name);
    }
}

/// The simulated sender is believed because it sends, byte for byte, what OpenZFS sent.
#[test]
fn the_simulated_sender_sends_what_zfs_sent() {
    for name in RESUMED_BY_ZFS {
        let records = records(&fixture(name));
        let (index, border) = place(name, &records);
        let ours = resumed(&records, index, border, ByteOrder::Little);
        assert!(is_resumed(&ours) && ours == fixture(&format!("{name}.resumed")), "{name}");
    }
}

/// A recorded resumed stream also serves the later borders of its object, once its BEGIN names them.
#[test]
fn what_zfs_sent_continues_at_the_later_borders_of_the_object_too() {
    let mut served = 0;
    for name in RESUMED_BY_ZFS {
        let stream = fixture(name);
        let records = records(&stream);
        let theirs = walk(&fixture(&format!("{name}.resumed")));
        let (first, border) = place(name, &records);
        let (object, _) = border.resume_place();
        for index in first + 1..records.len() {
            for border in borders_at(&records, index) {
                if !matches!(border, Border::AfterWrite { object: of, .. } if of == object) {
                    continue;
                }
                let mut raws: Vec<Raw> = theirs
                    .iter()
                    .map(|met| Raw { header: met.header, payload: met.payload.clone() })
                    .collect();
                raws[0] =
                    resumed_records(&records, &little(&records, ByteOrder::Little), index, border)[0].clone();
                let changed = encode(&raws, ByteOrder::Little, Sums::EveryRecord);
                let saved = saved_at(&records, &stream, index, border);
                // Frees between the two borders are sent again, and no rule allows them: those must be refused.
                let freed = records[first..index].iter().any(|seen| {
                    seen.record.kind == sendstream::RecordKind::Free
                        && seen.record.logical_len != Some(u64::MAX)
                });
                if freed {
                    assert!(splice(&saved, &changed).is_err());
                } else {
                    assert_spliced(&stream, &records, &saved, &changed, name);
                    served += 1;
                }
            }
        }
    }
    assert!(served > 20, "{served}");
}

#[test]
fn every_border_of_every_recorded_stream_in_both_byte_orders() {
    let mut borders = 0;
    for name in modern() {
        let recorded = fixture(name);
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let stream = encode(&raw_records(&recorded), order, Sums::EveryRecord);
            let records = records(&stream);
            for index in 1..records.len() {
                for border in borders_at(&records, index) {
                    let saved = saved_at(&records, &stream, index, border);
                    assert_spliced(&stream, &records, &saved, &resumed(&records, index, border, order), name);
                    borders += 1;
                }
            }
        }
    }
    assert!(borders > 1000, "{borders}");
}

/// What a user does: keep the usable beginning, resume with its token, append.
#[test]
fn a_file_that_broke_off_is_made_whole() {
    for name in modern() {
        let stream = fixture(name);
        let records = records(&stream);
        for cut in (1..10).map(|tenths| stream.len() * tenths / 10) {
            let Ok(partial) = last_border(&stream[..cut]) else { continue };
            let kept = usize::try_from(partial.saved.position).unwrap();
            let index = records.iter().position(|seen| seen.record.at == partial.saved.position).unwrap();
            let resumed = resumed(&records, index, partial.saved.border, ByteOrder::Little);
            let mut reader = SplicedReader::new(partial.saved, &resumed[..]);
            let mut whole = stream[..kept].to_vec();
            reader.read_to_end(&mut whole).unwrap();
            assert!(whole == stream, "{name} cut at {cut}");
            assert_eq!(reader.summary().unwrap().stream_bytes, stream.len() as u64);
        }
    }
}

/// Of the dropped records the OBJECT is the beginning's own, but for its sums.
#[test]
fn the_dropped_announcement_is_the_one_that_the_beginning_has() {
    let stream = fixture("e-raw");
    let records = records(&stream);
    let (first, _) = place("e-raw", &records);
    let index = (first + 1..records.len())
        .find(|index| matches!(records[*index].border, Some(Border::AfterWrite { .. })))
        .unwrap();
    let border = records[index].border.unwrap();
    let (object, _) = border.resume_place();
    let saved = saved_at(&records, &stream, index, border);
    let (sink, _) = splice(&saved, &resumed(&records, index, border, ByteOrder::Little)).unwrap();
    let of = |record: &sendstream::Record| {
        record.kind == sendstream::RecordKind::Object && record.object == Some(object)
    };
    let (_, header, payload) = sink.dropped.iter().find(|(record, ..)| of(record)).unwrap();
    let begun = records.iter().find(|seen| of(&seen.record)).unwrap();
    assert_eq!((&header[..280], payload), (&begun.header[..280], &begun.payload));
}
