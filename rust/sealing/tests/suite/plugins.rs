//! Plugin recipients and identities, through a toy plugin that stock `age` uses as well.
//!
//! Plugins are found on the PATH of the process, so the work is done by this test program run once more.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use sealing::{Identities, PartSeal, open_bytes, seal_bytes};

use crate::common::{Key, recipients, run, stock_open};

const RECIPIENT: &str = "age1toy1w3hhjuj5ahe";
const IDENTITY: &str = "AGE-PLUGIN-TOY-1W3HHJN6HVV8\n";
const MODE: &str = "SEALING_TEST_TOY_MODE";

/// Speaks <https://c2sp.org/age-plugin>; its "encryption" is a XOR. It refuses, or claims the post-quantum
/// label, when its mode says so.
const TOY: &str = r#"#!/usr/bin/env python3
import base64, os, sys

def unpad(text): return base64.b64decode(text + "=" * (-len(text) % 4))

def receive():
    head = sys.stdin.readline().split()
    body = ""
    while True:
        line = sys.stdin.readline().rstrip("\n")
        body += line
        if len(line) < 64:
            return head[1:], unpad(body)

def send(args, body=b""):
    text = base64.b64encode(body).decode().rstrip("=")
    lines = [text[i:i + 64] for i in range(0, len(text), 64)] or [""]
    if len(lines[-1]) == 64:
        lines.append("")
    sys.stdout.write("-> " + " ".join(args) + "\n" + "".join(line + "\n" for line in lines))
    sys.stdout.flush()

def ask(args, body=b""):
    send(args, body)
    return receive()

def toy(key): return bytes(byte ^ 0x5a for byte in key)

mode = os.environ["SEALING_TEST_TOY_MODE"]
received = []
while not received or received[-1][0][0] != "done":
    received.append(receive())
if mode == "die":
    sys.exit(1)
if mode == "refuse":
    ask(["error", "internal"], b"the toy\nis broken")
elif sys.argv[1] == "--age-plugin=recipient-v1":
    if mode == "label":
        ask(["labels", "postquantum"])
    for args, body in received:
        if args[0] == "wrap-file-key":
            ask(["recipient-stanza", "0", "toy"], toy(body))
else:
    for args, body in received:
        if args[:3] == ["recipient-stanza", "0", "toy"]:
            ask(["file-key", "0"], toy(body))
send(["done"])
"#;

/// Runs the test `name` of this program again, with the toy plugin on its PATH; `true` in that second run.
fn with_plugin(name: &str, mode: &str) -> bool {
    if std::env::var_os(MODE).is_some() {
        return true;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("age-plugin-toy");
    std::fs::write(&program, TOY).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", name]).env(MODE, mode).env("PATH", format!("{}:{path}", folder.path().display()));
    let output = run(&mut again, b"").unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(String::from_utf8_lossy(&output).contains("1 passed"), "{name} was not run again");
    false
}

fn identity_file(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("identity");
    std::fs::write(&path, IDENTITY).unwrap();
    path
}

#[test]
fn a_plugin_wraps_and_unwraps() {
    if !with_plugin("plugins::a_plugin_wraps_and_unwraps", "work") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = identity_file(folder.path());
    let identities = Identities::from_files(std::slice::from_ref(&path)).unwrap();
    let other = Key::age();
    let set = recipients(&[RECIPIENT, &other.recipient]);
    assert!(set.canonical().contains(&RECIPIENT.to_owned()));
    let sealed = seal_bytes(&set, b"plain").unwrap();
    assert_eq!(open_bytes(&identities, &sealed).unwrap(), b"plain");
    assert_eq!(open_bytes(&other.identities(), &sealed).unwrap(), b"plain");
    assert_eq!(stock_open(&path, &sealed).unwrap(), b"plain");
    let alone = seal_bytes(&recipients(&[RECIPIENT]), b"plain").unwrap();
    assert_eq!(stock_open(&path, &alone).unwrap(), b"plain");
    let foreign = seal_bytes(&other.recipients(), b"plain").unwrap();
    assert_eq!(open_bytes(&identities, &foreign).unwrap_err().code(), "seal.wrong_identity");
}

#[test]
fn a_plugin_that_refuses_is_quoted() {
    if !with_plugin("plugins::a_plugin_that_refuses_is_quoted", "refuse") {
        return;
    }
    let error = PartSeal::new(&recipients(&[RECIPIENT])).unwrap_err();
    assert_eq!(error.code(), "seal.plugin");
    assert!(error.to_string().contains("the toy is broken"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let other = Key::age();
    let sealed = seal_bytes(&other.recipients(), b"plain").unwrap();
    let toy = identity_file(folder.path());
    let error =
        open_bytes(&Identities::from_files(std::slice::from_ref(&toy)).unwrap(), &sealed).unwrap_err();
    assert!(error.to_string().contains("the toy is broken"), "{error}");
    // A plugin that fails does not hide the key that lies beside it.
    let both = Identities::from_files(&[toy, other.file.clone()]).unwrap();
    assert_eq!(open_bytes(&both, &sealed).unwrap(), b"plain");
}

#[test]
fn a_plugin_that_dies_is_an_error() {
    if !with_plugin("plugins::a_plugin_that_dies_is_an_error", "die") {
        return;
    }
    let error = PartSeal::new(&recipients(&[RECIPIENT])).unwrap_err();
    assert_eq!(error.code(), "seal.plugin");
    assert!(error.to_string().contains("without an answer"), "{error}");
}

#[test]
fn labels_of_plugins_are_honoured() {
    if !with_plugin("plugins::labels_of_plugins_are_honoured", "label") {
        return;
    }
    PartSeal::new(&recipients(&[RECIPIENT])).unwrap();
    let mixed = recipients(&[RECIPIENT, &Key::age().recipient]);
    assert_eq!(PartSeal::new(&mixed).unwrap_err().code(), "seal.recipient_set");
}
