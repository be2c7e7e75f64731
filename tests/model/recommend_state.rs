//! The state is a function of the events: added one by one, late or not, it is what all of them at once give.

use crate::case::config;
use crate::recommend_case::{Case, ITEMS, USERS, case, events};
use proptest::prelude::*;
use trodden_query::behavior::recommend::{
    Fixed, Interaction, Interactions, ItemKnn, ItemKnnOptions, Pairs, Similarity, View, Weights, companions,
};

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn one_by_one_is_all_at_once(events in events(60), cut in any::<prop::sample::Index>()) {
        let all = Interactions::from_events(events.iter().copied());
        let cut = cut.index(events.len() + 1);
        let mut added = Interactions::from_events(events[..cut].iter().copied());
        events[cut..].iter().for_each(|&(user, event)| added.add(user, event));
        prop_assert_eq!(&added, &all);
        prop_assert_eq!((added.len(), added.newest_us(), added.active_users()), (all.len(), all.newest_us(), all.active_users()));
        for user in 0..USERS {
            let mut own: Vec<Interaction> = events.iter().filter(|event| event.0 == user).map(|event| event.1).collect();
            own.sort_by_key(|event| event.ts_us);
            prop_assert_eq!(all.of_user(user), &own[..]);
        }
        for item in 0..ITEMS {
            let mut uses: Vec<(i64, u32)> =
                events.iter().filter(|event| event.1.item == item).map(|event| (event.1.ts_us, event.0)).collect();
            uses.sort_unstable();
            prop_assert_eq!(all.uses_between(item, i64::MIN, i64::MAX).collect::<Vec<_>>(), uses.clone());
            let middle: Vec<(i64, u32)> = uses.iter().copied().filter(|each| (3..=8).contains(&each.0)).collect();
            prop_assert_eq!(all.uses_between(item, 3, 8).collect::<Vec<_>>(), middle);
            let users: std::collections::BTreeSet<u32> = uses.iter().map(|each| each.1).collect();
            prop_assert_eq!(all.users_of_item(item) as usize, users.len());
        }
    }

    /// Users whose events come one user after the other, as a scan gives them, make the same state as events in order of
    /// arrival.
    #[test]
    fn the_order_between_users_changes_nothing(events in events(60)) {
        let mut by_user = events.clone();
        by_user.sort_by_key(|event| (event.0, event.1.ts_us));
        let interactions = Interactions::from_events(by_user);
        prop_assert_eq!(interactions, Interactions::from_events(events));
    }

    #[test]
    fn rows_that_are_kept_are_still_right(
        events in events(60),
        more in crate::recommend_case::events(4),
        ranks in crate::recommend_case::ranks(),
        similarity in prop_oneof![
            Just(Similarity::Llr),
            Just(Similarity::Jaccard),
            Just(Similarity::Bm25 { k1: 1.2, b: 0.75 }),
            Just(Similarity::Rp3Beta { alpha: 1.0, beta: 0.4 }),
        ],
    ) {
        let mut interactions = Interactions::from_events(events);
        let options = ItemKnnOptions::of(similarity);
        let weights = Weights::new(vec![1.0; 3]);
        let before = View::whole(&interactions, weights.clone());
        let knn = ItemKnn::new(&before, options);
        (0..ITEMS).for_each(|item| drop(knn.neighbours(&before, &ranks, item)));
        more.into_iter().for_each(|(user, event)| interactions.add(user, event));
        let after = View::whole(&interactions, weights);
        let (kept, fresh) = (knn.refreshed(&after), ItemKnn::new(&after, options));
        for item in 0..ITEMS {
            prop_assert_eq!(kept.neighbours(&after, &ranks, item), fresh.neighbours(&after, &ranks, item));
        }
    }

    /// Neighbours come from counts that are kept right while events come and go, of which rare ones are left out until they
    /// matter.
    #[test]
    fn neighbours_follow_what_comes_and_goes(
        events in events(60),
        acts in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>(), prop::option::of(0..ITEMS)), 1..30),
        ranks in crate::recommend_case::ranks(),
        neighbours in 1..4_usize,
        similarity in prop_oneof![
            Just(Similarity::Llr),
            Just(Similarity::Cosine),
            Just(Similarity::Jaccard),
            Just(Similarity::Overlap),
        ],
    ) {
        let (mut there, mut waiting) = (events.clone(), Vec::new());
        let mut interactions = Interactions::from_events(events);
        let options = ItemKnnOptions { neighbours, ..ItemKnnOptions::of(similarity) };
        let row = |interactions: &Interactions, item: u32| {
            let view = View::whole(interactions, Weights::new(vec![1.0; 3]));
            ItemKnn::new(&view, options).neighbours(&view, &ranks, item)
        };
        for (goes, pick, item) in acts {
            let (from, to) = if goes { (&mut there, &mut waiting) } else { (&mut waiting, &mut there) };
            if !from.is_empty() {
                let (user, event) = from[pick.index(from.len())];
                // Of several that are the same the last one goes.
                from.remove(from.iter().rposition(|other| *other == (user, event)).expect("it is there"));
                to.push((user, event));
                if goes { interactions.remove(user, event) } else { interactions.add(user, event) }
            }
            if let Some(item) = item {
                prop_assert_eq!(row(&interactions, item), row(&Interactions::from_events(there.iter().copied()), item));
            }
        }
        let mut fresh = Interactions::from_events(there.iter().copied());
        for code in 0..USERS.max(ITEMS) {
            prop_assert_eq!(interactions.of_user(code), fresh.of_user(code));
            let uses = |of: &Interactions| of.uses_between(code, i64::MIN, i64::MAX).collect::<Vec<_>>();
            prop_assert_eq!(uses(&interactions), uses(&fresh));
        }
        prop_assert_eq!((interactions.len(), interactions.newest_us()), (fresh.len(), fresh.newest_us()));
        fresh.forget_before(5);
        interactions.forget_before(5);
        let left = Interactions::from_events(there.into_iter().filter(|event| event.1.ts_us >= 5));
        prop_assert_eq!(fresh.len(), left.len());
        prop_assert_eq!((fresh.newest_us(), fresh.active_users()), (left.newest_us(), left.active_users()));
        for item in 0..ITEMS {
            prop_assert_eq!(row(&interactions, item), row(&left, item));
            prop_assert_eq!(fresh.users_of_item(item), left.users_of_item(item));
        }
    }

    #[test]
    fn companions_are_counted(case in case(60), top in 1..5_usize, threads in 1..4_usize) {
        let case = Case { window_us: None, as_of_us: None, ..case };
        let interactions = case.interactions();
        let pairs = Pairs::new(&case.view(&interactions), &case.ranks);
        let table = crate::recommend_model::table(&case);
        let found = companions(&pairs, top, threads);
        for (list, &item) in found.iter().zip(&pairs.items) {
            let both = |other: u32| table.iter().filter(|row| row[item as usize] * row[other as usize] > 0.0).count() as u32;
            let mut expected: Vec<(u32, u32)> =
                (0..ITEMS).filter(|&other| other != item && both(other) > 0).map(|other| (other, both(other))).collect();
            expected.sort_by_key(|&(other, users)| (std::cmp::Reverse(users), case.ranks[other as usize]));
            expected.truncate(top);
            prop_assert_eq!(list, &expected);
        }
    }

    /// Sums of weights merge in any order and grouping.
    #[test]
    fn sums_do_not_depend_on_order(
        weights in proptest::collection::vec(0.0..1e6_f64, 1..20),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 20),
    ) {
        let mut whole = Fixed::default();
        weights.iter().for_each(|&weight| whole.add(weight));
        let one = |weight: f64| {
            let mut sum = Fixed::default();
            sum.add(weight);
            sum
        };
        let mut parts: Vec<Fixed> = weights.iter().map(|&weight| one(weight)).collect();
        let mut picks = picks.iter();
        while parts.len() > 1 {
            let pick = picks.next().unwrap();
            let other = parts.swap_remove(pick.index(parts.len()));
            let into = pick.index(parts.len());
            parts[into].merge(other);
        }
        prop_assert_eq!(parts[0], whole);
        prop_assert!((whole.value() - weights.iter().sum::<f64>()).abs() < 1e-6);
    }
}
