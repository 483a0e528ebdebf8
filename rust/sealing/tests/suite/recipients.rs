//! Recipient lines: what is taken, how it is normalised, what is refused and in which words.

use sealing::{PartSeal, SealError, open_bytes, seal_bytes};
use secrecy::ExposeSecret;

use crate::common::{Key, bech32, recipients, try_recipients};

/// The generator of P-256 (FIPS 186-4, D.1.2.3): a valid public key for headers that nobody opens.
const P256_X: &str = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
const P256_Y: &str = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn tagged() -> String {
    bech32("age1tag", &[vec![3], from_hex(P256_X)].concat())
}

fn tagged_post_quantum() -> String {
    bech32("age1tagpq", &[vec![0; 1184], vec![4], from_hex(P256_X), from_hex(P256_Y)].concat())
}

fn refusal(lines: &[&str]) -> SealError {
    try_recipients(lines).unwrap_err()
}

#[test]
fn canonical_form_is_sorted_bare_and_without_duplicates() {
    let (one, two) = (Key::age(), Key::age());
    let ssh = Key::ssh(&["-t", "ed25519"], "");
    let bare = ssh.recipient.rsplit_once(' ').unwrap().0;
    let set = recipients(&[
        "# the off-site keys",
        "",
        &format!("  {}\t", two.recipient),
        &ssh.recipient,
        &one.recipient,
        bare,
        &two.recipient,
    ]);
    let mut expected = vec![one.recipient.clone(), two.recipient.clone(), bare.to_owned()];
    expected.sort_unstable();
    assert_eq!(set.canonical(), expected);
    let again: Vec<&str> = expected.iter().map(String::as_str).collect();
    assert_eq!(recipients(&again).canonical(), expected);
    let file = seal_bytes(&set, b"x").unwrap();
    let header = String::from_utf8_lossy(&file);
    assert_eq!(header.matches("-> X25519").count(), 2, "a duplicate is wrapped once");
    assert_eq!(header.matches("-> ssh-ed25519").count(), 1);
}

#[test]
fn ssh_rsa_lines_survive_their_canonical_form() {
    let key = Key::ssh(&["-t", "rsa", "-b", "3072"], "");
    let canonical = key.recipients().canonical();
    assert!(key.recipient.starts_with(&canonical[0]));
    let file = seal_bytes(&recipients(&[&canonical[0]]), b"x").unwrap();
    assert_eq!(open_bytes(&key.identities(), &file).unwrap(), b"x");
}

#[test]
fn tagged_and_post_quantum_recipients_are_wrapped_but_not_mixed() {
    let header_of = |line: &str| {
        let part = PartSeal::new(&recipients(&[line])).unwrap();
        String::from_utf8_lossy(part.header()).into_owned()
    };
    assert!(header_of(&tagged()).contains("-> p256tag "));
    assert!(header_of(&tagged_post_quantum()).contains("-> mlkem768p256tag "));
    recipients(&[&tagged(), &Key::age().recipient]);
    let error = refusal(&[&tagged_post_quantum(), &Key::age().recipient]);
    assert_eq!(error.code(), "seal.recipient_set");
    assert!(error.to_string().contains("post-quantum"), "{error}");
}

#[test]
fn more_recipients_than_a_header_holds_are_refused() {
    let lines: Vec<String> = (0..700).map(|_| sealing::generate_identity().1).collect();
    let error = sealing::Recipients::parse(&lines).unwrap_err();
    assert_eq!(error.code(), "seal.recipient_set");
    sealing::Recipients::parse(&lines[..500]).unwrap();
}

#[test]
fn nobody_to_encrypt_to() {
    for lines in [&[][..], &["", "# only a comment"]] {
        assert_eq!(refusal(lines).code(), "seal.no_recipients");
    }
}

#[test]
fn bad_lines_say_what_to_write() {
    let good = Key::age().recipient;
    let last = if good.ends_with('q') { "p" } else { "q" };
    let typo = format!("{}{last}", &good[..good.len() - 1]);
    let ecdsa = Key::ssh(&["-t", "ecdsa"], "").recipient;
    let short_rsa = Key::ssh(&["-t", "rsa", "-b", "1024"], "").recipient;
    for (line, needle) in [
        (typo.as_str(), "checksum"),
        ("someone@example.org", "expected age1"),
        ("ssh-ed25519 AAAA", "expected age1"),
        (&ecdsa, "ecdsa-sha2-nistp256"),
        (&short_rsa, "2048"),
    ] {
        let error = refusal(&[&good, line]);
        assert_eq!(error.code(), "seal.bad_recipient", "{error}");
        assert!(error.to_string().contains(needle), "{error}");
        assert!(error.to_string().contains(&line[..8]), "{error}");
    }
}

#[test]
fn a_secret_given_as_recipient_is_never_repeated() {
    let secret = sealing::generate_identity().0;
    let lower = secret.expose_secret().to_lowercase();
    for line in [secret.expose_secret(), lower.as_str(), "AGE-PLUGIN-TOY-1W3HHJN6HVV8"] {
        let error = refusal(&[line]);
        assert_eq!(error.code(), "seal.bad_recipient");
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(text.contains("secret") && !text.contains(&line[14..]), "{text}");
        }
    }
}

#[test]
fn a_missing_plugin_is_named() {
    for (name, program) in [("age1absent", "age-plugin-absent"), ("age1pq", "age-plugin-pq")] {
        let error = refusal(&[&Key::age().recipient, &bech32(name, &[7; 32])]);
        assert_eq!(error.code(), "seal.plugin");
        assert!(error.to_string().contains(program), "{error}");
        assert!(error.to_string().contains("install"), "{error}");
    }
}

#[test]
fn every_code_is_listed_once() {
    let mut codes = SealError::CODES.to_vec();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), SealError::CODES.len());
    assert!(codes.contains(&SealError::NoRecipients.code()));
    assert!(codes.iter().all(|code| code.starts_with("seal.")));
}
