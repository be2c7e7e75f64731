//! Which algorithm answers where none is named: no single one wins everywhere, so the purpose picks it.

use super::Ask;
use crate::behavior::recommend::{
    Algorithm, Blend, EaseOptions, ItemKnnOptions, Part, Scale, SequenceOptions, SessionKnnOptions, View,
};

/// A user whose last event is not longer ago is in a session.
const SESSION_US: i64 = 30 * 60_000_000;

/// Up to so many items `ease` is learned without being asked for: in about a second. It takes the cube of them, so that at
/// its own limit a first question would wait for minutes.
const EASE_UNASKED_ITEMS: usize = 2_000;

/// `item_knn` and `sequence`, added up.
pub(super) fn blend(item_knn: Algorithm) -> Algorithm {
    let part = |using: Algorithm| Part { using, weight: 1.0 };
    let parts = vec![part(item_knn), part(Algorithm::Sequence(SequenceOptions::default()))];
    Algorithm::Blend(Blend { parts, scale: Scale::default() })
}

/// The algorithm for a list that is asked of this view; `user` is the code of the user, if it is about one.
pub(super) fn algorithm(ask: Ask, view: &View<'_>, user: Option<u32>) -> Algorithm {
    match ask {
        Ask::User if user.is_some_and(|user| is_in_session(view, user)) => {
            Algorithm::SessionKnn(SessionKnnOptions::default())
        }
        Ask::User => blend(Algorithm::item_knn()),
        Ask::Items if used_items(view) <= EASE_UNASKED_ITEMS => Algorithm::Ease(EaseOptions::default()),
        Ask::Items => Algorithm::ItemKnn(ItemKnnOptions::rp3beta_of_baskets()),
        Ask::EveryUser | Ask::Item | Ask::EveryItem => Algorithm::item_knn(),
    }
}

/// The rule of [`algorithm`] for a person.
pub(super) fn rule(ask: Ask) -> String {
    match ask {
        Ask::User => "session_knn up to 30 minutes after the user's last event, else blend".into(),
        Ask::Items => format!("ease up to {EASE_UNASKED_ITEMS} items, else rp3beta"),
        Ask::EveryUser | Ask::Item | Ask::EveryItem => "item_knn".into(),
    }
}

fn is_in_session(view: &View<'_>, user: u32) -> bool {
    let last = view.events(user).next_back();
    last.is_some_and(|last| view.now_us.saturating_sub(last.ts_us) <= SESSION_US)
}

/// Items with an event that counts.
fn used_items(view: &View<'_>) -> usize {
    if view.is_whole() {
        let items = 0..view.interactions.item_count() as u32;
        return items.filter(|&item| view.interactions.users_of_item(item) > 0).count();
    }
    let mut is_used = vec![false; view.interactions.item_count()];
    for user in 0..view.interactions.user_count() as u32 {
        view.events(user).for_each(|event| is_used[event.item as usize] = true);
    }
    is_used.into_iter().filter(|&used| used).count()
}
