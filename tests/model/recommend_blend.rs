//! Blends: sums of the scores of their parts on one scale, and reasons that are those of the parts.

use crate::case::config;
use crate::recommend_case::{Case, USERS, case};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use trodden_query::behavior::recommend::{
    Algorithm, Blend, ItemKnnOptions, Model, Part, RecommendSpec, Recommender, Scale, Seen, SequenceOptions,
    SessionKnnOptions, Similarity, Target, Weights, scores,
};

/// Algorithms whose score for an item is a sum over the items of a history.
fn of_histories() -> impl Strategy<Value = Algorithm> {
    prop_oneof![
        Just(Algorithm::Sequence(SequenceOptions::default())),
        Just(Algorithm::SessionKnn(SessionKnnOptions { gap_us: 4, ..SessionKnnOptions::default() })),
        Just(Algorithm::item_knn()),
        Just(Algorithm::ItemKnn(ItemKnnOptions::of(Similarity::Overlap))),
        Just(Algorithm::ItemKnn(ItemKnnOptions::rp3beta())),
        Just(Algorithm::Repurchase),
    ]
}

fn blend(part: impl Strategy<Value = Algorithm>) -> impl Strategy<Value = Blend> {
    let weight = prop_oneof![Just(1.0), Just(0.5), Just(3.0)];
    let part = (part, weight).prop_map(|(using, weight)| Part { using, weight });
    let scale = prop_oneof![Just(Scale::Score), Just(Scale::ReciprocalRank)];
    (vec(part, 1..4), scale).prop_map(|(parts, scale)| Blend { parts, scale })
}

/// What an algorithm says of each item of which it says something.
fn said(case: &Case, using: &Algorithm, user: u32) -> BTreeMap<u32, f64> {
    let interactions = case.interactions();
    let spec = spec(case, using);
    let view = spec.view(&interactions);
    let model = Model::fit(&view, &case.ranks, using, 1).unwrap();
    let said = scores(&view, &case.ranks, &model, Target::User(user));
    said.into_iter().filter(|(_, score)| *score > 0.0).collect()
}

fn spec(case: &Case, using: &Algorithm) -> RecommendSpec {
    // Everything may be in the list, so that ranks are among all items.
    RecommendSpec { seen: Seen::Include, ..RecommendSpec::new(using.clone(), Weights::new(case.weights.clone())) }
}

/// The scores of a part on the scale of the blend, by the definition.
fn scaled(case: &Case, said: &BTreeMap<u32, f64>, scale: Scale) -> BTreeMap<u32, f64> {
    let highest = said.values().copied().fold(0.0, f64::max);
    let before = |item: u32, score: f64| {
        let rank = |item: u32| case.ranks[item as usize];
        said.iter().filter(|(other, of)| **of > score || **of == score && rank(**other) < rank(item)).count()
    };
    let on_scale = |(&item, &score): (&u32, &f64)| match scale {
        Scale::Score => (item, score / highest),
        Scale::ReciprocalRank => (item, 1.0 / (61.0 + before(item, score) as f64)),
    };
    said.iter().map(on_scale).collect()
}

proptest! {
    #![proptest_config(config(5_000))]

    #[test]
    fn scores_are_sums_of_those_of_the_parts(
        mut case in case(40),
        blend in blend(prop_oneof![5 => of_histories(), 1 => Just(Algorithm::Popular)]),
        user in 0..USERS,
    ) {
        case.weights[0] = 1.0;
        let mut expected: BTreeMap<u32, f64> = BTreeMap::new();
        for part in &blend.parts {
            for (item, score) in scaled(&case, &said(&case, &part.using, user), blend.scale) {
                *expected.entry(item).or_default() += part.weight * score;
            }
        }
        let found = said(&case, &Algorithm::Blend(blend.clone()), user);
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (item, score) in expected {
            prop_assert!((found[&item] - score).abs() <= 1e-9 * score, "{item}: {} in place of {score}", found[&item]);
        }
    }

    /// Each part gives its share of the score as it divides its own one among the items of the history.
    #[test]
    fn reasons_add_up(mut case in case(40), blend in blend(of_histories()), user in 0..USERS) {
        case.weights[0] = 1.0;
        let interactions = case.interactions();
        let blended = spec(&case, &Algorithm::Blend(blend));
        let model = Model::fit(&blended.view(&interactions), &case.ranks, &blended.using, 1).unwrap();
        for row in Recommender::new(&interactions, &case.ranks, &blended, &model).unwrap().list(Target::User(user)) {
            let Some(because) = row.because else { continue };
            let sum: f64 = because.iter().map(|reason| reason.1).sum();
            prop_assert!(sum <= row.score * (1.0 + 1e-9), "{because:?} of {}", row.score);
            // Three are told at most.
            let is_whole = because.len() < 3;
            prop_assert!(!is_whole || sum >= row.score * (1.0 - 1e-9), "{because:?} of {}", row.score);
        }
    }
}
