//! The items that most users of each item also use, or that are most alike by their sets of users: all items at once.
//!
//! A count for every pair that occurs, item by item: what a question about one item counts anew for each item is done here
//! with one set of buffers a thread.

use super::effort::Effort;
use super::item_knn::{OfSets, Similarity};
use super::pairs::Pairs;
use super::shared_users::SharedUsers;
use std::cmp::Ordering;
use std::ops::Range;
use trodden_engine::error::Result;
use trodden_engine::parallel;

/// The code of another item, and the users of both.
pub type Companion = (u32, u32);

/// For each item of `pairs`, in its order: the `top` items that share most users with it, as code and count, from high to
/// low, equal ones by the order of items. Items are divided among `threads`, which change nothing.
pub fn companions(pairs: &Pairs, top: usize, threads: usize) -> Vec<Vec<Companion>> {
    let lists = each(pairs, &Effort::of_threads(threads), |search: &mut Search<'_, u32>, column| {
        search.best(column, top, |_, users| users, |&users| users);
        search.found.iter().map(|&(users, other)| (pairs.items[other as usize], users)).collect()
    });
    lists.unwrap_or_default()
}

/// For each item of `pairs`: the `top` items that are most alike, as code and similarity above 0, from high to low, equal
/// ones by the order of items. `similarity` is one of sets of users.
///
/// # Errors
/// `Cancelled`.
pub(super) fn most_alike(
    pairs: &Pairs,
    (similarity, top): (Similarity, usize),
    effort: &Effort<'_>,
) -> Result<Vec<Vec<(u32, f64)>>> {
    let users: Vec<f64> = (0..pairs.items.len()).map(|column| pairs.column(column).0.len() as f64).collect();
    let of_sets = OfSets::new(similarity, pairs.user_count() as u32);
    let least = |alike: &Positive| if similarity == Similarity::Overlap { alike.0 as u32 } else { 1 };
    each(pairs, effort, |search: &mut Search<'_, Positive>, column| {
        let own = users[column];
        let alike = |other: u32, both: u32| of_sets.of(f64::from(both), own, users[other as usize]);
        search.best(column, top, |other, both| Positive(alike(other, both)), least);
        let found = search.found.iter().filter(|(value, _)| value.0 > 0.0);
        found.map(|&(value, other)| (pairs.items[other as usize], value.0)).collect()
    })
}

/// Items that a thread takes at once.
const PART: usize = 64;

/// `list` for each column, on all threads.
fn each<V: Copy + Ord, R: Send>(
    pairs: &Pairs,
    effort: &Effort<'_>,
    list: impl Fn(&mut Search<'_, V>, usize) -> R + Sync,
) -> Result<Vec<R>> {
    let count = pairs.items.len();
    // Small parts taken in turn, since popular items take longest and may stand together.
    let parts: Vec<Range<usize>> = (0..count).step_by(PART).map(|start| start..(start + PART).min(count)).collect();
    let of_parts = parallel::map_all(&parts, effort.threads, |part| {
        effort.check()?;
        let mut search = Search::new(pairs);
        Ok(part.clone().map(|column| list(&mut search, column)).collect::<Vec<_>>())
    });
    Ok(of_parts.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// A similarity, which is a number.
#[derive(Clone, Copy, PartialEq)]
struct Positive(f64);

impl Eq for Positive {}

impl PartialOrd for Positive {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Positive {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Buffers of a thread.
struct Search<'a, V> {
    shared: SharedUsers<'a>,
    /// Values and columns.
    found: Vec<(V, u32)>,
}

impl<'a, V: Copy + Ord> Search<'a, V> {
    fn new(pairs: &'a Pairs) -> Self {
        Self { shared: SharedUsers::new(pairs), found: Vec::new() }
    }

    /// Finds the columns with the highest value of those that share users with `column`. `least` says how many users have to
    /// be shared for a value to be as high, at least.
    fn best(&mut self, column: usize, top: usize, value: impl Fn(u32, u32) -> V, least: impl Fn(&V) -> u32) {
        let Self { shared, found } = self;
        let order = |a: &(V, u32), b: &(V, u32)| b.0.cmp(&a.0).then(a.1.cmp(&b.1));
        // No column behind this one is among the best.
        let mut last: Option<(V, u32)> = None;
        found.clear();
        shared.each(column, |other, users| {
            let one = (value(other, users), other);
            if other as usize != column && last.is_none_or(|last| order(&one, &last).is_lt()) {
                found.push(one);
                if found.len() > ROOM + 2 * top {
                    last = keep_best(found, top, order);
                }
            }
            last.map_or(1, |last| least(&last.0))
        });
        keep_best(found, top, order);
        found.sort_unstable_by(order);
    }
}

/// Columns that are found before the best of them are picked, besides twice those that are asked for.
const ROOM: usize = 64;

/// Keep the first `top` in an order, and give the last of them; `None` where there are fewer.
fn keep_best<T: Copy>(found: &mut Vec<T>, top: usize, order: impl Fn(&T, &T) -> Ordering) -> Option<T> {
    if found.len() < top {
        return None;
    }
    let Some(place) = top.checked_sub(1) else {
        found.clear();
        return None;
    };
    let last = *found.select_nth_unstable_by(place, order).1;
    found.truncate(top);
    Some(last)
}
