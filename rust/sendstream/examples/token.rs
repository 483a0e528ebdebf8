//! Says what a resume token holds, or makes the token for a stream that broke off: `token TOKEN|FILE`.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::fs::File;

use sendstream::{ResumeToken, last_border};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = std::env::args().nth(1).ok_or("usage: token TOKEN|FILE")?;
    if argument.starts_with("1-") {
        println!("{:#?}", ResumeToken::decode(&argument)?);
        return Ok(());
    }
    let partial = last_border(File::open(argument)?)?;
    println!("{}", partial.broken);
    println!(
        "keep the first {} bytes, then:\nzfs send -t {}",
        partial.saved.position,
        partial.token.encode()?
    );
    Ok(())
}
