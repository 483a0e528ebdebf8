//! The table of refusals, fed with answers as servers give them.

use aws_smithy_runtime_api::http::{Headers, StatusCode};
use aws_smithy_types::body::SdkBody;

use super::*;

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body));
    let mut all = Headers::new();
    for (name, value) in headers {
        all.insert(*name, (*value).to_owned());
    }
    *response.headers_mut() = all;
    response
}

fn translated(
    status: u16,
    code: &str,
    message: &str,
    headers: &[(&'static str, &str)],
    body: &str,
) -> StoreError {
    let place = Place::new("read", "s3://bucket/key".into());
    let context = Context { place: &place, bucket: "bucket", region: "us-east-1" };
    let code = (!code.is_empty()).then_some(code);
    Said::new(code, Some(message), &answer(status, headers, body)).translate(&context)
}

#[test]
fn each_refusal_has_its_code() {
    for (status, code, expected) in [
        (404, "NoSuchKey", "store.not_found"),
        (404, "", "store.not_found"),
        (404, "NoSuchBucket", "store.no_such_bucket"),
        (403, "AccessDenied", "store.forbidden"),
        (403, "InvalidAccessKeyId", "store.credentials"),
        (403, "SignatureDoesNotMatch", "store.credentials"),
        (400, "ExpiredToken", "store.credentials"),
        (403, "RequestTimeTooSkewed", "store.clock_skew"),
        (403, "InvalidObjectState", "store.archived"),
        (503, "SlowDown", "store.throttled"),
        (429, "", "store.throttled"),
        (400, "BadDigest", "store.checksum"),
        (412, "PreconditionFailed", "store.already_exists"),
        (501, "NotImplemented", "store.unsupported"),
        (507, "", "store.full"),
        (500, "InternalError", "store.unreachable"),
        (400, "RequestTimeout", "store.stalled"),
        (418, "Teapot", "store.other"),
    ] {
        assert_eq!(translated(status, code, "", &[], "").code(), expected, "{status} {code}");
    }
}

#[test]
fn garage_tells_credentials_from_rights_by_its_sentence() {
    for (sentence, expected) in [
        ("Forbidden: Invalid signature", "store.credentials"),
        ("Forbidden: No such key: GK0123456789abcdef01234567", "store.credentials"),
        ("Forbidden: Operation is not allowed for this key.", "store.forbidden"),
    ] {
        assert_eq!(translated(403, "AccessDenied", sentence, &[], "").code(), expected, "{sentence}");
    }
}

#[test]
fn absent_credentials_are_one_line() {
    let absent = CredentialsError::not_loaded(
        "no credentials found. Attempted:\n  environment: not set\n  profile: none",
    );
    let error = from_connection(&absent, &Place::new("read", "s3://bucket/key".into()));
    assert_eq!(error.code(), "store.credentials");
    let text = error.to_string();
    assert!(text.contains("none found") && !text.contains('\n'), "{text}");
}

#[test]
fn a_wrong_region_names_the_right_one() {
    let expected = |error: StoreError| match error {
        StoreError::WrongRegion { expected, .. } => expected,
        other => panic!("{other}"),
    };
    let redirect = translated(301, "PermanentRedirect", "", &[("x-amz-bucket-region", "eu-central-1")], "");
    assert!(redirect.to_string().contains("region: eu-central-1"), "{redirect}");
    let head = translated(400, "", "", &[("x-amz-bucket-region", "eu-west-1")], "");
    assert_eq!(expected(head).as_deref(), Some("eu-west-1"));
    let message =
        "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'ap-south-1'";
    let aws = translated(400, "AuthorizationHeaderMalformed", message, &[], "");
    assert_eq!(expected(aws).as_deref(), Some("ap-south-1"));
    let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>garage</Region></Error>";
    let garage = translated(400, "AuthorizationHeaderMalformed", "unexpected scope", &[], body);
    assert_eq!(expected(garage).as_deref(), Some("garage"));
}

#[test]
fn a_date_far_off_explains_a_refused_signature() {
    let old = [("date", "Sat, 01 Jan 2000 00:00:00 GMT")];
    assert_eq!(translated(403, "SignatureDoesNotMatch", "", &old, "").code(), "store.clock_skew");
    assert_eq!(translated(403, "", "", &old, "").code(), "store.clock_skew");
    assert_eq!(translated(404, "NoSuchKey", "", &old, "").code(), "store.not_found");
}

#[test]
fn key_ids_never_reach_a_text() {
    let message = "Forbidden: No such key: GK31c2f218a2e44f485b94239e, nor AKIAIOSFODNN7EXAMPLE.";
    let text = translated(403, "AccessDenied", message, &[], "").to_string();
    assert!(!text.contains("GK31") && !text.contains("AKIA") && text.contains("No such key"), "{text}");
    let secret =
        redact("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY is /a/long/path/that/is/no/secret/at/all/really");
    assert_eq!(secret, "[redacted] is /a/long/path/that/is/no/secret/at/all/really");
}

#[test]
fn a_cause_hidden_in_an_io_error_is_found() {
    let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let hidden = std::io::Error::other(tls);
    let place = Place::new("read", "s3://bucket/key".into());
    assert!(is_untrusted(&hidden), "and is not tried again");
    let error = from_connection(&hidden, &place);
    assert_eq!(error.code(), "store.tls");
    assert!(error.to_string().contains("AWS_CA_BUNDLE"), "{error}");
    let refused = std::io::Error::from_raw_os_error(111);
    assert_eq!(from_connection(&refused, &place).code(), "store.unreachable");
}
