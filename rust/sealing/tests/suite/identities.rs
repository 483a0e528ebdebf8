//! Identity files: what is read, and what is refused in words that help and do not leak.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use age_core::format::{FileKey, Stanza};
use sealing::{Identities, SealError, open_bytes, seal_bytes};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use crate::common::{Key, bech32, recipients, run};

fn read(paths: &[&Path]) -> Result<Identities, SealError> {
    Identities::from_files(&paths.iter().map(|path| path.to_path_buf()).collect::<Vec<_>>())
}

fn file(content: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity");
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

fn refusal(content: &[u8]) -> SealError {
    let (_folder, path) = file(content);
    let error = read(&[&path]).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    error
}

#[test]
fn several_identities_a_file_and_several_files() {
    let keys: Vec<_> = (0..3).map(|_| sealing::generate_identity()).collect();
    let text = format!(
        "# created: today\r\n# public key: {}\r\n{}\r\n\r\n  {}  \n",
        keys[0].1,
        keys[0].0.expose_secret(),
        keys[1].0.expose_secret()
    );
    let (_one, first) = file(text.as_bytes());
    let (_two, second) = file(keys[2].0.expose_secret().as_bytes());
    let ssh = Key::ssh(&["-t", "ed25519"], "");
    let identities = read(&[&first, &second, &ssh.file]).unwrap();
    for recipient in keys.iter().map(|key| &key.1).chain([&ssh.recipient]) {
        let sealed = seal_bytes(&recipients(&[recipient]), b"plain").unwrap();
        assert_eq!(open_bytes(&identities, &sealed).unwrap(), b"plain", "{recipient}");
    }
    assert_eq!(format!("{identities:?}"), "Identities { count: 4, .. }");
}

#[test]
fn an_ssh_key_without_a_final_line_end_is_read() {
    let key = Key::ssh(&["-t", "ed25519"], "");
    let text = std::fs::read_to_string(&key.file).unwrap();
    let (_folder, path) = file(text.trim_end().as_bytes());
    let sealed = seal_bytes(&key.recipients(), b"plain").unwrap();
    assert_eq!(open_bytes(&read(&[&path]).unwrap(), &sealed).unwrap(), b"plain");
}

#[test]
fn files_that_cannot_be_read() {
    assert_eq!(read(&[]).unwrap_err().code(), "seal.no_identities");
    let folder = tempfile::tempdir().unwrap();
    for (path, needle) in [(folder.path().join("none"), "No such file"), (folder.path().into(), "directory")]
    {
        let error = read(&[&path]).unwrap_err();
        assert_eq!(error.code(), "seal.identity_file");
        assert!(error.to_string().contains(needle), "{error}");
    }
}

#[test]
fn files_that_hold_no_identity() {
    let public = Key::age().recipient;
    let pq = bech32("age-secret-key-pq-", &[1; 32]).to_uppercase();
    let ecdsa = std::fs::read(Key::ssh(&["-t", "ecdsa"], "").file).unwrap();
    let big = b"# a comment\n".repeat(100_000);
    for (content, needle) in [
        (&b""[..], "holds no identity"),
        (b"# nothing\n\n", "holds no identity"),
        (public.as_bytes(), "public recipient"),
        (b"# one\nhello\n", "line 2"),
        (pq.as_bytes(), "post-quantum"),
        (b"\xff\xfe\x00binary", "not text"),
        (&big, "1 MiB"),
        (&ecdsa, "ecdsa-sha2-nistp256"),
        (b"-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n", "ssh-keygen -p"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "ssh-keygen -p"),
    ] {
        let error = refusal(content);
        assert_eq!(error.code(), "seal.identity_file", "{error}");
        assert!(error.to_string().contains(needle), "{error}");
    }
}

#[test]
fn a_damaged_identity_is_named_by_line_only() {
    let secret = sealing::generate_identity().0;
    let damaged = secret.expose_secret().replace("KEY-1", "KEY-1QQ");
    let error = refusal(format!("# mine\n{damaged}\n").as_bytes());
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(text.contains("line 2") && text.contains("checksum"), "{text}");
        assert!(!text.contains(&damaged[20..]), "{text}");
    }
}

#[test]
fn a_passphrase_protected_age_identity_tells_how_to_decrypt_it() {
    let passphrase = age::scrypt::Recipient::new(SecretString::from("correct horse".to_owned()));
    let secret = sealing::generate_identity().0;
    let binary = age::encrypt(&passphrase, secret.expose_secret().as_bytes()).unwrap();
    let armored = age::encrypt_and_armor(&passphrase, secret.expose_secret().as_bytes()).unwrap();
    for content in [binary, armored.into_bytes()] {
        let error = refusal(&content);
        assert_eq!(error.code(), "seal.identity_encrypted");
        assert!(error.to_string().contains("age --decrypt"), "{error}");
    }
}

#[test]
fn a_passphrase_protected_ssh_key_tells_how_to_decrypt_it() {
    for options in
        [&["-t", "ed25519"][..], &["-t", "rsa", "-b", "2048"], &["-t", "rsa", "-b", "2048", "-m", "PEM"]]
    {
        let key = Key::ssh(options, "correct horse");
        let error = read(&[&key.file]).unwrap_err();
        assert_eq!(error.code(), "seal.identity_encrypted", "{error}");
        assert!(error.to_string().contains("ssh-keygen -p -N '' -f"), "{error}");

        // The advice holds: that command, with the passphrase typed, makes a file that is read.
        let mut keygen = Command::new("ssh-keygen");
        run(keygen.args(["-p", "-P", "correct horse", "-N", "", "-f"]).arg(&key.file), b"").unwrap();
        let sealed = seal_bytes(&key.recipients(), b"plain").unwrap();
        assert_eq!(open_bytes(&key.identities(), &sealed).unwrap(), b"plain");
    }
}

#[test]
fn a_missing_plugin_is_named() {
    let error = {
        let (_folder, path) = file(b"AGE-PLUGIN-ABSENT-10QCT44TD\n");
        read(&[&path]).unwrap_err()
    };
    assert_eq!(error.code(), "seal.plugin");
    assert!(error.to_string().contains("age-plugin-absent"), "{error}");
}

/// Writes a stanza that X25519 identities take for theirs and stumble over.
struct Malformed;

impl age::Recipient for Malformed {
    fn wrap_file_key(&self, _: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let stanza = Stanza { tag: "X25519".into(), args: vec!["short".into()], body: vec![] };
        Ok((vec![stanza], HashSet::new()))
    }
}

#[test]
fn a_failing_identity_does_not_hide_the_one_that_fits() {
    let (age, ssh) = (Key::age(), Key::ssh(&["-t", "ed25519"], ""));
    let fitting: age::ssh::Recipient = ssh.recipient.parse().unwrap();
    let both: [&dyn age::Recipient; 2] = [&Malformed, &fitting];
    let mut sealed = Vec::new();
    let encryptor = age::Encryptor::with_recipients(both.into_iter()).unwrap();
    let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
    writer.write_all(b"plain").unwrap();
    writer.finish().unwrap();

    let error = open_bytes(&read(&[&age.file]).unwrap(), &sealed).unwrap_err();
    assert_eq!(error.code(), "seal.corrupt_header");
    assert_eq!(open_bytes(&read(&[&age.file, &ssh.file]).unwrap(), &sealed).unwrap(), b"plain");
}
