//! Keys and values of the catalog.
//!
//! ```text
//! "m"                                                        -> table: u64 | state: u8 | position: u64
//! "u" | shard: u16 | form: u8 | packed user id               -> ordinal: u32
//! "e" | shard: u16 | ordinal: u32 | xxh3-128 of the event id -> times: i64, one or more
//! ```
//! Integers in keys are big-endian, those in values little-endian. Ids of hex digits are packed two digits to a byte,
//! which halves the catalog where ids are hashes or UUIDs; the form keeps the packing reversible.

use super::EventKey;

/// The key of the catalog's own state.
pub(super) const META: &[u8] = b"m";
/// The first byte of users' keys.
pub(super) const USER: u8 = b'u';
const EVENT: u8 = b'e';

const FORM_PLAIN: u8 = 0;
const FORM_HEX: u8 = 1;
const FORM_HEX_ODD: u8 = 2;
const FORM_UUID: u8 = 3;

/// The key of user `id` of `shard`.
pub(super) fn user_key(shard: u16, id: &str) -> Vec<u8> {
    let bytes = id.as_bytes();
    let mut key = Vec::with_capacity(4 + bytes.len());
    key.push(USER);
    key.extend_from_slice(&shard.to_be_bytes());
    let form = key.len();
    key.push(FORM_PLAIN);
    if is_uuid(bytes) {
        key[form] = FORM_UUID;
        let digits: Vec<u8> = bytes.iter().copied().filter(|&byte| byte != b'-').collect();
        pack(&digits, &mut key);
    } else if !bytes.is_empty() && bytes.iter().all(|&byte| digit(byte).is_some()) {
        key[form] = if bytes.len().is_multiple_of(2) { FORM_HEX } else { FORM_HEX_ODD };
        pack(bytes, &mut key);
    } else {
        key.extend_from_slice(bytes);
    }
    key
}

/// The key of an event id.
pub(super) fn event_key(key: &EventKey) -> [u8; 23] {
    let mut bytes = [0; 23];
    bytes[..7].copy_from_slice(&event_prefix(key.shard, key.ordinal));
    bytes[7..].copy_from_slice(&key.hash.to_be_bytes());
    bytes
}

/// What the keys of all event ids of a user begin with.
pub(super) fn event_prefix(shard: u16, ordinal: u32) -> [u8; 7] {
    let ([a, b], [c, d, e, f]) = (shard.to_be_bytes(), ordinal.to_be_bytes());
    [EVENT, a, b, c, d, e, f]
}

/// The first key after all that begin with `prefix`.
pub(super) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// The value of `times`.
pub(super) fn encode_times(times: &[i64]) -> Vec<u8> {
    times.iter().flat_map(|time| time.to_le_bytes()).collect()
}

/// The times of a value, or `None` for bytes that are none.
pub(super) fn decode_times(bytes: &[u8]) -> Option<Vec<i64>> {
    let (times, rest) = bytes.as_chunks::<8>();
    (rest.is_empty() && !times.is_empty()).then(|| times.iter().map(|time| i64::from_le_bytes(*time)).collect())
}

/// Lower-case hex digits alone: upper case would not come back.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

fn is_uuid(bytes: &[u8]) -> bool {
    let fits = |(at, &byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => digit(byte).is_some(),
    };
    bytes.len() == 36 && bytes.iter().enumerate().all(fits)
}

fn pack(digits: &[u8], out: &mut Vec<u8>) {
    for pair in digits.chunks(2) {
        let high = digit(pair[0]).unwrap_or(0);
        let low = pair.get(1).and_then(|&byte| digit(byte)).unwrap_or(0);
        out.push(high << 4 | low);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn different_ids_have_different_keys() {
        let uuid = "123e4567-e89b-12d3-a456-426614174000";
        let hex: String = uuid.chars().filter(|&c| c != '-').collect();
        let ids = ["", "0", "00", "000", "a", "A", "a0", "A0", "0a", "g", "\u{0}", uuid, &hex, "12-3", "123", "1230"];
        let keys: HashSet<_> = ids.iter().map(|id| user_key(1, id)).collect();
        assert_eq!(keys.len(), ids.len());
        assert_eq!(user_key(1, "0123456789abcdef").len(), 4 + 8);
        assert_eq!(user_key(1, uuid).len(), 4 + 16);
    }

    #[test]
    fn a_prefix_ends_after_all_of_its_keys() {
        assert_eq!(prefix_end(&[1, 2]), [1, 3]);
        assert_eq!(prefix_end(&[1, 255]), [2]);
        let end = prefix_end(&event_prefix(3, u32::MAX));
        assert!(event_key(&EventKey { shard: 3, ordinal: u32::MAX, hash: u128::MAX }).as_slice() < end.as_slice());
        assert!(event_key(&EventKey { shard: 4, ordinal: 0, hash: 0 }).as_slice() >= end.as_slice());
    }

    #[test]
    fn times_survive() {
        assert_eq!(decode_times(&encode_times(&[1, i64::MIN])), Some(vec![1, i64::MIN]));
        assert_eq!(decode_times(&[1, 2]), None);
        assert_eq!(decode_times(&[]), None);
    }
}
