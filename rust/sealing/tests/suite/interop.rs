//! Both ways against stock `age` and against the `age` crate's own payload code.

use std::io::{Read, Write};
use std::iter;
use std::process::Command;

use sealing::{Identities, PartSeal, open_bytes, seal_bytes};
use secrecy::ExposeSecret;

use crate::common::{
    Key, LENGTHS, open_in_batches, payload, recipients, run, seal_in_batches, stock_open, stock_seal,
};

#[test]
fn stock_age_opens_what_is_sealed() {
    let key = Key::age();
    for len in LENGTHS {
        let plain = payload(len);
        let whole = seal_bytes(&key.recipients(), &plain).unwrap();
        assert!(stock_open(&key.file, &whole).unwrap() == plain, "{len} bytes at once");
        let part = PartSeal::new(&key.recipients()).unwrap();
        let batches = seal_in_batches(&part, &plain, 2);
        assert!(stock_open(&key.file, &batches).unwrap() == plain, "{len} bytes in batches");
    }
}

#[test]
fn what_stock_age_sealed_is_opened() {
    let key = Key::age();
    for len in LENGTHS {
        let plain = payload(len);
        let sealed = stock_seal(&[&key.recipient], &plain);
        assert!(open_bytes(&key.identities(), &sealed).unwrap() == plain, "{len} bytes at once");
        assert!(open_in_batches(&key.identities(), &sealed, 1).unwrap() == plain, "{len} bytes by chunk");
        assert!(open_in_batches(&key.identities(), &sealed, 3).unwrap() == plain, "{len} bytes in batches");
    }
}

#[test]
fn the_age_crate_agrees_both_ways() {
    let (secret, recipient) = sealing::generate_identity();
    let identity: age::x25519::Identity = secret.expose_secret().parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("identity");
    std::fs::write(&file, secret.expose_secret()).unwrap();
    let identities = Identities::from_files(&[file]).unwrap();
    for len in LENGTHS {
        let plain = payload(len);
        let sealed = seal_bytes(&recipients(&[&recipient]), &plain).unwrap();
        let decryptor = age::Decryptor::new_buffered(&sealed[..]).unwrap();
        let mut opened = Vec::new();
        decryptor.decrypt(iter::once(&identity as _)).unwrap().read_to_end(&mut opened).unwrap();
        assert!(opened == plain, "{len} bytes read by the crate");

        let public = identity.to_public();
        let encryptor = age::Encryptor::with_recipients(iter::once(&public as _)).unwrap();
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
        writer.write_all(&plain).unwrap();
        writer.finish().unwrap();
        assert!(open_bytes(&identities, &sealed).unwrap() == plain, "{len} bytes written by the crate");
    }
}

#[test]
fn every_recipient_opens_and_no_other() {
    let keys = [
        Key::age(),
        Key::age(),
        Key::ssh(&["-t", "ed25519"], ""),
        Key::ssh(&["-t", "rsa", "-b", "2048"], ""),
        Key::ssh(&["-t", "rsa", "-b", "2048", "-m", "PEM"], ""),
    ];
    let lines: Vec<&str> = keys.iter().map(|key| key.recipient.as_str()).collect();
    let plain = payload(70_000);
    let ours = seal_bytes(&recipients(&lines), &plain).unwrap();
    let theirs = stock_seal(&lines, &plain);
    for key in &keys {
        assert!(stock_open(&key.file, &ours).unwrap() == plain, "{}", key.recipient);
        assert!(open_bytes(&key.identities(), &ours).unwrap() == plain, "{}", key.recipient);
        assert!(open_bytes(&key.identities(), &theirs).unwrap() == plain, "{}", key.recipient);
    }
    for stranger in [Key::age(), Key::ssh(&["-t", "ed25519"], "")] {
        stock_open(&stranger.file, &ours).unwrap_err();
        assert_eq!(open_bytes(&stranger.identities(), &ours).unwrap_err().code(), "seal.wrong_identity");
    }
}

#[test]
fn new_identities_are_what_age_keygen_takes() {
    let key = Key::age();
    let recipient = run(Command::new("age-keygen").arg("-y").arg(&key.file), b"").unwrap();
    assert_eq!(String::from_utf8(recipient).unwrap().trim(), key.recipient);

    let theirs = run(&mut Command::new("age-keygen"), b"").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("identity");
    std::fs::write(&file, &theirs).unwrap();
    let recipient = run(Command::new("age-keygen").arg("-y").arg(&file), b"").unwrap();
    let recipient = String::from_utf8(recipient).unwrap();
    let sealed = seal_bytes(&recipients(&[&recipient]), b"plain").unwrap();
    assert_eq!(open_bytes(&Identities::from_files(&[file]).unwrap(), &sealed).unwrap(), b"plain");
}
