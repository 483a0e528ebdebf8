//! Says what a file of send streams holds, of whatever kind: `inspect FILE`.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::fs::File;

use sendstream::{StreamReport, Verdict, inspect};

fn show(stream: &StreamReport) {
    let base = stream.from_guid.map_or("full".to_owned(), |guid| format!("on guid {guid}"));
    println!("{} (guid {}, {base}), {}", stream.to_name, stream.to_guid, stream.objset);
    println!("  byte {} to {}, {}-endian", stream.at, stream.at + stream.bytes, stream.byte_order);
    println!("  features: {}", stream.features.join(", "));
    println!("  flags: {}", stream.flags.join(", "));
    println!("  {} objects, {} borders", stream.objects, stream.borders);
    if let Some(place) = stream.resumes_at {
        println!("  resumes at object {}, offset {}", place.object, place.offset);
    }
    for kind in &stream.records {
        println!("  {:<16}{:>10} records{:>16} bytes", kind.kind, kind.records, kind.bytes);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: inspect FILE")?;
    let found = inspect(File::open(path)?)?;
    found.package.iter().chain(&found.streams).for_each(show);
    match found.verdict {
        Verdict::Whole => println!("whole, {} bytes", found.bytes),
        Verdict::Truncated { at, .. } => println!("cut off after {at} bytes"),
        Verdict::Corrupt { at, record_number, reason, .. } => {
            println!("corrupt at record {record_number}, byte {at}: {reason}");
        }
    }
    Ok(())
}
