//! The items that most users of each item also use: counts of all pairs at once.

use super::pairs::Pairs;
use std::ops::Range;
use trodden_engine::parallel;

/// The code of another item, and the users of both.
pub type Companion = (u32, u32);

/// For each item of `pairs`, in its order: the `top` items that share most users with it, as code and count, from high to
/// low, equal ones by the order of items. Items are divided among `threads`, which change nothing.
pub fn companions(pairs: &Pairs, top: usize, threads: usize) -> Vec<Vec<Companion>> {
    let count = pairs.items.len();
    // Small parts taken in turn, since popular items take longest and may stand together.
    let parts: Vec<Range<usize>> = (0..count).step_by(PART).map(|start| start..(start + PART).min(count)).collect();
    let of_parts = parallel::map_all(&parts, threads, |part| {
        let (mut counts, mut touched, mut found) = (vec![0; count], Vec::new(), Vec::new());
        let list = |column: usize| -> Vec<Companion> {
            best(pairs, column, top, &mut counts, &mut touched, &mut found);
            found.iter().map(|&(users, other)| (pairs.items[other as usize], users)).collect()
        };
        part.clone().map(list).collect::<Vec<_>>()
    });
    of_parts.into_iter().flatten().collect()
}

/// Items that a thread takes at once.
const PART: usize = 64;

/// The columns that share most users with `column`, as users and column.
fn best(
    pairs: &Pairs,
    column: usize,
    top: usize,
    counts: &mut [u32],
    touched: &mut Vec<u32>,
    found: &mut Vec<(u32, u32)>,
) {
    found.clear();
    pairs.co_users(column, counts, touched, |other, users| {
        if other as usize != column {
            found.push((users, other));
        }
    });
    let order = |a: &(u32, u32), b: &(u32, u32)| b.0.cmp(&a.0).then(a.1.cmp(&b.1));
    if found.len() > top {
        found.select_nth_unstable_by(top.saturating_sub(1), order);
        found.truncate(top);
    }
    found.sort_unstable_by(order);
}
