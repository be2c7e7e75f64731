//! RECOMMEND by brute force: sets of users and lists of events, and what the definitions say about them.
//!
//! Shares nothing with the kernels but the types of their arguments.

use crate::recommend_case::{Case, ITEMS, USERS};
use std::collections::BTreeSet;
use trodden_query::behavior::recommend::{
    Interaction, SequenceOptions, SessionKnnOptions, Similarity, TrendingOptions,
};

/// A user's events that count, in total order.
pub(crate) fn counted(case: &Case, user: u32) -> Vec<Interaction> {
    let now = case.now_us();
    let own = case.events.iter().filter(|(other, _)| *other == user).map(|(_, event)| *event);
    let mut events: Vec<Interaction> = own
        .filter(|event| event.ts_us <= now && case.window_us.is_none_or(|window| event.ts_us >= now - window))
        .filter(|event| case.weights[usize::from(event.kind)] > 0.0)
        .collect();
    events.sort_by_key(|event| event.ts_us);
    events
}

fn weight(case: &Case, event: &Interaction, half_life: Option<i64>) -> f64 {
    let age = (case.now_us() - event.ts_us) as f64;
    case.weights[usize::from(event.kind)] * half_life.map_or(1.0, |half_life| 0.5_f64.powf(age / half_life as f64))
}

pub(crate) fn popular(case: &Case, half_life: Option<i64>) -> Vec<f64> {
    let mut sums = vec![0.0; ITEMS as usize];
    for user in 0..USERS {
        for event in counted(case, user) {
            sums[event.item as usize] += weight(case, &event, half_life);
        }
    }
    sums
}

pub(crate) fn trending(case: &Case, options: TrendingOptions) -> Vec<f64> {
    let short = popular(case, Some(options.short_half_life_us));
    let long = popular(case, Some(options.long_half_life_us));
    let part = options.short_half_life_us as f64 / options.long_half_life_us as f64;
    (0..ITEMS as usize)
        .map(|item| {
            let expected = long[item] * part;
            ((short[item] - expected) / (expected + 1.0).sqrt()).max(0.0)
        })
        .collect()
}

/// Strength of every successor of an item: each pair of events of a user is looked at.
pub(crate) fn successors(case: &Case, item: u32, options: SequenceOptions) -> Vec<f64> {
    let mut moments: BTreeSet<(i64, u32)> = BTreeSet::new();
    for user in 0..USERS {
        moments.extend(counted(case, user).iter().filter(|event| event.item == item).map(|event| (event.ts_us, user)));
    }
    let newest: BTreeSet<(i64, u32)> = moments.into_iter().rev().take(options.uses).collect();
    let (mut sums, mut uses) = (vec![0.0; ITEMS as usize], 0);
    for user in 0..USERS {
        let events = counted(case, user);
        for (at, event) in events.iter().enumerate() {
            if event.item != item || !newest.contains(&(event.ts_us, user)) {
                continue;
            }
            uses += 1;
            for (next, other) in events.iter().enumerate() {
                if next > at && next - at <= options.steps && other.item != item {
                    sums[other.item as usize] += weight(case, other, case.half_life_us) / (next - at) as f64;
                }
            }
        }
    }
    sums.iter().map(|sum| if uses == 0 { 0.0 } else { sum / f64::from(uses) }).collect()
}

fn users_of(case: &Case, item: u32) -> BTreeSet<u32> {
    (0..USERS).filter(|&user| counted(case, user).iter().any(|event| event.item == item)).collect()
}

fn items_of(case: &Case, user: u32) -> BTreeSet<u32> {
    counted(case, user).iter().map(|event| event.item).collect()
}

/// The log-likelihood ratio by the 2x2 table: twice the sum of `observed ln(observed / expected)`.
fn llr(both: f64, a: f64, b: f64, n: f64) -> f64 {
    let cells = [[both, a - both], [b - both, n - a - b + both]];
    let rows = cells.map(|row| row[0] + row[1]);
    let columns = [cells[0][0] + cells[1][0], cells[0][1] + cells[1][1]];
    let mut sum = 0.0;
    for row in 0..2 {
        for column in 0..2 {
            let expected = rows[row] * columns[column] / n;
            if cells[row][column] > 0.0 {
                sum += cells[row][column] * (cells[row][column] / expected).ln();
            }
        }
    }
    2.0 * sum
}

pub(crate) fn similarity(case: &Case, item: u32, other: u32, similarity: Similarity) -> f64 {
    let (a, b) = (users_of(case, item), users_of(case, other));
    let both: Vec<u32> = a.intersection(&b).copied().collect();
    if item == other || both.is_empty() {
        return 0.0;
    }
    let shared = both.len() as f64;
    let (a, b) = (a.len() as f64, b.len() as f64);
    let users = (0..USERS).filter(|&user| !counted(case, user).is_empty()).count() as f64;
    let items = (0..ITEMS).filter(|&item| !users_of(case, item).is_empty()).count() as f64;
    match similarity {
        Similarity::Llr if shared / users > a / users * (b / users) + 1e-12 => llr(shared, a, b, users),
        Similarity::Llr => 0.0,
        Similarity::Cosine => shared / a.sqrt() / b.sqrt(),
        Similarity::Jaccard => shared / (a + b - shared),
        Similarity::Overlap => shared,
        Similarity::Bm25 { k1, b: damping } => {
            let pairs: usize = (0..ITEMS).map(|item| users_of(case, item).len()).sum();
            let long = |users: f64| users / (pairs as f64 / items);
            let saturation = |users: f64| (k1 + 1.0) / (k1 * (1.0 - damping + damping * long(users)) + 1.0);
            let idf = |user: u32| (items.ln() - (1.0 + items_of(case, user).len() as f64).ln()).max(0.0);
            both.iter().map(|&user| saturation(a) * idf(user) * saturation(b) * idf(user)).sum()
        }
        Similarity::Rp3Beta { alpha, beta } => {
            let walk = |user: &u32| (1.0 / a).powf(alpha) * (1.0 / items_of(case, *user).len() as f64).powf(alpha);
            both.iter().map(walk).sum::<f64>() / b.powf(beta)
        }
    }
}

/// The user's distinct items, the newest first, with what each counts.
pub(crate) fn history(case: &Case, user: u32, recency: f64) -> Vec<(u32, f64)> {
    let events = counted(case, user);
    let mut items: Vec<u32> = Vec::new();
    for event in events.iter().rev() {
        if !items.contains(&event.item) {
            items.push(event.item);
        }
    }
    let heaviest = |item: u32| {
        let own = events.iter().filter(|event| event.item == item);
        own.map(|event| weight(case, event, case.half_life_us)).fold(0.0, f64::max)
    };
    items.iter().enumerate().map(|(place, &item)| (item, heaviest(item) * recency.powi(place as i32))).collect()
}

/// A session: its user, its events in order.
type Session = (u32, Vec<Interaction>);

fn sessions(case: &Case, gap_us: i64) -> Vec<Session> {
    let mut all: Vec<Session> = Vec::new();
    for user in 0..USERS {
        let mut last: Option<i64> = None;
        for event in counted(case, user) {
            if last.is_none_or(|last| event.ts_us - last > gap_us) {
                all.push((user, Vec::new()));
            }
            last = Some(event.ts_us);
            all.last_mut().unwrap().1.push(event);
        }
    }
    all
}

/// Scores of VMIS-kNN for a user: every session is compared.
pub(crate) fn session_knn(case: &Case, options: SessionKnnOptions, user: u32) -> Vec<f64> {
    let all = sessions(case, options.gap_us);
    let mut scores = vec![0.0; ITEMS as usize];
    let Some((_, current)) = all.iter().rfind(|session| session.0 == user) else { return scores };
    let newest: Vec<u32> = current.iter().rev().take(options.sources).map(|event| event.item).collect();
    // Place from the end of each distinct item's newest use.
    let places: Vec<(u32, usize)> = (0..newest.len())
        .filter(|&place| !newest[..place].contains(&newest[place]))
        .map(|place| (newest[place], place))
        .collect();
    // For each item of the session, the newest sessions of others with it.
    let use_of = |session: usize, item: u32| {
        all[session].1.iter().filter(|event| event.item == item).map(|event| event.ts_us).max()
    };
    let near: Vec<Vec<usize>> = places
        .iter()
        .map(|&(item, _)| {
            let mut with: Vec<usize> =
                (0..all.len()).filter(|&s| all[s].0 != user && use_of(s, item).is_some()).collect();
            with.sort_by_key(|&session| std::cmp::Reverse((use_of(session, item), all[session].0)));
            with.truncate(options.sessions_per_item);
            with
        })
        .collect();
    let holds = |session: usize, source: usize| near[source].contains(&session);
    let likeness = |session: usize| -> f64 {
        let matched = (0..places.len()).filter(|&source| holds(session, source));
        matched.map(|source| (newest.len() - places[source].1) as f64 / newest.len() as f64).sum()
    };
    let latest = |session: usize| {
        (0..places.len()).filter(|&source| holds(session, source)).filter_map(|s| use_of(session, places[s].0)).max()
    };
    let mut voters: Vec<usize> =
        (0..all.len()).filter(|&session| (0..places.len()).any(|source| holds(session, source))).collect();
    voters.sort_by(|&a, &b| {
        let by_likeness = likeness(b).total_cmp(&likeness(a));
        by_likeness.then(latest(b).cmp(&latest(a))).then(a.cmp(&b))
    });
    voters.truncate(options.neighbours);
    for session in voters {
        let first = (0..places.len()).find(|&source| holds(session, source)).unwrap();
        let newness = 1.0 - 0.1 * (first + 1).min(10) as f64;
        let items: BTreeSet<u32> = all[session].1.iter().map(|event| event.item).collect();
        for item in items {
            scores[item as usize] += likeness(session) * newness * rarity(case, item);
        }
    }
    scores
}

/// `ln(all events / events of the item)`.
fn rarity(case: &Case, item: u32) -> f64 {
    let all: Vec<Interaction> = (0..USERS).flat_map(|user| counted(case, user)).collect();
    (all.len() as f64 / all.iter().filter(|event| event.item == item).count() as f64).ln()
}

/// The user's own items: weights of events, each basket since then taking 5 %.
pub(crate) fn own_items(case: &Case, user: u32, gap_us: i64) -> Vec<f64> {
    let baskets: Vec<Session> = sessions(case, gap_us).into_iter().filter(|session| session.0 == user).collect();
    let mut sums = vec![0.0; ITEMS as usize];
    for (place, (_, events)) in baskets.iter().rev().enumerate() {
        for event in events {
            sums[event.item as usize] += 0.95_f64.powi(place as i32) * weight(case, event, case.half_life_us);
        }
    }
    sums
}

/// Which items each user has, one row a user with any.
pub(crate) fn table(case: &Case) -> Vec<Vec<f64>> {
    let users = (0..USERS).map(|user| items_of(case, user)).filter(|items| !items.is_empty());
    users.map(|items| (0..ITEMS).map(|item| f64::from(u8::from(items.contains(&item)))).collect()).collect()
}

/// Summed weights of each user's events with each item, one row a user with any.
pub(crate) fn weight_table(case: &Case) -> Vec<Vec<f64>> {
    let mut rows = Vec::new();
    for user in 0..USERS {
        let events = counted(case, user);
        let mut row = vec![0.0; ITEMS as usize];
        events.iter().for_each(|event| row[event.item as usize] += weight(case, event, case.half_life_us));
        if !events.is_empty() {
            rows.push(row);
        }
    }
    rows
}

/// The solution of `matrix x = right`, by elimination with the largest pivot.
pub(crate) fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let size = right.len();
    for column in 0..size {
        let pivot =
            (column..size).max_by(|&a, &b| matrix[a][column].abs().total_cmp(&matrix[b][column].abs())).unwrap();
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        for row in 0..size {
            if row != column {
                let factor = matrix[row][column] / matrix[column][column];
                let pivot_row = matrix[column].clone();
                matrix[row].iter_mut().zip(pivot_row).for_each(|(value, pivot)| *value -= factor * pivot);
                right[row] -= factor * right[column];
            }
        }
    }
    (0..size).map(|row| right[row] / matrix[row][row]).collect()
}

/// Weights of EASE: item by item the least squares with a ridge that forbids an item to explain itself.
pub(crate) fn ease(case: &Case, lambda: f64) -> Vec<Vec<f64>> {
    let table = table(case);
    let items = ITEMS as usize;
    let gram = |a: usize, b: usize| table.iter().map(|row| row[a] * row[b]).sum::<f64>();
    let mut weights = vec![vec![0.0; items]; items];
    (0..items).for_each(|target| {
        let others: Vec<usize> = (0..items).filter(|&item| item != target).collect();
        let matrix = others
            .iter()
            .map(|&a| others.iter().map(|&b| gram(a, b) + if a == b { lambda } else { 0.0 }).collect())
            .collect();
        let found = solve(matrix, others.iter().map(|&item| gram(item, target)).collect());
        others.iter().zip(found).for_each(|(&item, weight)| weights[item][target] = weight);
    });
    weights
}
