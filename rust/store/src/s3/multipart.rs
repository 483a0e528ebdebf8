//! An object in pieces. Each piece declares its checksum; the whole is proved by one over all bytes (CRC64NVME), by one over the
//! pieces' checksums (CRC32C, SHA-256, MD5), or by reading it back (none).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::complete_multipart_upload::{
    CompleteMultipartUploadError, CompleteMultipartUploadOutput,
};
use aws_sdk_s3::operation::create_multipart_upload::builders::CreateMultipartUploadFluentBuilder;
use aws_sdk_s3::operation::upload_part::UploadPartOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumType, CompletedMultipartUpload, CompletedPart, StorageClass};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::base64;
use bytes::Bytes;

use super::retry::Attempts;
use super::verify::{Expected, Reply};
use super::{Address, Shared, error, put, unfinished, verify};
use crate::MultipartUpload;
use crate::checksum::{self, ChecksumAlgorithm, ChecksumKind, StoreChecksum};
use crate::error::StoreError;
use crate::object::{PutOptions, Receipt};

/// S3's highest piece number (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>).
const MAX_PIECES: u32 = 10_000;

struct S3Upload {
    shared: Arc<Shared>,
    address: Address,
    upload_id: String,
    if_absent: bool,
    pieces: Mutex<BTreeMap<u32, Piece>>,
}

#[derive(Clone)]
struct Piece {
    raw: Vec<u8>,
    crc64: u64,
    length: u64,
    e_tag: Option<String>,
}

pub(super) async fn begin(
    shared: Arc<Shared>,
    key: &str,
    options: &PutOptions,
) -> Result<Arc<dyn MultipartUpload>, StoreError> {
    let address = shared.address("store", key)?;
    let request = shared
        .client
        .create_multipart_upload()
        .bucket(&shared.bucket)
        .key(&address.full)
        .set_content_type(options.content_type.map(str::to_owned))
        .set_storage_class(options.storage_class.as_deref().map(StorageClass::from));
    let output = announce(request, shared.algorithm)
        .customize()
        .config_override(shared.briefly())
        .send()
        .await
        .map_err(|error| shared.failure(&error, &address.place))?;
    shared.bucket_seen.store(true, Ordering::Relaxed);
    let upload_id = output.upload_id().map(str::to_owned).ok_or_else(|| StoreError::Other {
        place: address.place.clone(),
        why: "the store named no upload".into(),
    })?;
    let if_absent = options.if_absent;
    Ok(Arc::new(S3Upload { shared, address, upload_id, if_absent, pieces: Mutex::default() }))
}

fn announce(
    request: CreateMultipartUploadFluentBuilder,
    algorithm: ChecksumAlgorithm,
) -> CreateMultipartUploadFluentBuilder {
    let kind = match algorithm {
        ChecksumAlgorithm::Crc64Nvme => Some(ChecksumType::FullObject),
        ChecksumAlgorithm::Crc32c | ChecksumAlgorithm::Sha256 => Some(ChecksumType::Composite),
        ChecksumAlgorithm::Md5 | ChecksumAlgorithm::None => None,
    };
    request.set_checksum_algorithm(algorithm.on_the_wire()).set_checksum_type(kind)
}

impl S3Upload {
    fn refuse(&self, why: String) -> StoreError {
        StoreError::Unsupported { place: self.address.place.clone(), why }
    }

    async fn send_piece(
        &self,
        number: i32,
        body: &Bytes,
        raw: &[u8],
    ) -> Result<UploadPartOutput, StoreError> {
        let request = self
            .shared
            .client
            .upload_part()
            .bucket(&self.shared.bucket)
            .key(&self.address.full)
            .upload_id(&self.upload_id)
            .part_number(number)
            .set_checksum_algorithm(self.shared.algorithm.on_the_wire())
            .body(ByteStream::from(body.clone()));
        let request = match self.shared.algorithm {
            ChecksumAlgorithm::Crc64Nvme => request.checksum_crc64_nvme(base64::encode(raw)),
            ChecksumAlgorithm::Crc32c => request.checksum_crc32_c(base64::encode(raw)),
            ChecksumAlgorithm::Sha256 => request.checksum_sha256(base64::encode(raw)),
            ChecksumAlgorithm::Md5 => request.content_md5(base64::encode(raw)),
            ChecksumAlgorithm::None => request,
        };
        let request = request.customize().config_override(self.shared.for_upload(&Arc::default()));
        let sent = if self.shared.unsigned_payload {
            request.disable_payload_signing().send().await
        } else {
            request.send().await
        };
        sent.map_err(|error| self.shared.failure(&error, &self.address.place))
    }

    /// A piece's own reply may already show damage; the final checksum decides in any case.
    fn compare_piece(&self, number: u32, raw: &[u8], output: &UploadPartOutput) -> Result<(), StoreError> {
        let named = match self.shared.algorithm {
            ChecksumAlgorithm::Crc64Nvme => output.checksum_crc64_nvme(),
            ChecksumAlgorithm::Crc32c => output.checksum_crc32_c(),
            ChecksumAlgorithm::Sha256 => output.checksum_sha256(),
            ChecksumAlgorithm::Md5 | ChecksumAlgorithm::None => None,
        };
        let ours = base64::encode(raw);
        match named {
            Some(named) if named != ours => Err(StoreError::Checksum {
                place: self.address.place.clone(),
                why: format!("the checksum of piece {number} is {named}, sent was {ours}"),
            }),
            _ => Ok(()),
        }
    }

    /// All pieces in order, without a gap.
    fn arrived(&self) -> Result<Vec<Piece>, StoreError> {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = (1_u32..).zip(pieces.keys()).find(|(wanted, number)| wanted != *number);
        if pieces.is_empty() || missing.is_some() {
            let number = missing.map_or(1, |(wanted, _)| wanted);
            return Err(self.refuse(format!("piece {number} never came")));
        }
        Ok(pieces.values().cloned().collect())
    }

    fn expected(&self, pieces: &[Piece]) -> Expected {
        let crc64 = checksum::combine_crc64(pieces.iter().map(|piece| (piece.crc64, piece.length)));
        let algorithm = self.shared.algorithm;
        let checksum = match algorithm {
            ChecksumAlgorithm::Crc64Nvme | ChecksumAlgorithm::None => {
                StoreChecksum::full(algorithm, checksum::encode_crc64(crc64))
            }
            _ => {
                let raw: Vec<_> = pieces.iter().map(|piece| piece.raw.clone()).collect();
                let value = checksum::composite(algorithm, &raw);
                StoreChecksum { algorithm, kind: ChecksumKind::Composite, value }
            }
        };
        Expected { checksum, length: pieces.iter().map(|piece| piece.length).sum(), crc64 }
    }

    async fn send_complete(
        &self,
        pieces: &[Piece],
        expected: &Expected,
        conditional: bool,
        attempts: &Arc<Attempts>,
    ) -> Result<CompleteMultipartUploadOutput, SdkError<CompleteMultipartUploadError, HttpResponse>> {
        let algorithm = self.shared.algorithm;
        let parts = (1..).zip(pieces).map(|(number, piece)| completed(algorithm, number, piece)).collect();
        let mut request = self
            .shared
            .client
            .complete_multipart_upload()
            .bucket(&self.shared.bucket)
            .key(&self.address.full)
            .upload_id(&self.upload_id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .set_if_none_match(conditional.then(|| "*".to_owned()));
        if algorithm == ChecksumAlgorithm::Crc64Nvme {
            request =
                request.checksum_type(ChecksumType::FullObject).checksum_crc64_nvme(&expected.checksum.value);
        }
        request.customize().config_override(self.shared.for_upload(attempts)).send().await
    }
}

fn completed(algorithm: ChecksumAlgorithm, number: i32, piece: &Piece) -> CompletedPart {
    let part = CompletedPart::builder().part_number(number).set_e_tag(piece.e_tag.clone());
    let value = base64::encode(&piece.raw);
    let part = match algorithm {
        ChecksumAlgorithm::Crc64Nvme => part.checksum_crc64_nvme(value),
        ChecksumAlgorithm::Crc32c => part.checksum_crc32_c(value),
        ChecksumAlgorithm::Sha256 => part.checksum_sha256(value),
        ChecksumAlgorithm::Md5 | ChecksumAlgorithm::None => part,
    };
    part.build()
}

#[async_trait]
impl MultipartUpload for S3Upload {
    async fn put_piece(&self, number: u32, body: Bytes) -> Result<(), StoreError> {
        if number == 0 || number > MAX_PIECES {
            return Err(self.refuse(format!("pieces are numbered from 1 to {MAX_PIECES}")));
        }
        let (raw, crc64) = put::sums(self.shared.algorithm, &body, None, &self.address.place).await?;
        let wire_number = i32::try_from(number).map_err(|fault| self.refuse(fault.to_string()))?;
        let output = self.send_piece(wire_number, &body, &raw).await?;
        self.compare_piece(number, &raw, &output)?;
        let e_tag = output.e_tag().map(str::to_owned);
        let piece = Piece { raw, crc64, length: body.len() as u64, e_tag };
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner).insert(number, piece);
        Ok(())
    }

    async fn complete(&self) -> Result<Receipt, StoreError> {
        let pieces = self.arrived()?;
        let expected = self.expected(&pieces);
        let conditional = self.shared.sends_conditions(self.if_absent);
        let attempts = Arc::default();
        let mut sent = self.send_complete(&pieces, &expected, conditional, &attempts).await;
        if conditional && sent.as_ref().is_err_and(|error| error::status(error) == Some(501)) {
            self.shared.refuses_conditional.store(true, Ordering::Relaxed);
            sent = self.send_complete(&pieces, &expected, false, &attempts).await;
        }
        match sent {
            Ok(output) => {
                let checksum = match self.shared.algorithm {
                    ChecksumAlgorithm::Crc64Nvme => output.checksum_crc64_nvme(),
                    ChecksumAlgorithm::Crc32c => output.checksum_crc32_c(),
                    ChecksumAlgorithm::Sha256 => output.checksum_sha256(),
                    ChecksumAlgorithm::Md5 | ChecksumAlgorithm::None => None,
                };
                let reply =
                    Reply { checksum: checksum.map(str::to_owned), e_tag: output.e_tag().map(str::to_owned) };
                verify::prove(&self.shared, &self.address, &expected, reply).await
            }
            Err(error) => {
                let refusal = self.shared.failure(&error, &self.address.place);
                let taken = matches!(refusal, StoreError::AlreadyExists { .. }) && attempts.were_several();
                if taken || error::code(&error) == Some("NoSuchUpload") {
                    return verify::stored_unheard(&self.shared, &self.address, &expected, refusal).await;
                }
                Err(refusal)
            }
        }
    }

    async fn abort(&self) -> Result<(), StoreError> {
        unfinished::abort(&self.shared, &self.address, &self.upload_id).await
    }
}
