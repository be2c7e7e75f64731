//! Lists of increasing ordinals: collected while a segment is written, stored in the smaller of two forms, and read
//! back as roaring bitmaps.

use crate::error::{Error, Result};
use crate::segment::wire::{Reader, put_varint};
use roaring::RoaringBitmap;

const ROARING: u8 = 0;
const RICE: u8 = 1;
/// Roaring loads faster, so it may be larger by one part in this many.
const ROARING_MAY_COST: usize = 16;

/// An increasing list of ordinals, kept as the gaps between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct OrdinalList {
    gaps: Vec<u8>,
    count: u32,
    last: u32,
    /// Length in bytes and last ordinal before the last push.
    before_last: (u32, u32),
}

impl OrdinalList {
    /// Append `ordinal`, which is not below the last one; the last one again is skipped.
    #[inline(always)]
    pub(crate) fn push(&mut self, ordinal: u32) {
        if self.last != ordinal || self.count == 0 {
            self.append(ordinal);
        }
    }

    fn append(&mut self, ordinal: u32) {
        self.before_last = (self.gaps.len() as u32, self.last);
        put_varint(&mut self.gaps, u64::from(ordinal - self.last));
        self.last = ordinal;
        self.count += 1;
    }

    /// Take `ordinal` back if it is the last one. Works for one push only.
    pub(crate) fn take_back(&mut self, ordinal: u32) {
        if self.ends_with(ordinal) {
            let (length, last) = self.before_last;
            self.gaps.truncate(length as usize);
            self.last = last;
            self.count -= 1;
        }
    }

    /// Whether `ordinal` is the last one.
    pub(crate) fn ends_with(&self, ordinal: u32) -> bool {
        self.count > 0 && self.last == ordinal
    }

    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    pub(crate) fn ordinals(&self) -> impl Iterator<Item = u32> + '_ {
        let mut reader = Reader::new(&self.gaps);
        let mut ordinal = 0_u32;
        std::iter::from_fn(move || {
            ordinal += reader.varint().ok()? as u32;
            Some(ordinal)
        })
    }

    /// The stored form: roaring's portable one, or Rice-coded gaps.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let gaps = self.gaps_between();
        let parameter = rice_parameter(&gaps);
        let rice_bytes = 12 + rice_bits(&gaps, parameter).div_ceil(8) as usize;
        if let Some(bitmap) = self.as_smaller_roaring(rice_bytes) {
            out.push(ROARING);
            // Writing into a vector cannot fail.
            let _ = bitmap.serialize_into(out);
            return;
        }
        out.push(RICE);
        put_varint(out, u64::from(self.count));
        put_varint(out, u64::from(self.ordinals().next().unwrap_or_default()));
        out.push(parameter);
        let mut writer = BitWriter { out, word: 0, filled: 0 };
        for gap in gaps {
            writer.rice(gap, parameter);
        }
        writer.finish();
    }

    /// The gaps behind the first ordinal, each less 1.
    fn gaps_between(&self) -> Vec<u32> {
        let mut reader = Reader::new(&self.gaps);
        let mut gaps = Vec::with_capacity(self.count as usize);
        while let Ok(gap) = reader.varint() {
            gaps.push((gap as u32).wrapping_sub(1));
        }
        if !gaps.is_empty() {
            gaps.remove(0);
        }
        gaps
    }

    /// The bitmap, if roaring's form is no larger than Rice-coded gaps of `rice_bytes`.
    fn as_smaller_roaring(&self, rice_bytes: usize) -> Option<RoaringBitmap> {
        // An array container takes 16 bits an ordinal, so only runs and dense bitmaps have a chance; both show in
        // Rice codes of few bits.
        if rice_bytes > 24 && rice_bytes * 8 > self.count as usize * 6 {
            return None;
        }
        let mut bitmap = RoaringBitmap::from_sorted_iter(self.ordinals()).ok()?;
        bitmap.optimize();
        (bitmap.serialized_size() <= rice_bytes + rice_bytes / ROARING_MAY_COST).then_some(bitmap)
    }
}

/// Bits that `gaps` take with this parameter.
fn rice_bits(gaps: &[u32], parameter: u8) -> u64 {
    gaps.iter().map(|gap| u64::from(gap >> parameter) + 1 + u64::from(parameter)).sum()
}

/// The parameter with which `gaps` take the fewest bits.
fn rice_parameter(gaps: &[u32]) -> u8 {
    let sum: u64 = gaps.iter().map(|gap| u64::from(*gap)).sum();
    let mean = sum / (gaps.len() as u64).max(1);
    // The best one is within one of the logarithm of the mean.
    let guess = (64 - mean.leading_zeros() as u8).min(31);
    (guess.saturating_sub(1)..=(guess + 1).min(31)).min_by_key(|&parameter| rice_bits(gaps, parameter)).unwrap_or(0)
}

struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    word: u64,
    filled: u32,
}

impl BitWriter<'_> {
    /// Append the low `count` bits of `bits`; at most 32.
    fn put(&mut self, bits: u64, count: u32) {
        self.word |= bits << self.filled;
        self.filled += count;
        while self.filled >= 8 {
            self.out.push(self.word as u8);
            self.word >>= 8;
            self.filled -= 8;
        }
    }

    /// As many zeros as `value` has in its high part, a one, and the low part.
    fn rice(&mut self, value: u32, parameter: u8) {
        let mut zeros = value >> parameter;
        while zeros >= 24 {
            self.put(0, 24);
            zeros -= 24;
        }
        self.put(1 << zeros, zeros + 1);
        self.put(u64::from(value) & ((1 << parameter) - 1), u32::from(parameter));
    }

    fn finish(self) {
        if self.filled > 0 {
            self.out.push(self.word as u8);
        }
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    word: u64,
    filled: u32,
}

impl BitReader<'_> {
    /// At least 32 bits in `word`, or all that are left.
    fn fill(&mut self) {
        if let Some((head, tail)) = self.bytes.split_first_chunk::<4>().filter(|_| self.filled <= 32) {
            self.word |= u64::from(u32::from_le_bytes(*head)) << self.filled;
            self.filled += 32;
            self.bytes = tail;
            return;
        }
        while self.filled <= 56 {
            let Some((byte, tail)) = self.bytes.split_first() else { return };
            self.word |= u64::from(*byte) << self.filled;
            self.filled += 8;
            self.bytes = tail;
        }
    }

    fn take(&mut self, count: u32) -> Option<u64> {
        if self.filled < count {
            self.fill();
        }
        let bits = self.word & !(u64::MAX << count);
        self.word >>= count;
        self.filled = self.filled.checked_sub(count)?;
        Some(bits)
    }

    fn rice(&mut self, parameter: u8) -> Option<u64> {
        let mut zeros = 0;
        while self.word == 0 {
            zeros += u64::from(self.filled);
            self.filled = 0;
            self.fill();
            if self.filled == 0 {
                return None;
            }
        }
        let run = self.word.trailing_zeros();
        zeros += u64::from(run);
        self.word = (self.word >> run) >> 1;
        self.filled = self.filled.checked_sub(run + 1)?;
        let low = self.take(u32::from(parameter))?;
        (zeros <= u64::from(u32::MAX)).then_some(zeros << parameter | low)
    }
}

/// The bitmap that [`OrdinalList::encode`] stored in all of `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> Result<RoaringBitmap> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        ROARING => RoaringBitmap::deserialize_from(reader.rest())
            .map_err(|error| Error::corrupt(format!("a bitmap that cannot be read: {error}"))),
        RICE => decode_rice(reader),
        other => Err(Error::corrupt(format!("a bitmap in the unknown form {other}"))),
    }
}

/// How the bitmap in all of `bytes` is stored and how many ordinals it has, for people.
pub(crate) fn form(bytes: &[u8]) -> Result<String> {
    let count = decode(bytes)?.len();
    let mut reader = Reader::new(bytes);
    if reader.u8()? == ROARING {
        return Ok(format!("{count} ordinals, roaring"));
    }
    let (_count, first, parameter) = (reader.varint()?, reader.varint()?, reader.u8()?);
    Ok(format!("{count} ordinals from {first}, Rice k {parameter}"))
}

fn decode_rice(mut reader: Reader<'_>) -> Result<RoaringBitmap> {
    let count = reader.varint()?;
    let mut ordinal = reader.varint()?;
    let parameter = reader.u8()?;
    let bits = reader.rest();
    // Every ordinal behind the first takes at least a bit.
    if parameter > 31 || count > bits.len() as u64 * 8 + 1 || ordinal > u64::from(u32::MAX) {
        return Err(Error::corrupt("a list of ordinals that does not fit its bytes"));
    }
    let mut ordinals = Vec::with_capacity(count as usize);
    if count > 0 {
        ordinals.push(ordinal as u32);
    }
    let mut bits = BitReader { bytes: bits, word: 0, filled: 0 };
    for _ in 1..count {
        let gap = bits.rice(parameter).ok_or_else(|| Error::corrupt("a list of ordinals that ends early"))?;
        ordinal = ordinal.saturating_add(gap).saturating_add(1);
        ordinals.push(u32::try_from(ordinal).map_err(|_| Error::corrupt("an ordinal beyond 32 bits"))?);
    }
    RoaringBitmap::from_sorted_iter(ordinals).map_err(|_| Error::corrupt("a list of ordinals out of order"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(ordinals: &[u32]) -> Vec<u8> {
        let mut list = OrdinalList::default();
        for &ordinal in ordinals {
            list.push(ordinal);
            list.push(ordinal);
        }
        assert_eq!(list.len() as usize, ordinals.len());
        assert_eq!(list.ordinals().collect::<Vec<_>>(), ordinals);
        let mut bytes = Vec::new();
        list.encode(&mut bytes);
        assert_eq!(decode(&bytes).unwrap().iter().collect::<Vec<_>>(), ordinals);
        for end in 0..bytes.len().min(200) {
            if let Ok(bitmap) = decode(&bytes[..end]) {
                assert!(bitmap.len() <= ordinals.len() as u64);
            }
        }
        bytes
    }

    #[test]
    fn both_forms_are_used_and_small() {
        assert_eq!(round_trip(&[])[0], ROARING);
        let all: Vec<u32> = (0..300_000).collect();
        let bytes = round_trip(&all);
        assert_eq!(bytes[0], ROARING);
        assert!(bytes.len() < 100, "{} bytes for a run", bytes.len());
        let sparse: Vec<u32> = (0..10_000_u32).map(|i| i * 70 + i * 7919 % 61).collect();
        let bytes = round_trip(&sparse);
        assert_eq!(bytes[0], RICE);
        assert!(bytes.len() < 10_000 * 9 / 8, "{} bytes for 10,000 gaps of 70", bytes.len());
        round_trip(&[0]);
        round_trip(&[u32::MAX]);
        round_trip(&[0, u32::MAX]);
        round_trip(&[5, 6, 7, u32::MAX - 1, u32::MAX]);
    }

    #[test]
    fn the_last_push_can_be_taken_back() {
        let mut list = OrdinalList::default();
        list.push(3);
        let before = list.clone();
        list.push(900);
        list.take_back(900);
        assert_eq!((&list.gaps, list.count, list.last), (&before.gaps, before.count, before.last));
        list.take_back(900);
        assert_eq!(list.len(), 1);
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_refused() {
        let mut bytes = vec![RICE];
        put_varint(&mut bytes, u64::from(u32::MAX));
        bytes.extend_from_slice(&[0, 3, 1, 2, 3]);
        assert!(decode(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn any_set_round_trips(set in prop::collection::btree_set(prop_oneof![0..2000_u32, any::<u32>()], 0..400)) {
            round_trip(&set.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes);
        }
    }
}
