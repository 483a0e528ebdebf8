//! What `inspect` says of recorded streams, whole, cut and damaged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its stream is wrong"
)]

mod streams;

use sendstream::{ByteOrder, Inspection, KindReport, ResumePlace, Verdict, inspect};
use streams::{OTHERS, Sums, WHOLE, begin, encode, end, fixture, package, records, scan, walk};

fn of(file: &[u8]) -> Inspection {
    inspect(file).unwrap()
}

fn kind(inspection: &Inspection, stream: usize, name: &str) -> KindReport {
    *inspection.streams[stream].records.iter().find(|kind| kind.kind == name).unwrap()
}

#[test]
fn every_recorded_stream_is_whole_and_its_bytes_add_up() {
    for name in WHOLE.into_iter().chain(OTHERS) {
        let file = fixture(name);
        let inspection = of(&file);
        assert_eq!(inspection.verdict, Verdict::Whole, "{name}");
        assert_eq!(inspection.bytes, file.len() as u64, "{name}");
        let all = inspection.package.iter().chain(&inspection.streams);
        assert_eq!(all.clone().map(|stream| stream.bytes).sum::<u64>(), inspection.bytes, "{name}");
        for stream in all {
            assert!(stream.whole && stream.end_checksum.is_some(), "{name}");
            assert_eq!(stream.records.iter().map(|kind| kind.bytes).sum::<u64>(), stream.bytes, "{name}");
            let counted = stream.records.iter().map(|kind| kind.records).sum::<u64>();
            let payload = stream.records.iter().map(|kind| kind.payload_bytes).sum::<u64>();
            assert_eq!(counted * 312 + payload, stream.bytes, "{name}");
        }
    }
}

#[test]
fn it_agrees_with_the_scanner() {
    for name in WHOLE {
        let file = fixture(name);
        let summary = scan(&file).unwrap();
        let inspection = of(&file);
        let [stream] = &inspection.streams[..] else { panic!("{name}: one stream") };
        assert!(inspection.package.is_none());
        assert_eq!(stream.end_checksum, Some(summary.end_checksum));
        assert_eq!(
            (stream.to_name.as_str(), stream.to_guid),
            (summary.begin.to_name.as_str(), summary.begin.to_guid)
        );
        assert_eq!(stream.features.join(","), summary.begin.features.to_string(), "{name}");
        for kind in &stream.records {
            let (_, count) = summary.records.iter().find(|(of, _)| of.name() == kind.kind).unwrap();
            assert_eq!(kind.records, count, "{name}");
        }
        let borders = records(&file).iter().filter(|seen| seen.border.is_some()).count();
        assert_eq!(stream.borders, borders as u64, "{name}");
    }
}

#[test]
fn what_a_volume_holds() {
    let inspection = of(&fixture("z-full"));
    let stream = &inspection.streams[0];
    assert_eq!((stream.objset, stream.byte_order, stream.from_guid), ("volume", "little", None));
    assert_eq!(stream.flags, ["free_records", "spill_blocks"]);
    assert_eq!((stream.objects, stream.highest_object), (2, 2));
    let write = kind(&inspection, 0, "write");
    assert_eq!((write.records, write.logical_bytes), (48, 48 * 8192));
    assert_eq!(write.bytes, write.payload_bytes + 48 * 312);
    assert_eq!(kind(&inspection, 0, "free").logical_bytes, 132_096, "without the frees to an end");
    assert_eq!(stream.records_with_checksum, stream.records.iter().map(|kind| kind.records).sum::<u64>() - 1);
}

#[test]
fn compound_resumed_and_dedup_streams() {
    let inspection = of(&fixture("d-R"));
    let names: Vec<_> = inspection.streams.iter().map(|stream| stream.to_name.as_str()).collect();
    assert_eq!(names, ["tank/d@a", "tank/d@b"]);
    assert_eq!(inspection.streams[1].from_guid, Some(inspection.streams[0].to_guid));
    assert_eq!(inspection.streams[1].at, 791_312);
    let package = inspection.package.unwrap();
    assert_eq!(
        (package.objset, package.to_name.as_str(), package.bytes),
        ("package", "tank/d@b", 552 + 3 * 312)
    );
    let resumed = of(&fixture("z-full.resumed"));
    assert_eq!(resumed.streams[0].resumes_at, Some(ResumePlace { object: 1, offset: 0x56000 }));
    assert!(resumed.streams[0].features.contains(&"resuming"));
    let dedup = of(&fixture("fuse-dedup"));
    assert_eq!((dedup.streams[0].features[0], dedup.streams[0].records_with_checksum), ("dedup", 0));
}

#[test]
fn what_was_redacted() {
    let inspection = of(&fixture("d-redacted"));
    assert!(inspection.streams[0].features.contains(&"redacted"));
    let redacted = kind(&inspection, 0, "redact");
    assert_eq!((redacted.records, redacted.payload_bytes, redacted.logical_bytes), (2, 0, 6 * 16_384));
}

#[test]
fn where_a_file_is_cut() {
    for name in ["d-full", "d-R", "d-full.resumed"] {
        let file = fixture(name);
        for length in [1, 311, 312, 400_000, file.len() - 1] {
            let inspection = of(&file[..length]);
            let at = length as u64;
            assert_eq!(inspection.verdict, Verdict::Truncated { at, code: "stream.truncated" }, "{name}");
            assert!(inspection.package.iter().chain(&inspection.streams).all(|stream| stream.at < at));
        }
    }
    let lost = of(&fixture("d-R")[..1_354_384]);
    assert!(matches!(lost.verdict, Verdict::Truncated { at: 1_354_384, .. }));
    assert!(lost.streams.iter().all(|stream| stream.whole) && !lost.package.unwrap().whole);
}

#[test]
fn where_a_file_is_damaged() {
    for name in ["d-full", "d-R", "e-raw.resumed"] {
        let file = fixture(name);
        let met = walk(&file);
        for (number, hit) in
            met.iter().enumerate().skip(3).step_by(7).filter(|(_, met)| met.record.checksum.is_some())
        {
            let mut damaged = file.clone();
            damaged[usize::try_from(hit.record.at).unwrap() + 200] ^= 1;
            let Verdict::Corrupt { at, record_number, code, .. } = of(&damaged).verdict else {
                panic!("{name}")
            };
            assert_eq!((at, record_number, code), (hit.record.at, number as u64, "stream.checksum_mismatch"));
        }
    }
    let Verdict::Corrupt { at: 0, code, reason, .. } = of(b"%PDF-1.7").verdict else { panic!("no stream") };
    assert!(code == "stream.not_a_send_stream" && reason.contains("not a ZFS send stream"));
    let Verdict::Corrupt { code: "stream.empty", .. } = of(b"").verdict else { panic!("empty") };
    let longer = [fixture("z-incr"), vec![1]].concat();
    let Verdict::Corrupt { at, code: "stream.bytes_after_end", .. } = of(&longer).verdict else {
        panic!("longer")
    };
    assert_eq!(at, longer.len() as u64 - 1);
}

#[test]
fn a_package_of_very_many_streams_is_counted() {
    let stream = encode(&[begin(1, 0), end()], ByteOrder::Big, Sums::EveryRecord);
    let file = package(&vec![stream; 5000], &[1; 8], ByteOrder::Big);
    let inspection = of(&file);
    assert_eq!(inspection.verdict, Verdict::Whole);
    assert_eq!((inspection.streams.len(), inspection.streams_left_out), (4096, 904));
    assert_eq!(inspection.streams[7].byte_order, "big");
}

#[cfg(feature = "serde")]
#[test]
fn a_report_is_serialised() {
    let json = serde_json::to_value(of(&fixture("z-full")[..1000])).unwrap();
    assert_eq!(json["verdict"]["state"], "truncated");
    assert_eq!(json["streams"][0]["to_name"], "tank/z@a");
}
