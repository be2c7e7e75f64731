//! Each algorithm gives every item the score that the model gives it.

use crate::case::config;
use crate::recommend_case::{Case, ITEMS, USERS, case};
use crate::recommend_model::{self as model, ease, history, own_items, session_knn, similarity, successors};
use proptest::prelude::*;
use trodden_query::behavior::recommend::{
    Algorithm, AlsOptions, EaseOptions, Interaction, Interactions, ItemKnn, ItemKnnOptions, Model, SequenceOptions,
    SessionKnnOptions, Similarity, Target, TrendingOptions, View, Weights, scores,
};

/// What an algorithm gives to each item for a target.
fn scored(case: &Case, algorithm: &Algorithm, target: Target<'_>) -> Vec<f64> {
    let interactions = case.interactions();
    let view = case.view(&interactions);
    let model = Model::fit(&view, &case.ranks, algorithm, 2).unwrap();
    let mut all = vec![0.0; ITEMS as usize];
    for (item, score) in scores(&view, &case.ranks, &model, target) {
        all[item as usize] = score;
    }
    all
}

fn near(found: &[f64], expected: &[f64], tolerance: f64) -> Result<(), TestCaseError> {
    for (item, (found, expected)) in found.iter().zip(expected).enumerate() {
        let close = (found - expected).abs() <= tolerance * (1.0 + expected.abs());
        prop_assert!(close, "item {item}: {found} in place of {expected}");
    }
    Ok(())
}

fn close(found: &[f64], expected: &[f64]) -> Result<(), TestCaseError> {
    near(found, expected, 1e-9)
}

/// The sum over a history of what each of its items says about every item.
fn summed(history: &[(u32, f64)], says: impl Fn(u32, u32) -> f64) -> Vec<f64> {
    (0..ITEMS).map(|item| history.iter().map(|&(source, weight)| weight * says(source, item)).sum()).collect()
}

fn sequence() -> impl Strategy<Value = SequenceOptions> {
    let uses = prop_oneof![Just(1_usize), Just(3), Just(5_000)];
    (1..5_usize, uses, 1..5_usize, prop_oneof![Just(1.0), Just(0.5)])
        .prop_map(|(steps, uses, sources, recency)| SequenceOptions { steps, uses, sources, recency })
}

fn any_similarity() -> impl Strategy<Value = Similarity> {
    prop_oneof![
        Just(Similarity::Llr),
        Just(Similarity::Cosine),
        Just(Similarity::Jaccard),
        Just(Similarity::Overlap),
        Just(Similarity::Bm25 { k1: 1.2, b: 0.75 }),
        (0..3_u8, 0..3_u8)
            .prop_map(|(a, b)| Similarity::Rp3Beta { alpha: f64::from(a) * 0.5, beta: f64::from(b) * 0.3 }),
    ]
}

fn knn() -> impl Strategy<Value = ItemKnnOptions> {
    (any_similarity(), prop_oneof![Just(1.0), Just(0.7)], 1..9_usize).prop_map(|(similarity, recency, sources)| {
        ItemKnnOptions { recency, voters: 200, sources, ..ItemKnnOptions::of(similarity) }
    })
}

fn sessions() -> impl Strategy<Value = SessionKnnOptions> {
    (1..4_usize, 1..6_usize, 1..9_i64, 1..5_usize).prop_map(|(sessions_per_item, neighbours, gap_us, sources)| {
        SessionKnnOptions { sessions_per_item, neighbours, gap_us, sources }
    })
}

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn popular_and_trending(case in case(40), short in 1..5_i64, more in 1..9_i64) {
        close(&scored(&case, &Algorithm::Popular, Target::User(0)), &model::popular(&case, case.half_life_us))?;
        let options = TrendingOptions { short_half_life_us: short, long_half_life_us: short + more };
        close(&scored(&case, &Algorithm::Trending(options), Target::User(0)), &model::trending(&case, options))?;
    }

    #[test]
    fn sequences(case in case(40), options in sequence(), user in 0..USERS) {
        let mut expected = history(&case, user, options.recency);
        expected.truncate(options.sources);
        let expected = summed(&expected, |source, item| successors(&case, source, options)[item as usize]);
        close(&scored(&case, &Algorithm::Sequence(options), Target::User(user)), &expected)?;
        let for_item = summed(&[(3, 1.0)], |source, item| successors(&case, source, options)[item as usize]);
        close(&scored(&case, &Algorithm::Sequence(options), Target::Item(3)), &for_item)?;
    }

    #[test]
    fn item_neighbours(case in case(40), options in knn(), user in 0..USERS) {
        let mut expected = history(&case, user, options.recency);
        expected.truncate(options.sources);
        let expected = summed(&expected, |source, item| similarity(&case, source, item, options.similarity));
        close(&scored(&case, &Algorithm::ItemKnn(options), Target::User(user)), &expected)?;
        let basket = [2, 5, 2];
        let expected = summed(&[(2, 1.0), (5, 1.0)], |source, item| similarity(&case, source, item, options.similarity));
        close(&scored(&case, &Algorithm::ItemKnn(options), Target::Items(&basket)), &expected)?;
    }

    #[test]
    fn the_nearest_neighbours_are_kept(case in case(40), chosen in any_similarity(), count in 1..5_usize, item in 0..ITEMS) {
        let interactions = case.interactions();
        let view = case.view(&interactions);
        let options = ItemKnnOptions { neighbours: count, ..ItemKnnOptions::of(chosen) };
        let row = ItemKnn::new(&view, options).neighbours(&view, &case.ranks, item);
        let mut all: Vec<f64> = (0..ITEMS).map(|other| similarity(&case, item, other, chosen)).collect();
        for &(other, value) in row.iter() {
            near(&[value], &[all[other as usize]], 1e-9)?;
        }
        let by_rank = |pair: &[(u32, f64)]| case.ranks[pair[0].0 as usize] < case.ranks[pair[1].0 as usize];
        prop_assert!(row.windows(2).all(|pair| pair[0].1 > pair[1].1 || (pair[0].1 == pair[1].1 && by_rank(pair))));
        all.sort_by(|a, b| b.total_cmp(a));
        let kept: Vec<f64> = row.iter().map(|pair| pair.1).collect();
        let expected: Vec<f64> = all.into_iter().filter(|value| *value > 0.0).take(count).collect();
        prop_assert_eq!(kept.len(), expected.len());
        close(&kept, &expected)?;
    }

    #[test]
    fn sessions_like_the_one_in_progress(case in case(40), options in sessions(), user in 0..USERS) {
        let expected = session_knn(&case, options, user);
        close(&scored(&case, &Algorithm::SessionKnn(options), Target::User(user)), &expected)?;
    }

    #[test]
    fn own_items_and_a_little_of_their_neighbours(case in case(40), user in 0..USERS) {
        // Ten minutes for a unit of time, so that there are baskets to tell apart.
        let case = case.stretched(10 * 60_000_000);
        let own = own_items(&case, user, 30 * 60_000_000);
        let sources = own.iter().filter(|weight| **weight > 0.0).count() as f64;
        let alike = |source: u32, item: u32| similarity(&case, source, item, Similarity::Llr);
        let mut expected = own.clone();
        for source in (0..ITEMS).filter(|&source| own[source as usize] > 0.0) {
            let highest = (0..ITEMS).map(|item| alike(source, item)).fold(0.0, f64::max);
            for item in (0..ITEMS).filter(|&item| alike(source, item) > 0.0) {
                expected[item as usize] += 0.3 / sources * own[source as usize] * alike(source, item) / highest;
            }
        }
        close(&scored(&case, &Algorithm::Repurchase, Target::User(user)), &expected)?;
    }

    #[test]
    fn linear_models_in_closed_form(case in case(40), lambda in prop_oneof![Just(0.5), Just(3.0)], user in 0..USERS) {
        let options = EaseOptions { lambda, recency: 0.8 };
        let weights = ease(&case, lambda);
        let expected = summed(&history(&case, user, 0.8), |source, item| weights[source as usize][item as usize]);
        near(&scored(&case, &Algorithm::Ease(options), Target::User(user)), &expected, 1e-5)?;
    }

    /// With three factors the three steps toward each vector reach it, so each turn is that of the exact method.
    #[test]
    fn factors_of_taste(case in case(40), user in 0..USERS) {
        let options = AlsOptions { factors: 3, regularization: 0.5, alpha: 2.0, iterations: 3, recency: 0.9 };
        let expected = als_scores(&case, options, user);
        near(&scored(&case, &Algorithm::Als(options), Target::User(user)), &expected, 1e-3)?;
    }
}

/// Steps that are computed with 24 bits lose sight of each other here: the score of item 0 for user 1 was 4 % short.
#[test]
fn factors_of_weights_far_apart() {
    let events = [
        [2, 0, 2],
        [3, 2, 0],
        [2, 5, 0],
        [5, 4, 0],
        [5, 4, 0],
        [5, 5, 0],
        [1, 2, 2],
        [5, 2, 0],
        [5, 2, 0],
        [5, 2, 2],
        [5, 4, 0],
        [4, 6, 0],
        [5, 1, 2],
        [2, 3, 0],
        [3, 5, 0],
        [5, 2, 2],
    ];
    let event = |[user, item, kind]: [u32; 3]| (user, Interaction { ts_us: 0, item, kind: kind as u8 });
    let case = Case {
        events: events.map(event).to_vec(),
        weights: vec![1.0, 1.0, 2.5],
        window_us: None,
        as_of_us: None,
        half_life_us: None,
        ranks: vec![5, 6, 3, 0, 1, 4, 2],
    };
    let options = AlsOptions { factors: 3, regularization: 0.5, alpha: 2.0, iterations: 3, recency: 0.9 };
    for user in 0..USERS {
        let found = scored(&case, &Algorithm::Als(options), Target::User(user));
        near(&found, &als_scores(&case, options, user), 1e-5).unwrap();
    }
}

/// Implicit ALS by elimination, from the same first vectors, in the order of ranks.
fn als_scores(case: &Case, options: AlsOptions, user: u32) -> Vec<f64> {
    let table = model::weight_table(case);
    let mut used: Vec<u32> = (0..ITEMS).filter(|&item| table.iter().any(|row| row[item as usize] > 0.0)).collect();
    used.sort_by_key(|&item| case.ranks[item as usize]);
    let rows: Vec<Vec<f64>> =
        table.iter().map(|row| used.iter().map(|&item| options.alpha * row[item as usize]).collect()).collect();
    let columns: Vec<Vec<f64>> = (0..used.len()).map(|at| rows.iter().map(|row| row[at]).collect()).collect();
    let mut items: Vec<Vec<f64>> = (0..used.len())
        .map(|at| (0..options.factors).map(|factor| first(at * options.factors + factor)).collect())
        .collect();
    for _ in 0..options.iterations {
        let users: Vec<Vec<f64>> = rows.iter().map(|row| vector(row, &items, options)).collect();
        items = columns.iter().map(|column| vector(column, &users, options)).collect();
    }
    let history = history(case, user, options.recency);
    let confidence =
        |item: u32| history.iter().find(|source| source.0 == item).map_or(0.0, |source| options.alpha * source.1);
    let own = vector(&used.iter().map(|&item| confidence(item)).collect::<Vec<f64>>(), &items, options);
    let mut scores = vec![0.0; ITEMS as usize];
    for (at, &item) in used.iter().enumerate() {
        scores[item as usize] = own.iter().zip(&items[at]).map(|(a, b)| a * b).sum();
    }
    scores
}

/// The vector that fits best: preference 1 with confidence 1 + c where c is above 0, preference 0 with confidence 1.
fn vector(confidences: &[f64], others: &[Vec<f64>], options: AlsOptions) -> Vec<f64> {
    let size = options.factors;
    let mut matrix = vec![vec![0.0; size]; size];
    let mut right = vec![0.0; size];
    for (other, &confidence) in others.iter().zip(confidences) {
        for row in 0..size {
            right[row] += if confidence > 0.0 { (1.0 + confidence) * other[row] } else { 0.0 };
            for column in 0..size {
                matrix[row][column] += (1.0 + confidence) * other[row] * other[column];
            }
        }
    }
    (0..size).for_each(|at| matrix[at][at] += options.regularization);
    model::solve(matrix, right)
}

/// The numbers from which the vectors of items start: SplitMix64 over the place.
fn first(place: usize) -> f64 {
    let mut x = (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    ((x >> 40) as f64 / 16_777_216.0 - 0.5) / 10.0
}

/// Twenty neighbours of an item count, in the order of items where they are equally alike.
#[test]
fn the_nearest_neighbours_of_own_items() {
    let event = |item: u32| Interaction { ts_us: 0, item, kind: 0 };
    let beside = (1..=25).flat_map(|item| [(item, event(0)), (item, event(item))]);
    // A user of something else, so that it says something to have item 0.
    let interactions = Interactions::from_events([(0, event(0)), (26, event(26))].into_iter().chain(beside));
    let ranks: Vec<u32> = (0..interactions.item_count() as u32).rev().collect();
    let view = View::whole(&interactions, Weights::new(vec![1.0]));
    let model = Model::fit(&view, &ranks, &Algorithm::Repurchase, 1).expect("it learns");
    let mut found: Vec<u32> = scores(&view, &ranks, &model, Target::User(0)).into_iter().map(|score| score.0).collect();
    found.sort_unstable();
    assert_eq!(found, [0].into_iter().chain(6..=25).collect::<Vec<u32>>());
}

/// Of a long history the neighbours of the newest 50 items count, and of all items that they are the user's own.
#[test]
fn neighbours_of_the_newest_own_items() {
    const OWN: u32 = 80;
    let hour_us = 3_600_000_000;
    let event = |item: u32| Interaction { ts_us: i64::from(item) * hour_us, item, kind: 0 };
    let own = (0..OWN).map(|item| (0, event(item)));
    // Item 200 is beside the oldest item of user 0, item 201 beside the newest; the others make neither of them usual.
    let others =
        [(1, event(0)), (1, event(200)), (2, event(OWN - 1)), (2, event(201)), (3, event(300)), (4, event(301))];
    let interactions = Interactions::from_events(own.chain(others));
    // The last items first: the user's own are as near to each other as what is beside them.
    let ranks: Vec<u32> = (0..interactions.item_count() as u32).rev().collect();
    let view = View::whole(&interactions, Weights::new(vec![1.0]));
    let model = Model::fit(&view, &ranks, &Algorithm::Repurchase, 1).expect("it learns");
    let found: Vec<(u32, f64)> = scores(&view, &ranks, &model, Target::User(0));
    let score = |item: u32| found.iter().find(|score| score.0 == item).map_or(0.0, |score| score.1);
    assert!((0..OWN).all(|item| score(item) > 0.0));
    assert_eq!(score(200), 0.0);
    assert!(score(201) > 0.0);
}
