//! Bit packing: values of a fixed width in bits, one behind the other, least significant bit first.
//!
//! A value is read with one 8-byte load, so widths of 58 to 63 bits are rounded up to 64 and the bytes end with
//! padding that such a load may touch.

use super::wire::Reader;
use crate::error::{Error, Result};
use std::ops::Range;

/// A load of 8 bytes at any bit offset of 0 to 7 holds values of at most this width.
const LOAD_WIDTH_MAX: u8 = 57;
/// Zero bytes behind packed values.
const PADDING_BYTES: usize = 8;
/// Values that begin at a byte border together: 8 values of w bits fill w bytes.
const GROUP: usize = 8;

/// The width in bits that holds `0..=max`.
pub(crate) fn width_of(max: u64) -> u8 {
    match 64 - max.leading_zeros() as u8 {
        width if width > LOAD_WIDTH_MAX => 64,
        width => width,
    }
}

/// Bytes that `count` values of `width` bits take; `None` if that overflows.
pub(crate) fn packed_bytes(count: usize, width: u8) -> Option<usize> {
    match width {
        0 => Some(0),
        _ => Some(count.checked_mul(width as usize)?.div_ceil(8) + PADDING_BYTES),
    }
}

/// Append `values`, each below 2^`width`.
fn pack(values: impl Iterator<Item = u64>, width: u8, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let (mut word, mut filled) = (0_u64, 0_u32);
    for value in values {
        word |= value << filled;
        filled += u32::from(width);
        if filled >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            filled -= 64;
            word = value.checked_shr(u32::from(width) - filled).unwrap_or(0);
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..filled.div_ceil(8) as usize]);
    out.extend_from_slice(&[0; PADDING_BYTES]);
}

/// What packed integers decode to.
pub(crate) trait Unpacked: Copy + Default {
    fn from_bits(bits: u64) -> Self;
    fn plus(self, other: Self) -> Self;
    /// Write a whole group at once where there is a faster way than value by value: `packed` begins with the values, of
    /// `WIDTH` bits. False where there is none.
    #[inline(always)]
    fn write_group<const WIDTH: usize>(_packed: u64, _base: Self, _out: &mut [Self]) -> bool {
        false
    }
}

impl Unpacked for i64 {
    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        bits as Self
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
}

impl Unpacked for u32 {
    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        bits as Self
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
}

impl Unpacked for u8 {
    /// All of the group fits a word: halves, quarters and eighths of it are moved apart.
    #[inline(always)]
    fn write_group<const WIDTH: usize>(packed: u64, base: Self, out: &mut [Self]) -> bool {
        if WIDTH > 8 {
            return false;
        }
        let low =
            |bits: usize, lane: usize| (0..64).step_by(lane).fold(0, |mask, at| mask | ((1_u64 << bits) - 1) << at);
        let apart = |word: u64, bits: usize, lane: usize| {
            (word & low(bits, 2 * lane)) | (word & low(bits, 2 * lane) << bits) << (lane - bits)
        };
        let word = packed & u64::MAX >> (64 - GROUP * WIDTH);
        let word = apart(apart(apart(word, 4 * WIDTH, 32), 2 * WIDTH, 16), WIDTH, 8);
        // Bytes are added without a carry from one to the next: the highest bits apart.
        let (base, highest) = (u64::from_le_bytes([base; 8]), u64::from_le_bytes([0x80; 8]));
        let sum = ((word & !highest) + (base & !highest)) ^ ((word ^ base) & highest);
        out.copy_from_slice(&sum.to_le_bytes());
        true
    }

    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        bits as Self
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
}

/// Integers as a base and packed differences to it (frame of reference). Access by index costs one load.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'a> {
    base: i64,
    width: u8,
    mask: u64,
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Packed<'a> {
    /// No values.
    pub(crate) fn none() -> Self {
        Self { base: 0, width: 0, mask: 0, bytes: &[], len: 0 }
    }

    /// Append `values` in the form that [`Packed::read`] reads: width, base, packed differences.
    pub(crate) fn write(values: &[i64], out: &mut Vec<u8>) {
        let (base, width) = Self::frame(values);
        out.push(width);
        out.extend_from_slice(&base.to_le_bytes());
        pack(values.iter().map(|value| value.wrapping_sub(base) as u64), width, out);
    }

    /// Smallest value, and the width that the differences to it need.
    pub(crate) fn frame(values: &[i64]) -> (i64, u8) {
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        for &value in values {
            min = min.min(value);
            max = max.max(value);
        }
        match values.is_empty() {
            true => (0, 0),
            false => (min, width_of(max.wrapping_sub(min) as u64)),
        }
    }

    /// Read `len` values that [`Packed::write`] wrote.
    pub(crate) fn read(reader: &mut Reader<'a>, len: usize) -> Result<Self> {
        let width = reader.u8()?;
        let base = reader.i64()?;
        if width > LOAD_WIDTH_MAX && width != 64 {
            return Err(Error::corrupt(format!("values packed into {width} bits")));
        }
        let bytes = packed_bytes(len, width).ok_or_else(|| Error::corrupt("more packed values than memory"))?;
        let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
        Ok(Self { base, width, mask, bytes: reader.bytes(bytes)?, len })
    }

    /// How they are stored, for people.
    pub(crate) fn form(&self) -> String {
        format!("packed {} bits from {}", self.width, self.base)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn width(&self) -> u8 {
        self.width
    }

    pub(crate) fn base(&self) -> i64 {
        self.base
    }

    #[inline(always)]
    fn bits(&self, index: usize) -> u64 {
        if self.width == 0 {
            return 0;
        }
        let bit = index * self.width as usize;
        let mut word = [0; 8];
        word.copy_from_slice(&self.bytes[bit / 8..bit / 8 + 8]);
        (u64::from_le_bytes(word) >> (bit % 8)) & self.mask
    }

    /// The value at `index`, which must be below the number of values.
    #[inline(always)]
    pub fn get(&self, index: usize) -> i64 {
        self.base.wrapping_add(self.bits(index) as i64)
    }

    /// Decode the values of `range` into `out`, which has the same length.
    pub(crate) fn decode_into<T: Unpacked>(&self, range: Range<usize>, out: &mut [T]) {
        assert!(range.end <= self.len && range.len() == out.len(), "range {range:?} of {} values", self.len);
        let base = T::from_bits(self.base as u64);
        if self.width == 0 {
            out.fill(base);
            return;
        }
        let first_group = range.start.next_multiple_of(GROUP).min(range.end);
        let groups = (range.end - first_group) / GROUP;
        let (head, rest) = out.split_at_mut(first_group - range.start);
        let (body, tail) = rest.split_at_mut(groups * GROUP);
        for (index, slot) in (range.start..).zip(head) {
            *slot = base.plus(T::from_bits(self.bits(index)));
        }
        self.decode_groups(first_group / GROUP, base, body);
        for (index, slot) in (first_group + groups * GROUP..).zip(tail) {
            *slot = base.plus(T::from_bits(self.bits(index)));
        }
    }

    fn decode_groups<T: Unpacked>(&self, first: usize, base: T, out: &mut [T]) {
        let bytes = &self.bytes[first * self.width as usize..];
        macro_rules! by_width {
            ($($width:literal)*) => {
                match self.width {
                    $($width => unpack_groups::<$width, T>(bytes, base, out),)*
                    _ => unpack_groups::<64, T>(bytes, base, out),
                }
            };
        }
        by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36
            37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57);
    }
}

/// Whole groups of 8 values of `WIDTH` bits. The width is known to the compiler, so that every load and shift of a
/// group has a fixed place.
fn unpack_groups<const WIDTH: usize, T: Unpacked>(bytes: &[u8], base: T, out: &mut [T]) {
    let mask = if WIDTH == 64 { u64::MAX } else { (1 << (WIDTH % 64)) - 1 };
    for (group, slots) in out.chunks_exact_mut(GROUP).enumerate() {
        let bytes = &bytes[group * WIDTH..][..WIDTH + PADDING_BYTES];
        let mut first = [0; 8];
        first.copy_from_slice(&bytes[..8]);
        if T::write_group::<WIDTH>(u64::from_le_bytes(first), base, slots) {
            continue;
        }
        for (index, slot) in slots.iter_mut().enumerate() {
            let bit = index * WIDTH;
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[bit / 8..bit / 8 + 8]);
            *slot = base.plus(T::from_bits((u64::from_le_bytes(word) >> (bit % 8)) & mask));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_decodes_whole_and_in_part() {
        for width in 0..=64_u32 {
            let max = if width == 64 { u64::MAX } else { (1 << width) - 1 };
            let values: Vec<i64> = (0..75_u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) & max) as i64).collect();
            let values: Vec<i64> = values.into_iter().chain([0, max as i64]).collect();
            let mut bytes = Vec::new();
            Packed::write(&values, &mut bytes);
            let mut reader = Reader::new(&bytes);
            let packed = Packed::read(&mut reader, values.len()).unwrap();
            reader.end().unwrap();
            for (index, &value) in values.iter().enumerate() {
                assert_eq!(packed.get(index), value, "width {width}");
            }
            for start in [0, 1, 7, 8, 9, 40, 77] {
                for end in [start, start + 1, 16, 17, 76, 77] {
                    if start > end || end > values.len() {
                        continue;
                    }
                    let mut out = vec![0_i64; end - start];
                    packed.decode_into(start..end, &mut out);
                    assert_eq!(out, values[start..end], "width {width}");
                    let mut out = vec![0_u32; end - start];
                    packed.decode_into(start..end, &mut out);
                    assert!(out.iter().zip(&values[start..end]).all(|(a, b)| *a == *b as u32));
                    let mut out = vec![0_u8; end - start];
                    packed.decode_into(start..end, &mut out);
                    assert!(out.iter().zip(&values[start..end]).all(|(a, b)| *a == *b as u8), "width {width}");
                }
            }
        }
    }

    #[test]
    fn a_width_that_no_writer_gives_is_refused() {
        for width in [58, 63, 65, 255] {
            let mut bytes = vec![width];
            bytes.extend_from_slice(&[0; 100]);
            assert!(Packed::read(&mut Reader::new(&bytes), 4).is_err());
        }
        let bytes = [9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2];
        assert!(Packed::read(&mut Reader::new(&bytes), usize::MAX).is_err());
    }
}
