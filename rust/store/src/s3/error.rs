//! What the SDK and the servers say, in the store's words.
//!
//! Servers differ in codes, and a HEAD's answer has no body at all, so the code decides first, then the status. The server's message is
//! repeated, but a word in it that looks like a key id is not.

use std::error::Error;
use std::time::SystemTime;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::watch::Stall;
use crate::error::{Place, StoreError};

/// How far clocks may differ before S3 refuses a signature, in seconds.
const SKEW_SECONDS: u64 = 15 * 60;

/// What was being done, and where.
pub(super) struct Context<'a> {
    pub(super) place: &'a Place,
    pub(super) bucket: &'a str,
    pub(super) region: &'a str,
}

pub(super) fn status<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

pub(super) fn translate<E>(error: &SdkError<E, HttpResponse>, context: &Context<'_>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let metadata = service.err();
            let said = Said::new(metadata.code(), metadata.message(), service.raw());
            said.translate(context)
        }
        SdkError::ResponseError(_) if broke_off(error) => from_connection(error, context.place),
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            let why = format!(
                "HTTP {status} with an answer that isn't S3's ({}); check `endpoint`",
                deepest(error)
            );
            StoreError::Other { place: context.place.clone(), why }
        }
        SdkError::TimeoutError(_) => {
            StoreError::Stalled { place: context.place.clone(), why: deepest(error) }
        }
        _ => from_connection(error, context.place),
    }
}

/// An error that never reached a server, or lost it.
pub(super) fn from_connection(error: &(dyn Error + 'static), place: &Place) -> StoreError {
    let place = place.clone();
    let chain = causes(error);
    let why = redact(&deepest(error));
    if let Some(cause) = chain.iter().find_map(|cause| cause.downcast_ref::<CredentialsError>()) {
        let why = match cause {
            // The provider's own text lists every place that it looked in, one a line.
            CredentialsError::CredentialsNotLoaded(_) => {
                "none found in the environment, the profile files or a role".into()
            }
            _ => why,
        };
        return StoreError::Credentials { place, why };
    }
    if chain.iter().any(|cause| cause.is::<rustls::Error>()) {
        return StoreError::Tls { place, why };
    }
    if let Some(stall) = chain.iter().find_map(|cause| cause.downcast_ref::<Stall>()) {
        return StoreError::Stalled { place, why: stall.to_string() };
    }
    StoreError::Unreachable { place, why }
}

/// Whether the server showed a certificate that nobody here vouches for.
pub(super) fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    let certificate = |cause: &rustls::Error| matches!(cause, rustls::Error::InvalidCertificate(_));
    causes(error).iter().any(|cause| cause.downcast_ref().is_some_and(certificate))
}

/// Whether an answer began well and then stopped or was cut.
fn broke_off(error: &(dyn Error + 'static)) -> bool {
    causes(error).iter().any(|cause| {
        cause.is::<Stall>() || cause.is::<std::io::Error>() || cause.to_string().contains("reading a body")
    })
}

/// The chain of causes; `io::Error` hides the error it wraps from `source()`.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut chain = Vec::new();
    let mut next: Option<&'a (dyn Error + 'static)> = Some(error);
    while let Some(cause) = next {
        chain.push(cause);
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    chain
}

fn deepest(error: &(dyn Error + 'static)) -> String {
    let text = causes(error).last().map(ToString::to_string).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A server's refusal.
struct Said {
    status: u16,
    code: String,
    message: String,
    /// The region that the server names as the right one.
    region: Option<String>,
    skew_seconds: u64,
}

impl Said {
    fn new(code: Option<&str>, message: Option<&str>, response: &HttpResponse) -> Self {
        let header = |name: &str| response.headers().get(name);
        let body = response.body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
        let message = message.unwrap_or_default();
        let region = header("x-amz-bucket-region")
            .map(str::to_owned)
            .or_else(|| between(&body, "<Region>", "</Region>"))
            .or_else(|| between(message, "expecting '", "'"))
            .filter(|region| {
                region.len() < 64 && region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            });
        Self {
            status: response.status().as_u16(),
            code: code.unwrap_or_default().to_owned(),
            message: redact(message),
            region,
            skew_seconds: header("date").map_or(0, skew_seconds),
        }
    }

    fn why(&self) -> String {
        let mut why = format!("HTTP {}", self.status);
        for part in [&self.code, &self.message].into_iter().filter(|part| !part.is_empty()) {
            why.push_str(if why.contains(' ') && why.contains(':') { " " } else { ": " });
            why.push_str(part);
        }
        why
    }

    fn translate(&self, context: &Context<'_>) -> StoreError {
        let (place, why) = (context.place.clone(), self.why());
        match self.code.as_str() {
            "NoSuchKey" | "NoSuchVersion" => StoreError::NotFound { place },
            "NoSuchBucket" => StoreError::NoSuchBucket { place, bucket: context.bucket.to_owned() },
            "RequestTimeTooSkewed" | "RequestExpired" => self.clock(place),
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "ExpiredToken"
            | "TokenRefreshRequired"
            | "MissingSecurityHeader"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException" => self.credentials_or_clock(place),
            "AuthorizationHeaderMalformed" => self.malformed(context),
            "PermanentRedirect"
            | "IllegalLocationConstraintException"
            | "IncorrectEndpoint"
            | "TemporaryRedirect" => self.wrong_region(context),
            "SlowDown"
            | "SlowDownRead"
            | "SlowDownWrite"
            | "ServiceUnavailable"
            | "Throttling"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "TooManyRequests"
            | "TooManyRequestsException"
            | "BandwidthLimitExceeded" => StoreError::Throttled { place, why },
            "BadDigest" | "InvalidDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" => {
                StoreError::Checksum { place, why }
            }
            "InternalError" => StoreError::Unreachable { place, why },
            "InvalidObjectState" | "ObjectNotInActiveTierError" => StoreError::Archived { place, why },
            "QuotaExceeded" | "XMinioStorageFull" | "StorageFull" | "InsufficientStorage" => {
                StoreError::Full { place, why }
            }
            "KeyTooLongError" => StoreError::InvalidKey { key: place.target, why },
            "InvalidStorageClass" => StoreError::InvalidConfig { option: "storage_class", why },
            "RequestTimeout" => StoreError::Stalled { place, why },
            _ => self.by_status(context),
        }
    }

    fn by_status(&self, context: &Context<'_>) -> StoreError {
        let (place, why) = (context.place.clone(), self.why());
        match self.status {
            200..=299 if self.code.is_empty() => StoreError::Other {
                place,
                why: format!("{why} with an answer that isn't S3's; check `endpoint`"),
            },
            301 | 307 => self.wrong_region(context),
            401 => self.credentials_or_clock(place),
            400 | 403 if self.skew_seconds > SKEW_SECONDS => self.clock(place),
            400 if self.region.as_deref().is_some_and(|region| region != context.region)
                && self.code.is_empty() =>
            {
                self.wrong_region(context)
            }
            403 if self.is_garages_credentials() => StoreError::Credentials { place, why },
            403 => StoreError::Forbidden { place, why },
            404 if self.code.is_empty() || self.code == "NotFound" => StoreError::NotFound { place },
            405 | 501 => StoreError::Unsupported { place, why },
            408 => StoreError::Stalled { place, why },
            412 => StoreError::AlreadyExists { place },
            429 | 503 => StoreError::Throttled { place, why },
            507 => StoreError::Full { place, why },
            500..=599 => StoreError::Unreachable { place, why },
            _ => StoreError::Other { place, why },
        }
    }

    fn clock(&self, place: Place) -> StoreError {
        let why = format!("about {} seconds; {}", self.skew_seconds, self.why());
        StoreError::ClockSkew { place, why }
    }

    fn credentials_or_clock(&self, place: Place) -> StoreError {
        if self.skew_seconds > SKEW_SECONDS {
            return self.clock(place);
        }
        // The server's sentence often quotes the key id: the code says enough.
        StoreError::Credentials { place, why: format!("HTTP {}: {}", self.status, self.code) }
    }

    /// Garage calls a strange key id and a wrong secret `AccessDenied`, as it calls missing rights; only its sentence differs.
    fn is_garages_credentials(&self) -> bool {
        ["Invalid signature", "No such key:"].iter().any(|sentence| self.message.contains(sentence))
    }

    /// Servers use this code for a wrong region, a strange key id and an old date alike.
    fn malformed(&self, context: &Context<'_>) -> StoreError {
        let other_region = self.region.as_deref().is_some_and(|region| region != context.region);
        if other_region || self.message.contains("region") {
            return self.wrong_region(context);
        }
        self.credentials_or_clock(context.place.clone())
    }

    fn wrong_region(&self, context: &Context<'_>) -> StoreError {
        StoreError::WrongRegion {
            place: context.place.clone(),
            used: context.region.to_owned(),
            expected: self.region.clone().filter(|region| region != context.region),
            why: format!("HTTP {}: {}", self.status, self.code),
        }
    }
}

fn skew_seconds(date: &str) -> u64 {
    let Ok(theirs) = DateTime::from_str(date, Format::HttpDate) else { return 0 };
    let ours = DateTime::from(SystemTime::now());
    ours.secs().abs_diff(theirs.secs())
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found.to_owned())
}

/// Take out what looks like a key id (AWS: AKIA..., ASIA...; Garage: GK...) or a long secret-like word.
fn redact(text: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_');
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !word(c)).unwrap_or(rest.len());
        let (token, tail) = rest.split_at(end);
        clean.push_str(if looks_secret(token) { "[redacted]" } else { token });
        let skip = tail.chars().next().map_or(0, char::len_utf8);
        clean.push_str(&tail[..skip]);
        rest = &tail[skip..];
    }
    clean
}

fn looks_secret(token: &str) -> bool {
    let id = ["AKIA", "ASIA", "GK"].iter().any(|start| token.starts_with(start));
    let (digit, letter) =
        (token.contains(|c: char| c.is_ascii_digit()), token.contains(|c: char| c.is_ascii_alphabetic()));
    digit && letter && (id && token.len() >= 16 || token.len() >= 32 && !token.starts_with('/'))
}

#[cfg(test)]
mod tests;
