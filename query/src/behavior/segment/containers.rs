//! The containers of a bitmap: what it says of 65,536 users each.
//!
//! The bitmap's library keeps them to itself. Its portable form, whose layout is fixed (RoaringFormatSpec), shows them, and
//! writing it is little more than a copy of the memory: 2 % of what counting the overlap of 20 sets takes.

use super::words::{NONE, Words, add, add_run};
use fearless_simd::Level;
use roaring::RoaringBitmap;

/// The first two bytes of a form in which containers may be runs.
const WITH_RUNS: u16 = 12_347;
/// A container with more users than this is a set of bits, which takes 8 KiB.
const PLACES_MAX: usize = 4_096;
/// With runs, a form of fewer containers does not say where each begins.
const OFFSETS_FROM: usize = 4;

/// A bitmap in its portable form.
#[derive(Debug)]
pub(super) struct Containers {
    bytes: Vec<u8>,
    all: Vec<Container>,
}

/// Where the users of one container are.
#[derive(Debug, Clone, Copy)]
struct Container {
    /// The upper half of its users' numbers.
    key: u16,
    users: usize,
    kind: Kind,
    /// Its first byte.
    at: usize,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// The lower halves of the users' numbers, ascending.
    Places,
    /// A bit for every number.
    Words,
    /// So many runs, each by its first number and how many follow that.
    Runs(usize),
}

impl Containers {
    /// Those of a bitmap.
    pub(super) fn of(bitmap: &RoaringBitmap) -> Self {
        let mut bytes = Vec::with_capacity(bitmap.serialized_size());
        // Writing into memory does not fail.
        let _ = bitmap.serialize_into(&mut bytes);
        let all = read(&bytes);
        Self { bytes, all }
    }

    /// The key of one; they ascend.
    pub(super) fn key(&self, index: usize) -> Option<u16> {
        self.all.get(index).map(|container| container.key)
    }

    /// Number of users of one.
    pub(super) fn users(&self, index: usize) -> usize {
        self.all[index].users
    }

    /// The places of one that keeps them as a list.
    pub(super) fn places(&self, index: usize) -> Option<&[[u8; 2]]> {
        let Container { users, kind, at, .. } = self.all[index];
        matches!(kind, Kind::Places).then(|| pairs(&self.bytes[at..at + 2 * users]))
    }

    /// Makes `words` the places of one.
    pub(super) fn write(&self, index: usize, level: Level, words: &mut Words) {
        let Container { users, kind, at, .. } = self.all[index];
        let bytes = &self.bytes[at..];
        match kind {
            Kind::Words => {
                let (eights, _) = bytes.as_chunks();
                words.iter_mut().zip(eights).for_each(|(word, eight)| *word = u64::from_le_bytes(*eight));
            }
            Kind::Places => {
                *words = NONE;
                add(level, pairs(&bytes[..2 * users]), words);
            }
            Kind::Runs(runs) => {
                *words = NONE;
                for run in pairs(&bytes[..4 * runs]).chunks_exact(2) {
                    let [first, more] = [run[0], run[1]].map(u16::from_le_bytes);
                    add_run(first, first + more, words);
                }
            }
        }
    }
}

fn pairs(bytes: &[u8]) -> &[[u8; 2]] {
    bytes.as_chunks().0
}

/// The containers of a portable form.
fn read(bytes: &[u8]) -> Vec<Container> {
    let number = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let may_have_runs = number(0) == usize::from(WITH_RUNS);
    let (count, marks) = if may_have_runs { (number(2) + 1, 4) } else { (number(4) | number(6) << 16, 8) };
    let heads = if may_have_runs { marks + count.div_ceil(8) } else { marks };
    let has_offsets = !may_have_runs || count >= OFFSETS_FROM;
    let mut at = heads + count * if has_offsets { 8 } else { 4 };
    let mut all = Vec::with_capacity(count);
    for index in 0..count {
        let head = heads + 4 * index;
        let users = number(head + 2) + 1;
        let is_runs = may_have_runs && bytes[marks + index / 8] >> (index % 8) & 1 == 1;
        let (kind, start, length) = if is_runs {
            let runs = number(at);
            (Kind::Runs(runs), at + 2, 4 * runs)
        } else if users <= PLACES_MAX {
            (Kind::Places, at, 2 * users)
        } else {
            (Kind::Words, at, size_of::<Words>())
        };
        all.push(Container { key: number(head) as u16, users, kind, at: start });
        at = start + length;
    }
    all
}
