//! Tokens and the lists in them.

use sendstream::{NvList, ResumeToken};

use crate::Corpus;
use crate::mutate::{self, Random};

const MADE_BY_ZFS: &str = "1-d06bc5144-f0-789c636064000310a500c4ec50360710e72765a52697303048409460caa7a515a79630c001489e0d493ea9b224b518487b303363d55f929f5e9a99c2c0b0ece1e363aba7dc68d34092e704cbe725e6a602e9c4bc6cfd148744983d1250fd3077a7e626a5a6e46783cde746124fcecf2d284a2d2e064ac10100bd971daf";

pub(crate) fn once(random: &mut Random, _: &Corpus) {
    match random.below(4) {
        0 => text(random),
        1 => list(random),
        2 => noise(random),
        _ => crafted(random),
    }
}

/// Changed text: decoding ends, and what is decoded can be encoded and decoded again.
fn text(random: &mut Random) {
    let mut bytes = MADE_BY_ZFS.as_bytes().to_vec();
    for _ in 0..=random.below(3) {
        mutate::bytes(random, &mut bytes);
    }
    survives(&String::from_utf8_lossy(&bytes));
}

fn survives(text: &str) {
    if let Ok(token) = ResumeToken::decode(text) {
        let again = token.encode().expect("what was decoded can be encoded");
        assert_eq!(ResumeToken::decode(&again).as_ref(), Ok(&token));
    }
}

fn noise(random: &mut Random) {
    let noise = random.noise(600);
    survives(&String::from_utf8_lossy(&noise));
    let _ = NvList::decode(&noise);
}

/// Changed lists behind a good beginning.
fn list(random: &mut Random) {
    let mut bytes = vec![0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    for _ in 0..random.below(6) {
        let name_len = 1 + random.below(24);
        let type_number = *random.pick(&[1_u32, 8, 9, 16, 19, 20, 26]);
        let value_len = random.below(5) * 8;
        let padded = (16 + name_len).next_multiple_of(8);
        bytes.extend(u32::try_from(padded + value_len).unwrap_or_default().to_le_bytes());
        bytes.extend(u16::try_from(name_len).unwrap_or_default().to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(u32::try_from(random.below(4)).unwrap_or_default().to_le_bytes());
        bytes.extend(type_number.to_le_bytes());
        bytes.extend(std::iter::repeat_n(b'n', name_len - 1));
        bytes.extend(std::iter::repeat_n(0, padded - 15 - name_len));
        bytes.extend(std::iter::repeat_n(random.byte(), value_len));
    }
    bytes.extend([0; 4]);
    if random.one_in(2) {
        mutate::bytes(random, &mut bytes);
    }
    if let Ok(list) = NvList::decode(&bytes) {
        assert_eq!(NvList::decode(&list.encode()).as_ref(), Ok(&list));
    }
}

/// Any token that can be made is read as it was.
fn crafted(random: &mut Random) {
    let name: String = (0..random.below(260)).map(|_| char::from(b'!' + random.byte() % 94)).collect();
    let token = ResumeToken {
        from_guid: random.one_in(2).then(|| random.edge()),
        object: random.edge(),
        offset: random.edge(),
        bytes: random.edge(),
        to_guid: random.edge(),
        to_name: format!("pool/{name}@s"),
        large_block_ok: random.one_in(2),
        embed_ok: random.one_in(2),
        compress_ok: random.one_in(2),
        raw_ok: random.one_in(2),
        redact_snapshot_guids: random
            .one_in(4)
            .then(|| (0..random.below(50)).map(|_| random.edge()).collect()),
        redact_from_snapshot_guids: random
            .one_in(4)
            .then(|| (0..random.below(50)).map(|_| random.edge()).collect()),
    };
    if let Ok(text) = token.encode() {
        assert_eq!(ResumeToken::decode(&text), Ok(token));
    }
}
