use std::collections::BTreeSet;
use std::path::Path;

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("cannot read {name}")]
struct Outer {
    name: &'static str,
    source: std::io::Error,
}

fn outer() -> Outer {
    Outer { name: "part 7", source: std::io::Error::other("disk is gone") }
}

#[test]
fn a_wrapped_error_keeps_its_text_its_source_and_survives_a_clone() {
    let error = EngineError::wrap("store.io", outer()).with("key", "data/x").with("key", "later");
    let copy = error.clone();
    assert_eq!(copy.to_string(), "cannot read part 7: disk is gone");
    assert_eq!(copy.source().map(ToString::to_string).as_deref(), Some("disk is gone"));
    assert_eq!(copy.context["key"], "data/x");
    assert_eq!(copy.code, "store.io");
}

#[test]
fn a_flattened_error_tells_its_causes_once() {
    assert_eq!(EngineError::from_cause("store.io", &outer()).message, "cannot read part 7: disk is gone");
    let told = std::io::Error::other("plain");
    assert_eq!(EngineError::from_cause("store.io", &told).message, "plain");
}

#[test]
fn an_error_of_a_lower_crate_brings_its_code_and_text() {
    let lower = sendstream::Begin::parse(&[0; sendstream::HEADER_BYTES]).expect_err("zeros are no stream");
    let (code, text) = (lower.code(), lower.to_string());
    let error = EngineError::from(lower);
    assert_eq!((error.code.as_ref(), error.message), (code, text));
}

#[test]
fn only_a_cancelled_job_is_cancelled() {
    assert!(EngineError::cancelled("SIGTERM").is_cancelled());
    assert!(!EngineError::internal("x").is_cancelled() && !EngineError::bad_request("x").is_cancelled());
}

#[test]
fn the_list_holds_exactly_the_codes_that_the_sources_name() {
    let mut named = BTreeSet::new();
    for member in ["sendstream", "sealing", "format", "store", "engine"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(member).join("src");
        let before = named.len();
        collect(&folder, &mut named);
        assert!(named.len() > before, "no code found in {}", folder.display());
    }
    let listed: Vec<_> = named.iter().map(String::as_str).collect();
    assert_eq!(listed, ERROR_CODES, "ERROR_CODES is sorted and complete");
}

fn collect(folder: &Path, named: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        // The list itself and the tests prove nothing about who uses a code.
        if ["codes.rs", "tests", "tests.rs"].iter().any(|name| path.ends_with(name)) {
            continue;
        }
        if path.is_dir() {
            collect(&path, named);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path).expect("a source file");
            named.extend(source.split('"').filter(|text| is_code(text)).map(ToOwned::to_owned));
        }
    }
}

fn is_code(text: &str) -> bool {
    let Some((area, kind)) = text.split_once('.') else { return false };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    ["engine", "format", "package", "partial", "seal", "splice", "store", "stream", "token"].contains(&area)
        && !kind.is_empty()
        && kind.bytes().all(plain)
}
