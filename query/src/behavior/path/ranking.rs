//! The most frequent keys of each group, and one row for the rest.

use super::tally::Tally;
use crate::behavior::quantile::quantiles_seconds;
use parking_lot::Mutex;
use std::cmp::Ordering;
use trodden_engine::parallel;

/// A row of the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct TallyRow {
    /// The group.
    pub group: u32,
    /// The key behind its group; `None` for the rest of the group.
    pub key: Option<Vec<u32>>,
    /// How often.
    pub count: u64,
    /// Different users; 0 where they were not wanted.
    pub users: u64,
    /// All counts of the group, this row's among them.
    pub group_count: u64,
    /// Median of the durations in seconds, where there are any.
    pub median_seconds: Option<f64>,
}

/// The `top` keys of each group by count, in the order of the groups; those of equal counts in the order of their keys. If a
/// group has more, a row without a key adds them up: its users are those with any of them, its median is of all their
/// durations. `order` tells the order of two keys, or of two groups, each alone: codes are given by chance.
/// Up to `threads` threads look for the medians.
pub fn rank(tally: &Tally, top: u32, threads: usize, order: impl Fn(&[u32], &[u32]) -> Ordering) -> Vec<TallyRow> {
    let keys: Vec<&[u32]> = tally.keys().collect();
    let mut numbers: Vec<u32> = (0..keys.len() as u32).collect();
    let group_of = |number: u32| keys[number as usize][0];
    if numbers.iter().any(|&number| group_of(number) != group_of(0)) {
        numbers.sort_unstable_by(|&a, &b| order(&[group_of(a)], &[group_of(b)]));
    }
    let order = |a: &u32, b: &u32| {
        let (a, b) = (*a as usize, *b as usize);
        tally.counts[b].cmp(&tally.counts[a]).then_with(|| order(keys[a], keys[b]))
    };
    let mut rows = Vec::new();
    // The row of each key.
    let mut row_of = vec![0_u32; keys.len()];
    for group in numbers.chunk_by_mut(|&a, &b| group_of(a) == group_of(b)) {
        let count = |numbers: &[u32]| numbers.iter().map(|&number| tally.counts[number as usize]).sum::<u64>();
        let group_count = count(group);
        let kept = group.len().min(top as usize);
        if kept < group.len() {
            group.select_nth_unstable_by(kept, order);
        }
        let (best, rest) = group.split_at_mut(kept);
        best.sort_unstable_by(order);
        for &number in &*best {
            row_of[number as usize] = rows.len() as u32;
            let (key, place) = (keys[number as usize], number as usize);
            let (count, users) = (tally.counts[place], tally.users[place]);
            let (group, key) = (key[0], Some(key[1..].to_vec()));
            rows.push(TallyRow { group, key, count, users, group_count, median_seconds: None });
        }
        if let Some(&first) = rest.first() {
            rest.iter().for_each(|&number| row_of[number as usize] = rows.len() as u32);
            let (group, count) = (group_of(first), count(rest));
            rows.push(TallyRow { group, key: None, count, users: 0, group_count, median_seconds: None });
        }
    }
    count_users_of_rest(tally, &row_of, &mut rows);
    find_medians(tally, &row_of, threads, &mut rows);
    rows
}

/// A user may have several keys of the rest.
fn count_users_of_rest(tally: &Tally, row_of: &[u32], rows: &mut [TallyRow]) {
    if rows.iter().all(|row| row.key.is_some()) {
        return;
    }
    let mut last_users = vec![0_u64; rows.len()];
    let mut user = 0;
    tally.each_user_key(|is_next, key| {
        user += u64::from(is_next);
        let row = row_of[key as usize] as usize;
        if rows[row].key.is_none() && last_users[row] != user {
            last_users[row] = user;
            rows[row].users += 1;
        }
    });
}

/// With fewer durations than this, threads cost more than they save.
const DURATIONS_FOR_THREADS: usize = 50_000;

fn find_medians(tally: &Tally, row_of: &[u32], threads: usize, rows: &mut [TallyRow]) {
    let mut counts = vec![0_usize; rows.len()];
    tally.duration_keys.iter().for_each(|&key| counts[row_of[key as usize] as usize] += 1);
    let mut durations: Vec<Vec<i64>> = counts.into_iter().map(Vec::with_capacity).collect();
    for (&key, &duration_us) in tally.duration_keys.iter().zip(&tally.durations_us) {
        durations[row_of[key as usize] as usize].push(duration_us);
    }
    let threads = if tally.durations_us.len() < DURATIONS_FOR_THREADS { 1 } else { threads };
    let durations: Vec<Mutex<Vec<i64>>> = durations.into_iter().map(Mutex::new).collect();
    let medians = parallel::map_all(&durations, threads, |durations| quantiles_seconds(&mut durations.lock(), [0.5]));
    for (row, [median_seconds]) in rows.iter_mut().zip(medians) {
        row.median_seconds = median_seconds;
    }
}
