//! Makes a stream that broke off whole: `splice BEGINNING RESUMED OUT`, where RESUMED is what `zfs send -t` sent for the token
//! that `token BEGINNING` printed.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::fs::File;
use std::io::{self, Read};

use sendstream::{SplicedReader, last_border};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(beginning), Some(resumed), Some(out)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: splice BEGINNING RESUMED OUT".into());
    };
    let partial = last_border(File::open(&beginning)?)?;
    let mut out = File::create_new(out)?;
    io::copy(&mut File::open(&beginning)?.take(partial.saved.position), &mut out)?;
    let mut continuation = SplicedReader::new(partial.saved, File::open(resumed)?);
    let length = io::copy(&mut continuation, &mut out)?;
    out.sync_all()?;
    println!("{length} bytes appended; the stream is whole");
    Ok(())
}
