//! Integers of a chunk, in whichever encoding is smallest.

use super::bits::Bits;
use super::packing::{Packed, Unpacked, packed_bytes};
use super::wire::Reader;
use crate::error::{Error, Result};
use std::hint::select_unpredictable;
use std::ops::Range;

const FRAME: u8 = 0;
const RUNS: u8 = 1;
const PER_USER: u8 = 2;
/// Runs cost time on access, so they must save at least this part of the size.
const RUNS_SAVE_AT_LEAST: f64 = 1.0 / 16.0;
/// Fewer values are stored as a frame of reference at once.
const RUNS_FROM_VALUES: usize = 32;
/// Rows that are looked at when the width of the offsets of runs is chosen.
const SAMPLE_VALUES: usize = 2048;
/// Widths in bits of the offsets of runs that are tried.
const OFFSET_WIDTHS: Range<u32> = 12..45;

/// Integers of a chunk, decoded on demand.
#[derive(Debug, Clone)]
pub struct PackedInts<'a> {
    form: Form<'a>,
}

#[derive(Debug, Clone)]
enum Form<'a> {
    /// One base for all.
    Frame(Packed<'a>),
    /// Neighbours share a base; `starts` says where a new one begins, and only the others have an offset.
    Runs { starts: Bits, bases: Packed<'a>, offsets: Packed<'a> },
    /// Neighbours share their value; `ends[i]` is the first row after the i-th run.
    Shared { ends: Vec<u32>, values: Packed<'a> },
}

impl<'a> PackedInts<'a> {
    pub(crate) fn frame(packed: Packed<'a>) -> Self {
        Self { form: Form::Frame(packed) }
    }

    /// `values`, written to `bytes`.
    #[cfg(test)]
    pub(crate) fn for_tests(values: &[i64], bytes: &'a mut Vec<u8>) -> Self {
        encode(values, None, false, bytes);
        Self::read(&mut Reader::new(bytes), values.len(), || Ok(Vec::new())).unwrap()
    }

    /// Times, written to `bytes`.
    #[cfg(test)]
    pub(crate) fn times_for_tests(values: &[i64], bytes: &'a mut Vec<u8>) -> Self {
        encode(values, None, true, bytes);
        Self::read(&mut Reader::new(bytes), values.len(), || Ok(Vec::new())).unwrap()
    }

    /// No integers.
    pub(crate) fn none() -> Self {
        Self { form: Form::Shared { ends: Vec::new(), values: Packed::none() } }
    }

    /// Read `len` integers. `user_ends` gives the first row after each user, counting only rows that have a value.
    pub(crate) fn read(
        reader: &mut Reader<'a>,
        len: usize,
        user_ends: impl FnOnce() -> Result<Vec<u32>>,
    ) -> Result<Self> {
        let form = match reader.u8()? {
            FRAME => Form::Frame(Packed::read(reader, len)?),
            RUNS => {
                let starts = Bits::read(reader, len)?;
                if len > 0 && !starts.get(0) {
                    return Err(Error::corrupt("integers whose first run has no start"));
                }
                let bases = Packed::read(reader, starts.ones())?;
                let offsets = Packed::read(reader, len - starts.ones())?;
                Form::Runs { starts, bases, offsets }
            }
            PER_USER => {
                let ends = user_ends()?;
                if ends.last().map_or(0, |&end| end as usize) != len {
                    return Err(Error::corrupt("users that do not cover the rows"));
                }
                let values = Packed::read(reader, ends.len())?;
                Form::Shared { ends, values }
            }
            other => return Err(Error::corrupt(format!("integers in the unknown encoding {other}"))),
        };
        Ok(Self { form })
    }

    /// How they are stored, for people.
    pub(crate) fn form(&self) -> String {
        match &self.form {
            Form::Frame(packed) => packed.form(),
            Form::Runs { starts, bases, offsets } => {
                format!("{} runs, bases {}, offsets {}", starts.ones(), bases.form(), offsets.form())
            }
            Form::Shared { values, .. } => format!("per user, {}", values.form()),
        }
    }

    /// Number of integers.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Frame(packed) => packed.len(),
            Form::Runs { starts, .. } => starts.len(),
            Form::Shared { ends, .. } => ends.last().map_or(0, |&end| end as usize),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value that all of them have, if the encoding shows it.
    pub fn constant(&self) -> Option<i64> {
        let packed = match &self.form {
            Form::Frame(packed) | Form::Shared { values: packed, .. } => packed,
            Form::Runs { .. } => return None,
        };
        (packed.width() == 0 && packed.len() > 0).then(|| packed.base())
    }

    /// Bounds of all values, wide ones: a value outside is in no row.
    pub fn bounds(&self) -> Option<(i64, i64)> {
        match &self.form {
            Form::Frame(packed) | Form::Shared { values: packed, .. } if packed.width() < 63 => {
                Some((packed.base(), packed.base().checked_add((1 << packed.width()) - 1)?))
            }
            _ => None,
        }
    }

    /// The `index`-th integer. Panics past the end, as a slice does.
    #[inline]
    pub fn get(&self, index: usize) -> i64 {
        match &self.form {
            Form::Frame(packed) => packed.get(index),
            Form::Runs { starts, bases, offsets } => {
                // No branch on the bit: whether a row begins a run is hard to predict. A row that does has no offset;
                // the one that is read in its place is dropped.
                let (before, is_start) = starts.rank_and_get(index);
                let base = bases.get(before + usize::from(is_start) - 1);
                let offset = offsets.get((index - before).min(offsets.len().saturating_sub(1)));
                base.wrapping_add(select_unpredictable(is_start, 0, offset))
            }
            Form::Shared { ends, values } => values.get(ends.partition_point(|&end| end as usize <= index)),
        }
    }

    /// Whether the integer at `late` is at most `limit` above that at `early`. Often the bases of their runs tell: there
    /// are few of them, so that they are at hand when offsets would have to come from memory.
    #[inline]
    pub(crate) fn is_within(&self, early: usize, late: usize, limit: i64) -> bool {
        if let Form::Runs { starts, bases, offsets } = &self.form
            && offsets.width() < 63
        {
            let base = |index| bases.get(starts.rank(index + 1) - 1);
            let apart = base(late).saturating_sub(base(early));
            let offset_max = offsets.base().saturating_add((1 << offsets.width()) - 1);
            if apart.saturating_add(offset_max) <= limit {
                return true;
            }
            if apart.saturating_sub(offset_max) > limit {
                return false;
            }
        }
        self.get(late) <= self.get(early).saturating_add(limit)
    }

    /// Whether the integers of `range`, which are in ascending order, are all the same.
    #[inline]
    pub(crate) fn is_same(&self, range: Range<usize>) -> bool {
        let (first, last) = (range.start, range.end - 1);
        // What begins a run is larger than all that comes before it.
        let in_one_run = |starts: &Bits| starts.rank(last + 1) == starts.rank(first + 1);
        !matches!(&self.form, Form::Runs { starts, .. } if !in_one_run(starts)) && self.get(first) == self.get(last)
    }

    /// The packed integers, where one frame of reference holds all of them.
    #[inline(always)]
    pub(crate) fn as_frame(&self) -> Option<&Packed<'a>> {
        match &self.form {
            Form::Frame(packed) => Some(packed),
            _ => None,
        }
    }

    /// Whether every user has one value, as far as the encoding shows it.
    pub(crate) fn is_per_user(&self) -> bool {
        matches!(self.form, Form::Shared { .. }) || self.constant().is_some()
    }

    /// The value at `row`, which is the first one of the `user`-th user with values. For integers that
    /// [`PackedInts::is_per_user`] this needs no search.
    #[inline]
    pub(crate) fn of_user(&self, user: usize, row: usize) -> i64 {
        match &self.form {
            Form::Shared { values, .. } => values.get(user),
            _ => self.get(row),
        }
    }

    /// Replace `out` by the integers of `range`. Panics past the end, as a slice does.
    pub fn decode(&self, range: Range<usize>, out: &mut Vec<i64>) {
        self.decode_as(range, out);
    }

    /// Like [`PackedInts::decode`], keeping the low 32 bits of each integer: all of a code.
    pub fn decode_u32(&self, range: Range<usize>, out: &mut Vec<u32>) {
        self.decode_as(range, out);
    }

    fn decode_as<T: Unpacked>(&self, range: Range<usize>, out: &mut Vec<T>) {
        out.resize(range.len(), T::default());
        self.decode_into(range, out);
    }

    /// Decode the integers of `range` into `out`, which has the same length. Panics past the end, as a slice does.
    pub(crate) fn decode_into<T: Unpacked>(&self, range: Range<usize>, out: &mut [T]) {
        assert!(range.start <= range.end && range.end <= self.len(), "range {range:?} of {} integers", self.len());
        assert_eq!(range.len(), out.len(), "a place for each integer");
        match &self.form {
            Form::Frame(packed) => packed.decode_into(range, out),
            Form::Runs { starts, bases, offsets } => decode_runs(starts, bases, offsets, range, out),
            Form::Shared { ends, values } => decode_shared(ends, values, range, out),
        }
    }
}

fn decode_runs<T: Unpacked>(
    starts: &Bits,
    bases: &Packed<'_>,
    offsets: &Packed<'_>,
    range: Range<usize>,
    out: &mut [T],
) {
    if range.is_empty() {
        return;
    }
    let (from, to) = (starts.rank(range.start), starts.rank(range.end));
    let first = from - usize::from(!starts.get(range.start));
    let mut run_bases = vec![T::default(); to - first];
    bases.decode_into(first..to, &mut run_bases);
    // The offsets are decoded into the end of `out` and moved forward to their rows; a row is never written before
    // the offset that lies there has been read, because at most as many bases as offsets' free places come first.
    let hole = to - from;
    offsets.decode_into(range.start - from..range.end - to, &mut out[hole..]);
    let (mut next_base, mut next_offset) = (from - first, hole);
    let count = out.len();
    for start in (0..count).step_by(64) {
        let word = starts.word_from(range.start + start);
        // No branch on the bits: whether a row begins a run is hard to predict.
        for row in start..count.min(start + 64) {
            let is_start = (word >> (row - start)) as usize & 1;
            next_base += is_start;
            let offset = out[next_offset.min(count - 1)];
            out[row] = run_bases[next_base - 1].plus(select_unpredictable(is_start == 1, T::default(), offset));
            next_offset += 1 - is_start;
        }
    }
}

fn decode_shared<T: Unpacked>(ends: &[u32], values: &Packed<'_>, range: Range<usize>, out: &mut [T]) {
    let mut row = range.start;
    let mut run = ends.partition_point(|&end| end as usize <= row);
    while row < range.end {
        let end = (ends[run] as usize).min(range.end);
        out[row - range.start..end - range.start].fill(T::from_bits(values.get(run) as u64));
        row = end;
        run += 1;
    }
}

/// Append `values` in their smallest encoding. `per_user` has one value a user, if each user has only one;
/// `as_times` says that values mostly grow by little, as times do.
pub(crate) fn encode(values: &[i64], per_user: Option<&[i64]>, as_times: bool, out: &mut Vec<u8>) {
    let frame_bytes = frame_bytes(values);
    if let Some(per_user) = per_user.filter(|per_user| self::frame_bytes(per_user) < frame_bytes) {
        out.push(PER_USER);
        Packed::write(per_user, out);
        return;
    }
    if values.len() >= RUNS_FROM_VALUES && Packed::frame(values).1 > 1 {
        let width = if as_times { best_offset_width(sample(values)) } else { 0 };
        let (bytes, runs) = runs_bytes(values, width);
        if (bytes as f64) < frame_bytes as f64 * (1.0 - RUNS_SAVE_AT_LEAST) {
            write_runs(values, width, runs, out);
            return;
        }
    }
    out.push(FRAME);
    Packed::write(values, out);
}

/// Bytes of `values` as one frame of reference.
fn frame_bytes(values: &[i64]) -> usize {
    packed_bytes(values.len(), Packed::frame(values).1).unwrap_or(usize::MAX)
}

/// A piece out of the middle.
fn sample(values: &[i64]) -> &[i64] {
    let start = values.len().saturating_sub(SAMPLE_VALUES) / 2;
    &values[start..values.len().min(start + SAMPLE_VALUES)]
}

fn best_offset_width(values: &[i64]) -> u32 {
    OFFSET_WIDTHS.min_by_key(|&width| runs_bytes(values, width).0).unwrap_or(0)
}

/// Whether `value` begins a new run after `base`, with offsets of `width` bits.
#[inline(always)]
fn breaks(base: i64, value: i64, width: u32) -> bool {
    (value.wrapping_sub(base) as u64) >> width != 0
}

/// Bytes that `values` take as runs with offsets of at most `width` bits, and the number of runs.
fn runs_bytes(values: &[i64], width: u32) -> (usize, usize) {
    let Some(&first) = values.first() else { return (0, 0) };
    let (mut base, mut runs, mut min, mut max) = (first, 1, first, first);
    for &value in values {
        if breaks(base, value, width) {
            base = value;
            runs += 1;
            min = min.min(value);
            max = max.max(value);
        }
    }
    let base_width = super::packing::width_of(max.wrapping_sub(min) as u64) as usize;
    (values.len().div_ceil(8) + (runs * base_width + (values.len() - runs) * width as usize) / 8 + 40, runs)
}

fn write_runs(values: &[i64], width: u32, runs: usize, out: &mut Vec<u8>) {
    let mut bases = Vec::with_capacity(runs);
    let mut offsets = Vec::with_capacity(values.len() - runs);
    let mut starts = Vec::with_capacity(values.len());
    for &value in values {
        let base = bases.last().copied();
        let is_start = base.is_none_or(|base| breaks(base, value, width));
        starts.push(is_start);
        match (is_start, base) {
            (false, Some(base)) => offsets.push(value.wrapping_sub(base)),
            _ => bases.push(value),
        }
    }
    out.push(RUNS);
    Bits::write(starts.into_iter(), out);
    Packed::write(&bases, out);
    Packed::write(&offsets, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(values: &[i64], user_ends: &[u32], per_user: Option<&[i64]>, as_times: bool) -> u8 {
        let mut bytes = Vec::new();
        encode(values, per_user, as_times, &mut bytes);
        let mut reader = Reader::new(&bytes);
        let ints = PackedInts::read(&mut reader, values.len(), || Ok(user_ends.to_vec())).unwrap();
        reader.end().unwrap();
        assert_eq!(ints.len(), values.len());
        if let Some((min, max)) = ints.bounds() {
            assert!(values.iter().all(|value| (min..=max).contains(value)));
        }
        for (index, &value) in values.iter().enumerate() {
            assert_eq!(ints.get(index), value);
        }
        let (mut wide, mut narrow) = (Vec::new(), Vec::new());
        for start in [0, values.len() / 3, values.len() / 2, values.len()] {
            for end in [start, start + 1, start + 2, values.len() * 3 / 4, values.len()] {
                if start <= end && end <= values.len() {
                    ints.decode(start..end, &mut wide);
                    assert_eq!(wide, values[start..end]);
                    ints.decode_u32(start..end, &mut narrow);
                    assert!(narrow.iter().zip(&values[start..end]).all(|(a, b)| *a == *b as u32));
                }
            }
        }
        bytes[0]
    }

    #[test]
    fn each_encoding_is_chosen_where_it_fits() {
        let runs: Vec<i64> = (0..3000).map(|i| i / 7 * 1_000_003 % 65_537).collect();
        assert_eq!(check(&runs, &[], None, false), RUNS);
        let times: Vec<i64> = (0..3000).map(|i| i / 50 % 11 * 7_000_000_000_000 + i * 1_000).collect();
        assert_eq!(check(&times, &[], None, true), RUNS);
        assert_eq!(check(&[5; 100], &[], None, true), FRAME);
        let per_user = [9, 1, 7];
        let values: Vec<i64> = [vec![9; 10], vec![1; 40], vec![7; 2]].concat();
        assert_eq!(check(&values, &[10, 50, 52], Some(&per_user), false), PER_USER);
        check(&[i64::MIN, i64::MAX, 0, -1], &[], None, true);
        check(&[], &[], None, true);
    }

    proptest! {
        #[test]
        fn any_integers_round_trip(
            base in any::<i64>(),
            steps in prop::collection::vec(prop_oneof![0..3_i64, 0..1_000_000_i64, any::<i64>()], 0..300),
            as_times in any::<bool>(), grow in any::<bool>(),
        ) {
            let mut value = base;
            let values: Vec<i64> = steps.into_iter().map(|step| {
                value = if grow { value.wrapping_add(step) } else { base.wrapping_add(step) };
                value
            }).collect();
            check(&values, &[], None, as_times);
        }

        #[test]
        fn comparisons_are_those_of_the_values(
            base in -1_000_000_000_000_i64..1_000_000_000_000,
            gaps in prop::collection::vec(prop_oneof![2 => Just(0), 4 => 0..1_000_000_i64, 1 => 0..10_000_000_000_i64], 1..200),
            pairs in prop::collection::vec((0..200_usize, 0..200_usize, -2_i64..3), 30),
        ) {
            let values: Vec<i64> = gaps.into_iter().scan(base, |value, gap| { *value += gap; Some(*value) }).collect();
            let mut bytes = Vec::new();
            encode(&values, None, true, &mut bytes);
            let ints = PackedInts::read(&mut Reader::new(&bytes), values.len(), || Ok(Vec::new())).unwrap();
            for (a, b, near) in pairs {
                let (a, b) = (a % values.len(), b % values.len());
                let (early, late) = (a.min(b), a.max(b));
                let apart = values[late] - values[early];
                for limit in [apart + near, near, 1_000_000, 1_000_000_000, i64::MAX] {
                    prop_assert_eq!(ints.is_within(early, late, limit), apart <= limit, "{} {} {}", early, late, limit);
                }
                prop_assert_eq!(ints.is_same(early..late + 1), apart == 0);
            }
        }
    }
}
