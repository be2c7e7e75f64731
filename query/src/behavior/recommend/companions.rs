//! The items that most users of each item also use, or that are most alike by their sets of users: all items at once.
//!
//! A count for every pair that occurs, item by item: what a question about one item counts anew for each item is done here
//! with one set of buffers a thread.

use super::effort::Effort;
use super::item_knn::{OfSets, Similarity};
use super::pairs::Pairs;
use std::ops::Range;
use trodden_engine::error::Result;
use trodden_engine::parallel;

/// The code of another item, and the users of both.
pub type Companion = (u32, u32);

/// For each item of `pairs`, in its order: the `top` items that share most users with it, as code and count, from high to
/// low, equal ones by the order of items. Items are divided among `threads`, which change nothing.
pub fn companions(pairs: &Pairs, top: usize, threads: usize) -> Vec<Vec<Companion>> {
    let lists = each(pairs, &Effort::of_threads(threads), |search: &mut Search<'_, u32>, column| {
        search.best(column, top, |_, users| users);
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
    each(pairs, effort, |search: &mut Search<'_, Positive>, column| {
        let own = users[column];
        let alike = |other: u32, both: u32| of_sets.of(f64::from(both), own, users[other as usize]);
        search.best(column, top, |other, both| Positive(alike(other, both)));
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
    pairs: &'a Pairs,
    counts: Vec<u32>,
    touched: Vec<u32>,
    /// Values and columns.
    found: Vec<(V, u32)>,
}

impl<'a, V: Copy + Ord> Search<'a, V> {
    fn new(pairs: &'a Pairs) -> Self {
        Self { pairs, counts: vec![0; pairs.items.len()], touched: Vec::new(), found: Vec::new() }
    }

    /// Finds the columns with the highest value of those that share users with `column`.
    fn best(&mut self, column: usize, top: usize, value: impl Fn(u32, u32) -> V) {
        let Self { pairs, counts, touched, found } = self;
        found.clear();
        pairs.co_users(column, counts, touched, |other, users| {
            if other as usize != column {
                found.push((value(other, users), other));
            }
        });
        let order = |a: &(V, u32), b: &(V, u32)| b.0.cmp(&a.0).then(a.1.cmp(&b.1));
        if found.len() > top {
            found.select_nth_unstable_by(top.saturating_sub(1), order);
            found.truncate(top);
        }
        found.sort_unstable_by(order);
    }
}
