//! The items that most users of each item also use: counts of all pairs at once.

use super::pairs::Pairs;

/// The code of another item, and the users of both.
pub type Companion = (u32, u32);

/// For each item of `pairs`, in its order: the `top` items that share most users with it, as code and count, from high to
/// low, equal ones by the order of items. Items are divided among `threads`, which change nothing.
pub fn companions(pairs: &Pairs, top: usize, threads: usize) -> Vec<Vec<Companion>> {
    let count = pairs.items.len();
    let mut all: Vec<Vec<Companion>> = vec![Vec::new(); count];
    // Small parts taken in turn, since popular items take longest and may stand together.
    let parts = std::sync::Mutex::new(all.chunks_mut(PART).enumerate());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let (mut counts, mut touched, mut found) = (vec![0; count], Vec::new(), Vec::new());
                loop {
                    let next = parts.lock().ok().and_then(|mut parts| parts.next());
                    let Some((part, lists)) = next else { return };
                    for (place, list) in lists.iter_mut().enumerate() {
                        let column = part * PART + place;
                        best(pairs, column, top, &mut counts, &mut touched, &mut found);
                        list.extend(found.iter().map(|&(users, other)| (pairs.items[other as usize], users)));
                    }
                }
            });
        }
    });
    all
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
