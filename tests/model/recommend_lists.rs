//! Lists: what may be in them, the cut, limits of categories, popular items at the end, and reasons that add up.

use crate::case::config;
use crate::recommend_case::{Case, ITEMS, KINDS, USERS, case};
use crate::recommend_model::{counted, popular};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;
use trodden_engine::error::ErrorKind;
use trodden_query::behavior::recommend::{
    Algorithm, AlsOptions, Blend, Chain, Diversify, EaseOptions, Effort, Interaction, ItemKnnOptions, Model, Part,
    Protocol, RecommendSpec, Recommended, Recommender, Scale, Seen, SequenceOptions, SessionKnnOptions, Similarity,
    Target, Wanted, Weights, evaluate_chain, scores,
};

fn one_algorithm() -> impl Strategy<Value = Algorithm> {
    let als = AlsOptions { factors: 4, iterations: 2, ..AlsOptions::default() };
    prop_oneof![
        Just(Algorithm::Popular),
        Just(Algorithm::Sequence(SequenceOptions::default())),
        Just(Algorithm::SessionKnn(SessionKnnOptions { gap_us: 4, ..SessionKnnOptions::default() })),
        Just(Algorithm::item_knn()),
        Just(Algorithm::ItemKnn(ItemKnnOptions::of(Similarity::Overlap))),
        Just(Algorithm::ItemKnn(ItemKnnOptions { neighbours: 2, ..ItemKnnOptions::of(Similarity::Cosine) })),
        Just(Algorithm::ItemKnn(ItemKnnOptions::rp3beta())),
        Just(Algorithm::Repurchase),
        Just(Algorithm::Ease(EaseOptions { lambda: 1.0, recency: 0.9 })),
        Just(Algorithm::Als(als)),
    ]
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    let scale = prop_oneof![Just(Scale::Score), Just(Scale::ReciprocalRank)];
    let part = (one_algorithm(), prop_oneof![Just(1.0), Just(0.5)]).prop_map(|(using, weight)| Part { using, weight });
    let blend = (vec(part, 1..4), scale).prop_map(|(parts, scale)| Algorithm::Blend(Blend { parts, scale }));
    prop_oneof![4 => one_algorithm(), 1 => blend]
}

fn seen() -> impl Strategy<Value = Seen> {
    prop_oneof![Just(Seen::Exclude), Just(Seen::Include), vec(0..KINDS, 0..3).prop_map(Seen::ExcludeKinds)]
}

fn maybe<T: std::fmt::Debug + Clone + 'static>(value: impl Strategy<Value = T> + 'static) -> BoxedStrategy<Option<T>> {
    prop_oneof![1 => Just(None), 1 => value.prop_map(Some)].boxed()
}

/// A case, its arguments, and a user.
fn question() -> impl Strategy<Value = (Case, RecommendSpec, u32)> {
    let boost = vec(prop_oneof![Just(1.0), Just(0.0), Just(-1.0), Just(3.0)], 3..=ITEMS as usize);
    let diversify =
        (vec(0..3_u32, 0..=ITEMS as usize), 1..3_usize).prop_map(|(category, max)| Diversify { category, max });
    let limits = (maybe(vec(any::<bool>(), 2..=ITEMS as usize)), maybe(boost), maybe(diversify), vec(0..ITEMS, 0..2));
    (case(40), algorithm(), seen(), limits, 1..7_usize, 0..USERS).prop_map(
        |(mut case, using, seen, (candidates, boost, diversify, exclude), top, user)| {
            case.weights[0] = 1.0;
            let spec = RecommendSpec {
                half_life_us: case.half_life_us,
                window_us: case.window_us,
                as_of_us: case.as_of_us,
                top,
                seen,
                exclude,
                candidates,
                boost,
                diversify,
                ..RecommendSpec::new(using, Weights::new(case.weights.clone()))
            };
            (case, spec, user)
        },
    )
}

fn fitted(case: &Case, spec: &RecommendSpec) -> Model {
    Model::fit(&spec.view(&case.interactions()), &case.ranks, &spec.using, 2).unwrap()
}

fn list(case: &Case, spec: &RecommendSpec, target: Target<'_>, threads: usize) -> Vec<Recommended> {
    let interactions = case.interactions();
    let model = Model::fit(&spec.view(&interactions), &case.ranks, &spec.using, threads).unwrap();
    Recommender::new(&interactions, &case.ranks, spec, &model).unwrap().list(target)
}

/// The list by definition, from the scores of each algorithm of a chain and of the model's popularity: item, score, and the
/// place of the algorithm.
fn expected(case: &Case, specs: &[RecommendSpec], user: u32) -> Vec<(u32, f64, Option<usize>)> {
    let interactions = case.interactions();
    let first = &specs[0];
    let has = |item: u32, seen: &Seen| {
        let own = case.events.iter().filter(|(other, event)| *other == user && event.ts_us <= case.now_us());
        own.filter(|(_, event)| event.item == item).any(|(_, event)| match seen {
            Seen::Exclude => case.weights[usize::from(event.kind)] > 0.0,
            Seen::ExcludeKinds(kinds) => kinds.contains(&event.kind),
            Seen::Include => false,
        })
    };
    let may = |item: u32, seen: &Seen| {
        let named = first.candidates.as_ref().is_none_or(|named| named.get(item as usize) == Some(&true));
        named && !has(item, seen) && !first.exclude.contains(&item)
    };
    let boosted = |item: u32, score: f64| {
        score * first.boost.as_ref().and_then(|boost| boost.get(item as usize)).copied().unwrap_or(1.0)
    };
    let sorted = |scores: Vec<(u32, f64)>, seen: &Seen| {
        let boosted = scores.into_iter().map(|(item, score)| (item, boosted(item, score)));
        let mut left: Vec<(u32, f64)> = boosted.filter(|(item, score)| *score > 0.0 && may(*item, seen)).collect();
        left.sort_by(|a, b| b.1.total_cmp(&a.1).then(case.ranks[a.0 as usize].cmp(&case.ranks[b.0 as usize])));
        left
    };
    let mut rows: Vec<(u32, f64, Option<usize>)> = Vec::new();
    let fits = |rows: &[(u32, f64, Option<usize>)], item: u32| {
        let fits = first.diversify.as_ref().is_none_or(|diversify| {
            let category = |item: u32| diversify.category.get(item as usize);
            let same = rows.iter().filter(|row| category(row.0) == category(item)).count();
            category(item).is_none() || same < diversify.max
        });
        fits && rows.len() < first.top && rows.iter().all(|row| row.0 != item)
    };
    for (place, spec) in specs.iter().enumerate() {
        let view = spec.view(&interactions);
        let model = Model::fit(&view, &case.ranks, &spec.using, 1).unwrap();
        for (item, score) in sorted(scores(&view, &case.ranks, &model, Target::User(user)), &spec.seen) {
            if fits(&rows, item) {
                rows.push((item, score, Some(place)));
            }
        }
    }
    let has_scores = !rows.is_empty();
    let popular = popular(case, case.half_life_us);
    for (item, score) in sorted((0..ITEMS).map(|item| (item, popular[item as usize])).collect(), &first.seen) {
        if fits(&rows, item) {
            rows.push((item, if has_scores { 0.0 } else { score }, None));
        }
    }
    rows
}

/// A blend by rank looks at what may be in the list, so that its scores cannot be had without the list.
fn is_by_rank(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::Blend(blend) if blend.scale == Scale::ReciprocalRank)
}

const MINUTES_10_US: i64 = 10 * 60_000_000;

/// By definition, what a basket of a user after the split is asked with, and what is looked for.
fn basket_of(case: &Case, split_us: i64, user: u32, drawn: u64) -> Option<(Vec<u32>, BTreeSet<u32>)> {
    let own = case.events.iter().filter(|(other, event)| *other == user && event.ts_us >= split_us);
    let mut own: Vec<&Interaction> =
        own.map(|(_, event)| event).filter(|event| case.weights[usize::from(event.kind)] > 0.0).collect();
    own.sort_by_key(|event| event.ts_us);
    let by_value: BTreeSet<(u32, u32)> =
        own.iter().map(|event| (case.ranks[event.item as usize], event.item)).collect();
    let held_out = by_value.iter().nth((drawn % by_value.len().max(1) as u64) as usize)?.1;
    let others = own.iter().map(|event| event.item).filter(|item| *item != held_out);
    (by_value.len() > 1).then(|| (others.collect(), BTreeSet::from([held_out])))
}

/// By definition, what is looked for of a user who is asked.
fn looked_for(case: &Case, seen: &Seen, split_us: i64, protocol: Protocol, user: u32) -> BTreeSet<u32> {
    let is_worth = |kind: u8| case.weights[usize::from(kind)] > 0.0;
    let own = case.events.iter().filter(|(other, _)| *other == user).map(|(_, event)| *event);
    let mut later: Vec<Interaction> =
        own.clone().filter(|event| event.ts_us >= split_us && is_worth(event.kind)).collect();
    later.sort_by_key(|event| event.ts_us);
    let is_of_first = |at: usize| (1..=at).all(|at| later[at].ts_us - later[at - 1].ts_us <= 3 * MINUTES_10_US);
    let places = (0..later.len()).filter(|&at| protocol == Protocol::Time || is_of_first(at));
    let had = |item: u32| {
        own.clone().filter(|event| event.ts_us < split_us && event.item == item).any(|event| match seen {
            Seen::Exclude => is_worth(event.kind),
            Seen::ExcludeKinds(kinds) => kinds.contains(&event.kind),
            Seen::Include => false,
        })
    };
    places.map(|at| later[at].item).filter(|&item| !had(item)).collect()
}

proptest! {
    #![proptest_config(config(4_000))]

    #[test]
    fn a_list_is_what_the_definition_says((case, spec, user) in question(), others in vec((algorithm(), seen()), 0..3)) {
        let mut specs = vec![spec];
        for (using, seen) in others {
            specs.push(RecommendSpec { using, seen, ..specs[0].clone() });
        }
        prop_assume!(!specs.iter().any(|spec| is_by_rank(&spec.using)));
        let interactions = case.interactions();
        let models: Vec<Model> = specs.iter().map(|spec| fitted(&case, spec)).collect();
        let chain = Chain::new(&interactions, &case.ranks, specs.iter().zip(&models)).unwrap();
        let found = chain.list(Target::User(user), true);
        let expected = expected(&case, &specs, user);
        let places: Vec<(u32, Option<usize>)> = found.iter().map(|row| (row.item, row.by)).collect();
        prop_assert_eq!(&places, &expected.iter().map(|row| (row.0, row.2)).collect::<Vec<_>>());
        for (row, (_, score, _)) in found.iter().zip(&expected) {
            prop_assert!((row.score - score).abs() <= 1e-9 * (1.0 + score.abs()), "{row:?} has not {score}");
        }
        // Reasons change nothing else; and those of a row are those that its algorithm gives.
        let plain = |rows: Vec<Recommended>| rows.into_iter().map(|row| (row.item, row.by)).collect::<Vec<_>>();
        prop_assert_eq!(plain(chain.list(Target::User(user), false)), places);
        if specs.len() == 1 {
            prop_assert_eq!(found, list(&case, &specs[0], Target::User(user), 1));
        }
    }

    /// Lists of all items at once, which is a way of its own, are those of one question after the other.
    #[test]
    fn a_list_for_each_item_is_that_for_the_item((case, spec, _) in question(), threads in 1..4_usize) {
        let (interactions, model) = (case.interactions(), fitted(&case, &spec));
        let chain = Chain::new(&interactions, &case.ranks, [(&spec, &model)]).unwrap();
        let effort = Effort::of_threads(threads);
        let (items, lists) = chain.lists_of_items(true, &effort).unwrap();
        let counts = |item: u32| (0..USERS).any(|user| crate::recommend_model::counted(&case, user).iter().any(|event| event.item == item));
        let mut used: Vec<u32> = (0..ITEMS).filter(|&item| counts(item)).collect();
        used.sort_by_key(|&item| case.ranks[item as usize]);
        prop_assert_eq!(&items, &used);
        prop_assert_eq!(lists.len(), used.len());
        for (item, found) in items.iter().zip(&lists) {
            let expected = list(&case, &spec, Target::Item(*item), 1);
            prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                let reasons = |row: &Recommended| -> Option<Vec<u32>> {
                    row.because.as_ref().map(|because| because.iter().map(|reason| reason.0).collect())
                };
                prop_assert_eq!((found.item, reasons(found)), (expected.item, reasons(expected)));
                prop_assert!((found.score - expected.score).abs() <= 1e-12 * expected.score, "{found:?} is not {expected:?}");
            }
        }
        let (_, without) = chain.lists_of_items(false, &effort).unwrap();
        let plain = |lists: &[Vec<Recommended>]| lists.iter().flatten().map(|row| (row.item, row.score)).collect::<Vec<_>>();
        prop_assert_eq!(plain(&without), plain(&lists));
        let stopped = chain.lists_of_items(true, &Effort { go_on: &|| false, ..effort });
        prop_assert!(items.is_empty() || stopped.unwrap_err().kind() == ErrorKind::Cancelled);
    }

    #[test]
    fn reasons_add_up_to_the_score((case, mut spec, user) in question()) {
        spec.boost = None;
        for row in list(&case, &spec, Target::User(user), 1) {
            let Some(because) = row.because else { continue };
            prop_assert!(because.iter().all(|reason| reason.1 > 0.0));
            let sum: f64 = because.iter().map(|reason| reason.1).sum();
            // Only the three highest are told, and with vectors and linear models some are below 0.
            let is_whole = because.len() < 3 && !matches!(spec.using, Algorithm::Ease(_) | Algorithm::Als(_) | Algorithm::Blend(_));
            prop_assert!(!is_whole || (sum - row.score).abs() <= 1e-9 * row.score, "{because:?} of {}", row.score);
        }
    }

    #[test]
    fn codes_of_items_threads_and_length_change_nothing((case, spec, user) in question(), codes in crate::recommend_case::ranks()) {
        let found = list(&case, &spec, Target::User(user), 1);
        prop_assert_eq!(&list(&case, &spec, Target::User(user), 3), &found);
        let longer = list(&case, &RecommendSpec { top: spec.top + 2, ..spec.clone() }, Target::User(user), 1);
        prop_assert_eq!(&longer[..found.len()], &found[..]);

        let item = |item: u32| codes[item as usize];
        let moved = |values: &[u32]| values.iter().map(|&value| item(value)).collect::<Vec<u32>>();
        let mut other = case.clone();
        other.events.iter_mut().for_each(|(_, event)| event.item = item(event.item));
        (0..ITEMS as usize).for_each(|at| other.ranks[codes[at] as usize] = case.ranks[at]);
        let spec = RecommendSpec { candidates: None, boost: None, diversify: None, exclude: moved(&spec.exclude), ..spec };
        let plain = RecommendSpec { exclude: (0..ITEMS).filter(|&at| spec.exclude.contains(&item(at))).collect(), ..spec.clone() };
        let rows = list(&case, &plain, Target::User(user), 1).into_iter().map(|row| Recommended {
            item: item(row.item),
            because: row.because.map(|because| because.into_iter().map(|(source, share)| (item(source), share)).collect()),
            ..row
        });
        prop_assert_eq!(list(&other, &spec, Target::User(user), 1), rows.collect::<Vec<_>>());
    }

    #[test]
    fn quality_is_what_the_lists_show(
        (case, mut spec, _) in question(),
        (split_us, k) in (1..30_i64, 1..5_usize),
        second in proptest::option::of(algorithm()),
        asked in proptest::bits::u32::between(0, USERS as usize),
        drawn in vec(any::<u64>(), USERS as usize),
        protocol in prop_oneof![Just(Protocol::Time), Just(Protocol::NextBasket), Just(Protocol::Basket)],
    ) {
        // Ten minutes for a unit of time, so that there are baskets to tell apart.
        let (case, split_us) = (case.stretched(MINUTES_10_US), split_us * MINUTES_10_US);
        (spec.half_life_us, spec.window_us, spec.as_of_us) = (case.half_life_us, case.window_us, None);
        let mut specs = vec![spec.clone()];
        specs.extend(second.map(|using| RecommendSpec { using, ..spec.clone() }));
        let held_out = |user: u32| drawn[user as usize];
        let wanted = Wanted { split_us, k, protocol, held_out: &held_out, is_asked: &|user| asked >> user & 1 != 0 };
        let quality =
            evaluate_chain(&case.interactions(), &case.ranks, &specs, wanted, &Effort::of_threads(2)).unwrap();
        let before = Case { as_of_us: Some(split_us - 1), ..case.clone() };
        let before_specs: Vec<RecommendSpec> =
            specs.iter().map(|spec| RecommendSpec { as_of_us: Some(split_us - 1), top: k, ..spec.clone() }).collect();
        let models: Vec<Model> = before_specs.iter().map(|spec| fitted(&before, spec)).collect();
        let interactions = before.interactions();
        let chain = Chain::new(&interactions, &before.ranks, before_specs.iter().zip(&models)).unwrap();
        let (mut users, mut recall, mut hits, mut gains) = (0, 0.0, 0, 0.0);
        for user in (0..USERS).filter(|user| asked >> user & 1 != 0) {
            let basket = basket_of(&case, split_us, user, drawn[user as usize]);
            let (target, later) = match (protocol, &basket) {
                (Protocol::Basket, None) => continue,
                (Protocol::Basket, Some((basket, later))) => (Target::Items(basket), later.clone()),
                (Protocol::Time | Protocol::NextBasket, _) if counted(&before, user).is_empty() => continue,
                (Protocol::Time | Protocol::NextBasket, _) => {
                    (Target::User(user), looked_for(&case, &spec.seen, split_us, protocol, user))
                }
            };
            if later.is_empty() {
                continue;
            }
            users += 1;
            let shown = chain.list(target, false);
            let places: Vec<usize> = (0..shown.len()).filter(|&place| later.contains(&shown[place].item)).collect();
            recall += places.len() as f64 / later.len() as f64;
            hits += usize::from(!places.is_empty());
            let gain = |place: usize| 1.0 / (place as f64 + 2.0).log2();
            gains += places.iter().map(|&place| gain(place)).sum::<f64>() / (0..k.min(later.len())).map(gain).sum::<f64>();
        }
        prop_assert_eq!(quality.users, users);
        let users = users.max(1) as f64;
        prop_assert!((quality.recall - recall / users).abs() < 1e-9);
        prop_assert!((quality.ndcg - gains / users).abs() < 1e-9);
        prop_assert!((quality.hit_rate - hits as f64 / users).abs() < 1e-9);
    }
}
