//! Keys, stock programs and buffers for the tests.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use sealing::{Identities, PartOpen, PartSeal, Recipients, SEALED_CHUNK_BYTES, SealError};
use secrecy::ExposeSecret;
use tempfile::TempDir;

/// Payload lengths around every border of the format, and one of several MiB.
pub(crate) const LENGTHS: [usize; 9] = [0, 1, 65535, 65536, 65537, 131_072, 131_073, 196_608, 3_500_000];

/// A key pair with its identity file.
pub(crate) struct Key {
    _folder: TempDir,
    pub(crate) file: PathBuf,
    pub(crate) recipient: String,
}

impl Key {
    pub(crate) fn age() -> Self {
        let (secret, recipient) = sealing::generate_identity();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("identity");
        std::fs::write(&file, format!("# made for a test\n\n{}\n", secret.expose_secret())).unwrap();
        Self { _folder: folder, file, recipient }
    }

    /// An SSH key made by stock `ssh-keygen` with the given options, its passphrase empty unless given.
    pub(crate) fn ssh(options: &[&str], passphrase: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("id");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-C", "somebody@somewhere", "-N", passphrase, "-f"]).arg(&file).args(options);
        run(&mut keygen, b"").unwrap();
        let recipient = std::fs::read_to_string(file.with_extension("pub")).unwrap().trim().to_owned();
        Self { _folder: folder, file, recipient }
    }

    pub(crate) fn recipients(&self) -> Recipients {
        recipients(&[&self.recipient])
    }

    pub(crate) fn identities(&self) -> Identities {
        Identities::from_files(std::slice::from_ref(&self.file)).unwrap()
    }
}

pub(crate) fn recipients(lines: &[&str]) -> Recipients {
    try_recipients(lines).unwrap()
}

pub(crate) fn try_recipients(lines: &[&str]) -> Result<Recipients, SealError> {
    Recipients::parse(&lines.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// Runs a program to its end; its standard output, or its standard error if it failed.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} is needed for this test: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = thread::scope(|scope| {
        // A program that refuses its input closes the pipe early; what it says counts, not our write.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}

pub(crate) fn stock_seal(recipients: &[&str], plain: &[u8]) -> Vec<u8> {
    let mut age = Command::new("age");
    for recipient in recipients {
        age.args(["-r", recipient]);
    }
    run(&mut age, plain).unwrap()
}

pub(crate) fn stock_open(identity: &Path, sealed: &[u8]) -> Result<Vec<u8>, String> {
    run(Command::new("age").arg("--decrypt").arg("-i").arg(identity), sealed)
}

/// Bytes that do not repeat at chunk borders.
pub(crate) fn payload(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ len as u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[4]
    };
    (0..len).map(|_| next()).collect()
}

/// Seals as the engine does: slot buffers of `batch` slots, one after the other.
pub(crate) fn seal_in_batches(part: &PartSeal, plain: &[u8], batch: usize) -> Vec<u8> {
    let mut file = part.header().to_vec();
    let pieces: Vec<&[u8]> =
        if plain.is_empty() { vec![plain] } else { plain.chunks(batch * sealing::CHUNK_BYTES).collect() };
    for (index, piece) in pieces.iter().enumerate() {
        let mut slots = vec![0xee; sealing::slots_len(piece.len())];
        assert_eq!(sealing::fill_slots(&mut slots, 0, piece), piece.len());
        part.seal_slots((index * batch) as u64, index + 1 == pieces.len(), &mut slots).unwrap();
        file.extend_from_slice(&slots);
    }
    assert_eq!(file.len() as u64, sealing::sealed_len(part.header().len(), plain.len() as u64));
    file
}

/// Opens a whole file in batches of `batch` slots.
pub(crate) fn open_in_batches(
    identities: &Identities,
    file: &[u8],
    batch: usize,
) -> Result<Vec<u8>, SealError> {
    let (part, start) = PartOpen::new(file, identities)?;
    let mut slots = file[start..].to_vec();
    let count = slots.len().div_ceil(batch * SEALED_CHUNK_BYTES);
    for (index, batch_slots) in slots.chunks_mut(batch * SEALED_CHUNK_BYTES).enumerate() {
        part.open_slots((index * batch) as u64, index + 1 == count, batch_slots)?;
    }
    Ok(sealing::plain_chunks(&slots).collect::<Vec<_>>().concat())
}

/// Bech32 (BIP 173) without its length limit, as age uses it, for keys that no installed program makes.
pub(crate) fn bech32(prefix: &str, data: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let mut digits = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for byte in data {
        bits = (bits & 0xfff) << 8 | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            digits.push((bits >> held) & 31);
        }
    }
    if held > 0 {
        digits.push((bits << (5 - held)) & 31);
    }
    let high = prefix.bytes().map(|b| u32::from(b >> 5));
    let low = prefix.bytes().map(|b| u32::from(b & 31));
    let values = high.chain([0]).chain(low).chain(digits.iter().copied()).chain([0; 6]);
    let checksum = values.fold(1, bech32_step) ^ 1;
    digits.extend((0..6).map(|i| (checksum >> (5 * (5 - i))) & 31));
    let letters: String = digits.iter().map(|d| char::from(LETTERS[*d as usize])).collect();
    format!("{prefix}1{letters}")
}

fn bech32_step(state: u32, value: u32) -> u32 {
    let generators = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = state >> 25;
    let shifted = (state & 0x01ff_ffff) << 5 ^ value;
    generators.iter().enumerate().filter(|(i, _)| top >> i & 1 == 1).fold(shifted, |s, (_, g)| s ^ g)
}
