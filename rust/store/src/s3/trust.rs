//! Which certificate authorities are trusted.
//!
//! The Rust SDK reads neither variable that users expect to work: `AWS_CA_BUNDLE` (the AWS tools') wins over `SSL_CERT_FILE` (OpenSSL's).
//! A bundle that can't be used is an error here, not a mysterious handshake failure later.

use std::ffi::OsStr;
use std::path::Path;

use aws_smithy_http_client::tls::TrustStore;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::StoreError;

pub(super) fn from_environment() -> Result<TrustStore, StoreError> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    choose(
        variable("AWS_CA_BUNDLE").as_deref(),
        variable("SSL_CERT_FILE").as_deref(),
        variable("SSL_CERT_DIR").is_some(),
    )
}

fn choose(
    aws_bundle: Option<&OsStr>,
    ssl_file: Option<&OsStr>,
    ssl_folder: bool,
) -> Result<TrustStore, StoreError> {
    match (aws_bundle, ssl_file) {
        (Some(path), _) => bundle("AWS_CA_BUNDLE", Path::new(path), TrustStore::empty()),
        // As with OpenSSL, SSL_CERT_DIR adds to SSL_CERT_FILE; the native loader reads it.
        (None, Some(path)) => {
            bundle("SSL_CERT_FILE", Path::new(path), TrustStore::empty().with_native_roots(ssl_folder))
        }
        (None, None) => Ok(TrustStore::default()),
    }
}

fn bundle(variable: &'static str, path: &Path, mut trust: TrustStore) -> Result<TrustStore, StoreError> {
    let refuse = |why: String| StoreError::config(variable, format!("{}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|fault| refuse(fault.to_string()))?;
    let mut usable = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|fault| refuse(format!("it is not a PEM bundle ({fault})")))?;
        // The SDK panics on a certificate that can't be an anchor (system bundles hold some): hand it only those that can.
        if RootCertStore::empty().add(certificate.clone()).is_ok() {
            trust.add_pem_certificate(to_pem(&certificate));
            usable += 1;
        }
    }
    if usable == 0 {
        return Err(refuse("it holds no usable certificate; it must be a file of PEM certificates".into()));
    }
    Ok(trust)
}

fn to_pem(certificate: &CertificateDer<'_>) -> Vec<u8> {
    let text = aws_smithy_types::base64::encode(certificate);
    let mut pem = b"-----BEGIN CERTIFICATE-----\n".to_vec();
    for line in text.as_bytes().chunks(64) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(b"-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "no certificate here\n").unwrap();
        let missing = folder.path().join("missing.pem");
        let fault =
            choose(Some(missing.as_os_str()), Some(empty.as_os_str()), false).unwrap_err().to_string();
        assert!(fault.contains("AWS_CA_BUNDLE") && fault.contains("missing.pem"), "{fault}");
        let fault = choose(None, Some(empty.as_os_str()), false).unwrap_err().to_string();
        assert!(fault.contains("SSL_CERT_FILE") && fault.contains("no usable certificate"), "{fault}");
        choose(None, None, false).unwrap();
    }
}
