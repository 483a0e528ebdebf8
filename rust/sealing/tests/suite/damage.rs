//! Whatever happens to a sealed file, it is noticed, named, and no unchecked byte comes out.

use sealing::{PartOpen, PartSeal, SEALED_CHUNK_BYTES, SealError, open_bytes, seal_bytes};

use crate::common::{Key, open_in_batches, payload, seal_in_batches};

fn sealed(key: &Key, len: usize) -> (Vec<u8>, usize) {
    let file = seal_bytes(&key.recipients(), &payload(len)).unwrap();
    let (_, start) = PartOpen::new(&file, &key.identities()).unwrap();
    (file, start)
}

#[test]
fn every_flipped_header_bit_is_noticed() {
    let key = Key::age();
    let identities = key.identities();
    let (file, start) = sealed(&key, 10);
    for at in 0..start - 16 {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            let code = open_bytes(&identities, &damaged).unwrap_err().code();
            let expected = ["seal.corrupt_header", "seal.wrong_identity", "seal.not_age", "seal.truncated"];
            assert!(expected.contains(&code), "{code} for bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_flipped_nonce_bit_spoils_the_first_chunk() {
    let key = Key::age();
    let (file, start) = sealed(&key, 200_000);
    for at in start - 16..start {
        let mut damaged = file.clone();
        damaged[at] ^= 0x10;
        let error = open_bytes(&key.identities(), &damaged).unwrap_err();
        assert!(matches!(error, SealError::Corrupt { chunk: 0 }), "{error:?}");
    }
}

#[test]
fn a_flipped_payload_or_tag_bit_names_its_chunk() {
    let key = Key::age();
    for len in [1, 65536, 200_000, 262_144] {
        let (file, start) = sealed(&key, len);
        for chunk in 0..(file.len() - start).div_ceil(SEALED_CHUNK_BYTES) {
            let slot = start + chunk * SEALED_CHUNK_BYTES;
            let end = (slot + SEALED_CHUNK_BYTES).min(file.len());
            for at in [slot, slot.midpoint(end), end - 17, end - 16, end - 1] {
                let mut damaged = file.clone();
                damaged[at] ^= 0x80;
                for error in [
                    open_bytes(&key.identities(), &damaged).unwrap_err(),
                    open_in_batches(&key.identities(), &damaged, 1).unwrap_err(),
                ] {
                    assert!(
                        matches!(error, SealError::Corrupt { chunk: c } if c == chunk as u64),
                        "{error:?} for byte {at} of {len}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_chunk_that_fails_is_wiped() {
    let key = Key::age();
    let (file, start) = sealed(&key, 400_000);
    let (part, _) = PartOpen::new(&file, &key.identities()).unwrap();
    let mut slots = file[start..].to_vec();
    slots[2 * SEALED_CHUNK_BYTES + 5] ^= 1;
    part.open_slots(0, true, &mut slots).unwrap_err();
    assert!(slots[2 * SEALED_CHUNK_BYTES..3 * SEALED_CHUNK_BYTES].iter().all(|&byte| byte == 0));
}

#[test]
fn a_chunk_that_fails_spoils_no_other() {
    let key = Key::age();
    let plain = payload(400_000);
    let (file, start) = sealed(&key, plain.len());
    let (part, _) = PartOpen::new(&file, &key.identities()).unwrap();
    for (bad, chunk) in plain.chunks(65536).enumerate() {
        let mut slots = file[start..].to_vec();
        slots[bad * SEALED_CHUNK_BYTES + 5] ^= 1;
        part.open_slots(0, true, &mut slots).unwrap_err();
        let mut expected = plain.clone();
        expected[bad * 65536..bad * 65536 + chunk.len()].fill(0);
        assert!(sealing::plain_chunks(&slots).collect::<Vec<_>>().concat() == expected, "chunk {bad}");
    }
}

#[test]
fn chunks_out_of_place_are_noticed() {
    let key = Key::age();
    let (file, start) = sealed(&key, 4 * 65536);
    let mut swapped = file.clone();
    let (first, second) = swapped[start..].split_at_mut(SEALED_CHUNK_BYTES);
    first.swap_with_slice(&mut second[..SEALED_CHUNK_BYTES]);
    let error = open_bytes(&key.identities(), &swapped).unwrap_err();
    assert!(matches!(error, SealError::Corrupt { chunk: 0 }), "{error:?}");

    let mut missing = file[..start].to_vec();
    missing.extend_from_slice(&file[start + SEALED_CHUNK_BYTES..]);
    let error = open_bytes(&key.identities(), &missing).unwrap_err();
    assert!(matches!(error, SealError::Corrupt { chunk: 0 }), "{error:?}");
}

#[test]
fn a_header_that_ends_early_asks_for_more() {
    let key = Key::age();
    let (file, start) = sealed(&key, 1000);
    for end in 0..start {
        let error = PartOpen::new(&file[..end], &key.identities()).unwrap_err();
        assert!(matches!(error, SealError::NeedMore), "{error:?} at {end}");
        assert_eq!(open_bytes(&key.identities(), &file[..end]).unwrap_err().code(), "seal.truncated");
    }
    let (_, offset) = PartOpen::new(&file[..start], &key.identities()).unwrap();
    assert_eq!(offset, start);
}

#[test]
fn a_payload_that_ends_early_is_noticed_wherever_it_ends() {
    const FULL: usize = SEALED_CHUNK_BYTES;
    let key = Key::age();
    for len in [200_000, 3 * 65536] {
        let (file, start) = sealed(&key, len);
        let cuts = [0, 1, 15, 16, 17, FULL - 1, FULL, FULL + 1, FULL + 15, FULL + 16, FULL + 17, 2 * FULL];
        for cut in cuts.into_iter().chain([file.len() - start - 1, file.len() - start - 17]) {
            let error = open_bytes(&key.identities(), &file[..start + cut]).unwrap_err();
            let whole = (cut / FULL) as u64;
            if cut % FULL <= 15 || (cut % FULL == 16 && cut > FULL) {
                assert!(
                    matches!(error, SealError::Truncated { chunk } if chunk == whole),
                    "{error:?} at {cut}"
                );
            } else {
                assert!(
                    matches!(error, SealError::Corrupt { chunk } if chunk == whole),
                    "{error:?} at {cut}"
                );
            }
        }
    }
}

#[test]
fn bytes_behind_the_end_are_noticed() {
    let key = Key::age();
    for len in [0, 1000, 65536, 131_072] {
        let (file, _) = sealed(&key, len);
        for more in [1, 15, 16, 17, 65552, 65553] {
            let mut longer = file.clone();
            longer.resize(file.len() + more, 7);
            let code = open_bytes(&key.identities(), &longer).unwrap_err().code();
            assert!(["seal.corrupt", "seal.truncated"].contains(&code), "{code}: {more} bytes behind {len}");
        }
    }
}

#[test]
fn a_payload_without_its_last_chunk_mark_is_refused() {
    let key = Key::age();
    let part = PartSeal::new(&key.recipients()).unwrap();
    let mut slots = vec![3; 2 * SEALED_CHUNK_BYTES];
    part.seal_slots(0, false, &mut slots).unwrap();
    let file = [part.header(), &slots].concat();
    let error = open_bytes(&key.identities(), &file).unwrap_err();
    assert!(matches!(error, SealError::Truncated { chunk: 2 }), "{error:?}");
    crate::common::stock_open(&key.file, &file).unwrap_err();
}

#[test]
fn a_chunk_marked_last_cannot_stand_in_the_middle() {
    let key = Key::age();
    let part = PartSeal::new(&key.recipients()).unwrap();
    let file = seal_in_batches(&part, &payload(131_072), 2);
    let (opener, start) = PartOpen::new(&file, &key.identities()).unwrap();
    let mut slots = file[start..].to_vec();
    let error = opener.open_slots(0, false, &mut slots).unwrap_err();
    assert!(matches!(error, SealError::Corrupt { chunk: 1 }), "{error:?}");
}

#[test]
fn what_is_no_age_file_is_named() {
    let key = Key::age();
    for (bytes, needle) in [
        (&b"PK\x03\x04 something else"[..], "does not begin"),
        (b"age-encryption.org/v2\n-> X 1\n", "another version"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl", "armored"),
    ] {
        let error = open_bytes(&key.identities(), bytes).unwrap_err();
        assert_eq!(error.code(), "seal.not_age");
        assert!(error.to_string().contains(needle), "{error}");
    }
    let endless = [b"age-encryption.org/v1\n".to_vec(), b"-> a b\nAAAA\n".repeat(20_000)].concat();
    assert_eq!(PartOpen::new(&endless, &key.identities()).unwrap_err().code(), "seal.not_age");
    let endless = [b"age-encryption.org/v1\n-> a ".to_vec(), vec![b'x'; 100_000]].concat();
    assert_eq!(PartOpen::new(&endless, &key.identities()).unwrap_err().code(), "seal.not_age");
}
