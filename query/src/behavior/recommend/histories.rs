//! Where uses of an item stand in the histories of their users.

use super::interactions::Interaction;
use super::view::View;

/// So many uses are looked for at once.
pub(super) const USES_AT_ONCE: usize = 32;

/// For each use, its time and its user, the user's events in the time of the view and the place of the first one that is not
/// earlier than the use.
///
/// Histories lie all over the memory. One step for all of them, then the next, and it answers several questions at once;
/// one search after the other would wait for each answer.
pub(super) fn histories<'a>(view: &View<'a>, uses: &[(i64, u32)]) -> Vec<(&'a [Interaction], usize)> {
    let lists = uses.iter().map(|&(_, user)| view.interactions.of_user(user)).collect::<Vec<_>>();
    let mut found: Vec<(&[Interaction], usize)> = lists.into_iter().map(|list| (view.in_time(list), 0)).collect();
    let mut unsure: Vec<usize> = found.iter().map(|(events, _)| events.len()).collect();
    while unsure.iter().any(|&length| length > 0) {
        for ((&(ts_us, _), (events, first)), length) in uses.iter().zip(&mut found).zip(&mut unsure) {
            let half = length.div_ceil(2);
            let is_earlier = half > 0 && events[*first + half - 1].ts_us < ts_us;
            *first += if is_earlier { half } else { 0 };
            *length = if is_earlier { *length - half } else { half.saturating_sub(1) };
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::interactions::Interactions;
    use super::super::view::Weights;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_are_those_of_one_search_each(
            events in prop::collection::vec((0_u32..6, 0_i64..40), 0..200),
            uses in prop::collection::vec((-1_i64..41, 0_u32..8), 0..40),
            (since_us, until_us) in (prop_oneof![Just(i64::MIN), 0_i64..40], prop_oneof![Just(i64::MAX), 0_i64..40]),
        ) {
            let events = events.into_iter().map(|(user, ts_us)| (user, Interaction { ts_us, item: 0, kind: 0 }));
            let interactions = Interactions::from_events(events);
            let view = View { since_us, until_us, ..View::whole(&interactions, Weights::new(vec![1.0])) };
            for (&(ts_us, user), (list, first)) in uses.iter().zip(histories(&view, &uses)) {
                let all = interactions.of_user(user).iter();
                let want: Vec<_> = all.filter(|event| (since_us..=until_us).contains(&event.ts_us)).copied().collect();
                prop_assert_eq!(list, &want);
                prop_assert_eq!(first, want.iter().filter(|event| event.ts_us < ts_us).count());
            }
        }
    }
}
