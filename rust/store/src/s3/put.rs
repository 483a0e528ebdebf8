//! Storing one object with one request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::put_object::{PutObjectError, PutObjectOutput};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::StorageClass;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::base64;
use bytes::Bytes;

use super::retry::Attempts;
use super::verify::{Expected, Reply};
use super::{Address, Shared, error, verify};
use crate::checksum::{self, ChecksumAlgorithm, StoreChecksum};
use crate::error::{Place, StoreError};
use crate::object::{PutOptions, Receipt};

/// Hashing more than this would hold up the reactor.
const HASH_INLINE_BYTES: usize = 256 * 1024;

pub(super) async fn put(
    shared: &Arc<Shared>,
    key: &str,
    body: Bytes,
    options: &PutOptions,
) -> Result<Receipt, StoreError> {
    let place = shared.place("store", key);
    let (raw, crc64) = sums(shared.algorithm, &body, options.body_crc64, &place).await?;
    let address = shared.address("store", key)?;
    put_summed(shared, &address, body, (raw, crc64), options).await
}

#[cfg(any(test, feature = "conformance"))]
pub(super) async fn put_declaring(
    shared: &Arc<Shared>,
    key: &str,
    body: Bytes,
    raw: Vec<u8>,
    options: &PutOptions,
) -> Result<Receipt, StoreError> {
    let address = shared.address("store", key)?;
    let crc64 = checksum::crc64(&body);
    put_summed(shared, &address, body, (raw, crc64), options).await
}

/// The declared checksum's raw bytes and the CRC64NVME, computed off the reactor.
pub(super) async fn sums(
    algorithm: ChecksumAlgorithm,
    body: &Bytes,
    known_crc64: Option<u64>,
    place: &Place,
) -> Result<(Vec<u8>, u64), StoreError> {
    if let (ChecksumAlgorithm::Crc64Nvme, Some(crc64)) = (algorithm, known_crc64) {
        // The store computes it itself, so a pass over the bytes here would prove nothing more.
        return Ok((crc64.to_be_bytes().to_vec(), crc64));
    }
    let bytes = body.clone();
    let work = move || checksum::raw_and_crc64(algorithm, &bytes);
    let (raw, crc64) = if body.len() <= HASH_INLINE_BYTES {
        work()
    } else {
        tokio::task::spawn_blocking(work).await.map_err(|fault| StoreError::Other {
            place: place.clone(),
            why: format!("hashing broke off: {fault}"),
        })?
    };
    match known_crc64.filter(|known| *known != crc64) {
        Some(known) => {
            let why = format!(
                "the CRC64NVME was {known:016x}, before sending it is {crc64:016x}: check the memory"
            );
            Err(StoreError::Checksum { place: place.clone(), why })
        }
        None => Ok((raw, crc64)),
    }
}

async fn put_summed(
    shared: &Arc<Shared>,
    address: &Address,
    body: Bytes,
    (raw, crc64): (Vec<u8>, u64),
    options: &PutOptions,
) -> Result<Receipt, StoreError> {
    let (conditional, length) = (shared.sends_conditions(options.if_absent), body.len() as u64);
    let value =
        if shared.algorithm == ChecksumAlgorithm::Md5 { checksum::hex(&raw) } else { base64::encode(&raw) };
    let expected = Expected { checksum: StoreChecksum::full(shared.algorithm, value), length, crc64 };
    let object = Object { address, body, raw: &raw, options, attempts: Arc::default() };
    let mut sent = send(shared, &object, conditional).await;
    if conditional && sent.as_ref().is_err_and(|error| error::status(error) == Some(501)) {
        shared.refuses_conditional.store(true, Ordering::Relaxed);
        sent = send(shared, &object, false).await;
    }
    let proof = match sent {
        Ok(output) => {
            shared.bucket_seen.store(true, Ordering::Relaxed);
            verify::prove(shared, address, &expected, reply(shared.algorithm, &output)).await
        }
        Err(error) => {
            let refusal = shared.failure(&error, &address.place);
            let ours = matches!(refusal, StoreError::AlreadyExists { .. }) && object.attempts.were_several();
            if ours {
                verify::stored_unheard(shared, address, &expected, refusal).await
            } else {
                Err(refusal)
            }
        }
    };
    let mut receipt = proof?;
    if receipt.checksum.algorithm == ChecksumAlgorithm::Md5 && receipt.checksum.kind == expected.checksum.kind
    {
        receipt.checksum.value = base64::encode(&raw);
    }
    Ok(receipt)
}

/// What is sent, perhaps more than once.
struct Object<'a> {
    address: &'a Address,
    body: Bytes,
    raw: &'a [u8],
    options: &'a PutOptions,
    attempts: Arc<Attempts>,
}

async fn send(
    shared: &Shared,
    object: &Object<'_>,
    conditional: bool,
) -> Result<PutObjectOutput, SdkError<PutObjectError, HttpResponse>> {
    let Object { address, body, raw, options, attempts } = object;
    let request = shared
        .client
        .put_object()
        .bucket(&shared.bucket)
        .key(&address.full)
        .body(ByteStream::from(body.clone()))
        .set_content_type(options.content_type.map(str::to_owned))
        .set_storage_class(options.storage_class.as_deref().map(StorageClass::from))
        // The SDK sends the value below as it is; some servers keep a checksum only if its algorithm is announced too.
        .set_checksum_algorithm(shared.algorithm.on_the_wire())
        .set_if_none_match(conditional.then(|| "*".to_owned()));
    let request = match shared.algorithm {
        ChecksumAlgorithm::Crc64Nvme => request.checksum_crc64_nvme(base64::encode(raw)),
        ChecksumAlgorithm::Crc32c => request.checksum_crc32_c(base64::encode(raw)),
        ChecksumAlgorithm::Sha256 => request.checksum_sha256(base64::encode(raw)),
        ChecksumAlgorithm::Md5 => request.content_md5(base64::encode(raw)),
        ChecksumAlgorithm::None => request,
    };
    let request = request.customize().config_override(shared.for_upload(attempts));
    if shared.unsigned_payload {
        request.disable_payload_signing().send().await
    } else {
        request.send().await
    }
}

fn reply(algorithm: ChecksumAlgorithm, output: &PutObjectOutput) -> Reply {
    let checksum = match algorithm {
        ChecksumAlgorithm::Crc64Nvme => output.checksum_crc64_nvme(),
        ChecksumAlgorithm::Crc32c => output.checksum_crc32_c(),
        ChecksumAlgorithm::Sha256 => output.checksum_sha256(),
        ChecksumAlgorithm::Md5 | ChecksumAlgorithm::None => None,
    };
    Reply { checksum: checksum.map(str::to_owned), e_tag: output.e_tag().map(str::to_owned) }
}
