//! Round trips of arbitrary lengths, sealed and opened in arbitrary batches.

use std::sync::LazyLock;

use proptest::prelude::*;
use sealing::{Digest, PartSeal, plain_len, sealed_len};

use crate::common::{Key, open_in_batches, payload, seal_in_batches};

static KEY: LazyLock<Key> = LazyLock::new(Key::age);

/// Lengths with the borders of chunks far more often than chance would have them.
fn lengths() -> impl Strategy<Value = usize> {
    let near_border =
        (0_usize..7, -2_i32..=2).prop_map(|(chunks, by)| (chunks * 65536).saturating_add_signed(by as isize));
    prop_oneof![near_border, 0_usize..500_000]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out(len in lengths(), seal_batch in 1_usize..9, open_batch in 1_usize..9) {
        let plain = payload(len);
        let part = PartSeal::new(&KEY.recipients()).unwrap();
        let file = seal_in_batches(&part, &plain, seal_batch);
        prop_assert_eq!(plain_len(part.header().len(), file.len() as u64), Some(len as u64));
        let opened = open_in_batches(&KEY.identities(), &file, open_batch).unwrap();
        prop_assert!(opened == plain);
    }

    #[test]
    fn no_changed_byte_goes_unnoticed(len in 0_usize..200_000, at in any::<prop::sample::Index>(), mask in 1_u8..) {
        let part = PartSeal::new(&KEY.recipients()).unwrap();
        let mut file = seal_in_batches(&part, &payload(len), 2);
        let at = at.index(file.len());
        file[at] ^= mask;
        prop_assert!(open_in_batches(&KEY.identities(), &file, 2).is_err());
    }

    #[test]
    fn no_cut_goes_unnoticed(len in lengths(), keep in any::<prop::sample::Index>()) {
        let part = PartSeal::new(&KEY.recipients()).unwrap();
        let file = seal_in_batches(&part, &payload(len), 2);
        prop_assert!(sealing::open_bytes(&KEY.identities(), &file[..keep.index(file.len())]).is_err());
    }

    #[test]
    fn lengths_invert(plain in 0_u64..1 << 50, header in 0_usize..70_000) {
        prop_assert_eq!(plain_len(header, sealed_len(header, plain)), Some(plain));
    }

    #[test]
    fn digests_do_not_depend_on_the_pieces(len in 0_usize..1_000_000, piece in 1_usize..700_000) {
        let bytes = payload(len);
        let mut digest = Digest::new();
        bytes.chunks(piece).for_each(|piece| digest.update_parallel(piece));
        prop_assert_eq!(digest.hex(), Digest::hex_of(&bytes));
    }
}
