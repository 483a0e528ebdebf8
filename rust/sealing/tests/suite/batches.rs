//! What the engine relies on: sealing in place, in batches, from several threads, each part with its own key.

use std::sync::Arc;
use std::thread;

use sealing::{
    Digest, Identities, PartOpen, PartSeal, Recipients, SEALED_CHUNK_BYTES, SealError, fill_slots,
    open_bytes, slots_len,
};

use crate::common::{Key, payload, seal_in_batches, stock_open};

fn shared_between_threads<T: Send + Sync + 'static>() {}

#[test]
fn everything_can_be_shared_between_threads() {
    shared_between_threads::<Arc<PartSeal>>();
    shared_between_threads::<Arc<PartOpen>>();
    shared_between_threads::<Recipients>();
    shared_between_threads::<Identities>();
    shared_between_threads::<Digest>();
    shared_between_threads::<SealError>();
}

#[test]
fn batches_may_be_sealed_by_several_threads_in_any_order() {
    const BATCH: usize = 3;
    let key = Key::age();
    let plain = payload(20 * 65536 + 77);
    let part = Arc::new(PartSeal::new(&key.recipients()).unwrap());
    let pieces: Vec<Vec<u8>> = plain.chunks(BATCH * 65536).map(<[u8]>::to_vec).collect();
    let count = pieces.len();
    let workers: Vec<_> = pieces
        .into_iter()
        .enumerate()
        .rev()
        .map(|(index, piece)| {
            let part = Arc::clone(&part);
            thread::spawn(move || {
                let mut slots = vec![0; slots_len(piece.len())];
                fill_slots(&mut slots, 0, &piece);
                part.seal_slots((index * BATCH) as u64, index + 1 == count, &mut slots).unwrap();
                slots
            })
        })
        .collect();
    let mut sealed: Vec<Vec<u8>> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    sealed.reverse();
    let file = [part.header(), &sealed.concat()].concat();
    assert!(stock_open(&key.file, &file).unwrap() == plain);
}

#[test]
fn single_chunks_make_the_same_file_as_batches() {
    let key = Key::age();
    let plain = payload(3 * 65536);
    let part = PartSeal::new(&key.recipients()).unwrap();
    let mut file = part.header().to_vec();
    for (counter, chunk) in plain.chunks(65536).enumerate() {
        let mut slot = [chunk, &[0; 16]].concat();
        part.seal_chunk(counter as u64, counter == 2, &mut slot).unwrap();
        file.extend_from_slice(&slot);
    }
    assert!(stock_open(&key.file, &file).unwrap() == plain);
}

#[test]
fn a_buffer_that_breaks_a_rule_is_left_alone() {
    let key = Key::age();
    let part = PartSeal::new(&key.recipients()).unwrap();
    let refused = |first, last, len: usize| {
        let mut slots = vec![9; len];
        let error = part.seal_slots(first, last, &mut slots).unwrap_err();
        assert_eq!(error.code(), "seal.layout");
        assert!(slots.iter().all(|&byte| byte == 9), "untouched");
    };
    refused(0, true, 0);
    refused(0, true, 15);
    refused(0, false, 100);
    refused(0, false, SEALED_CHUNK_BYTES + 100);
    refused(1, true, 16);
    refused(0, true, SEALED_CHUNK_BYTES + 16);
    refused(u64::MAX, true, SEALED_CHUNK_BYTES);
    assert_eq!(
        part.seal_chunk(0, false, &mut vec![0; SEALED_CHUNK_BYTES + 100]).unwrap_err().code(),
        "seal.layout"
    );

    let mut slots = vec![9; 4 * SEALED_CHUNK_BYTES];
    part.seal_slots(0, false, &mut slots).unwrap();
    refused(3, false, SEALED_CHUNK_BYTES);
    refused(2, true, 100);
    let mut tail = vec![9; 100];
    part.seal_slots(4, true, &mut tail).unwrap();
    refused(5, true, 100);
}

#[test]
fn every_part_has_a_key_of_its_own() {
    let key = Key::age();
    let plain = payload(65536);
    let parts: Vec<Vec<u8>> =
        (0..4).map(|_| seal_in_batches(&PartSeal::new(&key.recipients()).unwrap(), &plain, 1)).collect();
    for (index, part) in parts.iter().enumerate() {
        for other in &parts[index + 1..] {
            assert_ne!(part[part.len() - 65552..], other[other.len() - 65552..]);
        }
    }
    // The payload of one part under the header of another: only a shared file key could open it.
    let (header, payload) = (&parts[0][..parts[0].len() - 65552], &parts[1][parts[1].len() - 65552..]);
    let error = open_bytes(&key.identities(), &[header, payload].concat()).unwrap_err();
    assert!(matches!(error, SealError::Corrupt { chunk: 0 }), "{error:?}");
}

#[test]
fn a_pool_of_any_size_gives_the_same_result() {
    let key = Key::age();
    let plain = payload(1_000_000);
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let part = PartSeal::new(&key.recipients()).unwrap();
        let file = pool.install(|| seal_in_batches(&part, &plain, 8));
        assert!(pool.install(|| open_bytes(&key.identities(), &file)).unwrap() == plain, "{threads} threads");
    }
}
