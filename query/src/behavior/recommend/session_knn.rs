//! VMIS-kNN: what is in the newest sessions that are like the one in progress.
//!
//! After Kersbergen, Sprangers and Schelter, "Serenade: Low-Latency Session-Based Recommendation in e-Commerce at Scale"
//! (2022). A session is a run of one user's events without a gap longer than `gap_us`.

use super::histories::{USES_AT_ONCE, histories};
use super::interactions::Interaction;
use super::scores::{Scores, Source};
use super::view::View;
use hashbrown::HashMap;
use std::cell::RefCell;
use std::rc::Rc;
use trodden_engine::error::{Error, Result};

/// Options of `session_knn`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SessionKnnOptions {
    /// Sessions that are looked at for one item, the newest ones.
    pub sessions_per_item: usize,
    /// Sessions that vote, the most alike.
    pub neighbours: usize,
    /// A gap longer than this begins a new session.
    pub gap_us: i64,
    /// How many of the session's newest items are looked at.
    pub sources: usize,
}

impl Default for SessionKnnOptions {
    fn default() -> Self {
        Self { sessions_per_item: 500, neighbours: 100, gap_us: 30 * 60_000_000, sources: 9 }
    }
}

impl SessionKnnOptions {
    pub(super) fn validate(&self) -> Result<()> {
        if self.sessions_per_item == 0 || self.neighbours == 0 || self.sources == 0 {
            let message = "session_knn looks at no session or no item";
            return Err(Error::invalid(message).with_hint("give at least 1 of each"));
        }
        if self.gap_us <= 0 {
            return Err(
                Error::invalid("the gap between sessions is not longer than zero").with_hint("such as 30 minutes")
            );
        }
        Ok(())
    }
}

/// How often each item is used, which the rarity of items comes from.
#[derive(Debug)]
pub struct SessionKnn {
    options: SessionKnnOptions,
    item_events: Vec<u32>,
    events: u64,
}

impl SessionKnn {
    /// The counts of a view.
    pub fn new(view: &View<'_>, options: SessionKnnOptions) -> Self {
        let interactions = view.interactions;
        let mut item_events = vec![0_u32; interactions.item_count()];
        if view.is_whole() {
            for (item, events) in item_events.iter_mut().enumerate() {
                *events = interactions.uses_between(item as u32, i64::MIN, i64::MAX).len() as u32;
            }
        } else {
            let users = 0..interactions.user_count() as u32;
            users.for_each(|user| view.events(user).for_each(|event| item_events[event.item as usize] += 1));
        }
        let events = item_events.iter().map(|&events| u64::from(events)).sum();
        Self { options, item_events, events }
    }

    /// The options.
    pub fn options(&self) -> SessionKnnOptions {
        self.options
    }

    /// Bytes held on the heap.
    pub fn heap_bytes(&self) -> usize {
        4 * self.item_events.capacity()
    }

    /// The logarithm of all events over those of the item, as in Serenade.
    fn rarity(&self, item: u32) -> f64 {
        (self.events as f64 / f64::from(self.item_events[item as usize])).ln()
    }
}

/// Events of a session that are looked at.
const SESSION_EVENTS_MAX: usize = 500;

/// A session by its user and the place of its first event that counts.
type SessionId = (u32, usize);

/// The items of the user's last session, the newest first, each once: the newest counts 1, the one before it
/// (n - 1) / n of n items, and so on.
pub(super) fn session_in_progress(view: &View<'_>, options: SessionKnnOptions, user: u32) -> Vec<Source> {
    let events = view.in_time(view.interactions.of_user(user));
    let Some(newest) = events.iter().rposition(|event| view.holds(event)) else { return Vec::new() };
    let start = session_start(view, events, newest, options.gap_us);
    let items: Vec<u32> = events[start..].iter().filter(|event| view.holds(event)).map(|event| event.item).collect();
    sources(&items, options)
}

/// A session's items, from old to new, as sources.
pub(super) fn sources(items: &[u32], options: SessionKnnOptions) -> Vec<Source> {
    let newest = &items[items.len().saturating_sub(options.sources)..];
    let count = newest.len();
    let mut sources: Vec<Source> = Vec::new();
    for (back, &item) in newest.iter().rev().enumerate() {
        if sources.iter().all(|source| source.item != item) {
            sources.push(Source { item, weight: (count - back) as f64 / count as f64 });
        }
    }
    sources
}

/// Where the session of the event at `at`, which counts, begins: at an event that counts.
fn session_start(view: &View<'_>, events: &[Interaction], at: usize, gap_us: i64) -> usize {
    let mut start = at;
    for before in (0..at).rev() {
        if events[start].ts_us.saturating_sub(events[before].ts_us) > gap_us {
            break;
        }
        if view.holds(&events[before]) {
            start = before;
        }
    }
    start
}

/// A session that votes.
#[derive(Debug)]
pub(super) struct Neighbour {
    similarity: f64,
    /// Which of the sources it holds, in their order: the first is its newest match.
    sources: Vec<usize>,
    items: Vec<u32>,
}

/// The sessions that vote on a question, once they were found: for its scores, and for what each source gave to them.
#[derive(Debug, Default)]
pub(super) struct FoundSessions(RefCell<Option<(SessionKnnOptions, Rc<Vec<Neighbour>>)>>);

impl FoundSessions {
    fn get(&self, options: SessionKnnOptions, find: impl FnOnce() -> Vec<Neighbour>) -> Rc<Vec<Neighbour>> {
        let known = self.0.borrow().as_ref().filter(|(of, _)| *of == options).map(|(_, found)| Rc::clone(found));
        known.unwrap_or_else(|| {
            let found = Rc::new(find());
            *self.0.borrow_mut() = Some((options, Rc::clone(&found)));
            found
        })
    }
}

/// Adds what the sessions like the one of `sources` hold: each item of a session counts the session's similarity, times
/// how new its newest match is, times how rare the item is. Sessions of the user `own` do not vote.
pub(super) fn score(
    knn: &SessionKnn,
    (view, found): (&View<'_>, &FoundSessions),
    sources: &[Source],
    own: Option<u32>,
    scores: &mut Scores,
) {
    for neighbour in found.get(knn.options, || neighbours(view, knn.options, sources, own)).iter() {
        let vote = neighbour.similarity * neighbour.newness();
        neighbour.items.iter().for_each(|&item| scores.add(item, vote * knn.rarity(item)));
    }
}

/// What each source gave to the scores of `items`: a session's similarity is a sum over the sources that it holds.
pub(super) fn shares(
    knn: &SessionKnn,
    (view, found): (&View<'_>, &FoundSessions),
    sources: &[Source],
    own: Option<u32>,
    items: &[u32],
) -> Vec<Vec<f64>> {
    let mut shares = vec![vec![0.0; items.len()]; sources.len()];
    for neighbour in found.get(knn.options, || neighbours(view, knn.options, sources, own)).iter() {
        for (place, &item) in items.iter().enumerate() {
            if neighbour.items.binary_search(&item).is_ok() {
                let vote = neighbour.newness() * knn.rarity(item);
                neighbour.sources.iter().for_each(|&source| shares[source][place] += sources[source].weight * vote);
            }
        }
    }
    shares
}

impl Neighbour {
    /// Serenade's weight of the newest match: 0.9 for the item at hand, less by 0.1 for each one before it, down to 0.
    fn newness(&self) -> f64 {
        1.0 - 0.1 * (self.sources[0] as f64 + 1.0).min(10.0)
    }
}

/// A session that shares items with the one in progress, while these are counted.
struct Candidate {
    id: SessionId,
    newest_us: i64,
    similarity: f64,
}

/// The sessions that vote, the most alike first; of equally alike ones the newest, then by code of the user.
fn neighbours(view: &View<'_>, options: SessionKnnOptions, sources: &[Source], own: Option<u32>) -> Vec<Neighbour> {
    let mut places: HashMap<SessionId, usize> = HashMap::new();
    let mut candidates: Vec<Candidate> = Vec::new();
    // Which candidate holds which source, by source.
    let mut held: Vec<(usize, usize)> = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        newest_sessions(view, options, source.item, own, |id, ts_us| {
            let place = *places.entry(id).or_insert(candidates.len());
            if place == candidates.len() {
                candidates.push(Candidate { id, newest_us: ts_us, similarity: 0.0 });
            }
            let candidate = &mut candidates[place];
            candidate.newest_us = candidate.newest_us.max(ts_us);
            candidate.similarity += source.weight;
            held.push((place, index));
        });
    }
    let best = most_alike(&candidates, options.neighbours);
    let mut sources_of: HashMap<usize, Vec<usize>> = best.iter().map(|&place| (place, Vec::new())).collect();
    for (place, index) in held {
        if let Some(sources) = sources_of.get_mut(&place) {
            sources.push(index);
        }
    }
    let neighbour = |place: usize| {
        let Candidate { id, similarity, .. } = candidates[place];
        let sources = sources_of.remove(&place).unwrap_or_default();
        Neighbour { similarity, sources, items: session_items(view, options, id) }
    };
    best.into_iter().map(neighbour).collect()
}

/// The places of so many candidates at most, in the order in which they vote.
fn most_alike(candidates: &[Candidate], count: usize) -> Vec<usize> {
    let in_order = |a: &usize, b: &usize| {
        let (a, b) = (&candidates[*a], &candidates[*b]);
        let by_likeness = b.similarity.total_cmp(&a.similarity);
        by_likeness.then(b.newest_us.cmp(&a.newest_us)).then(a.id.cmp(&b.id))
    };
    let mut best: Vec<usize> = (0..candidates.len()).collect();
    if count < best.len() {
        best.select_nth_unstable_by(count, in_order);
        best.truncate(count);
    }
    best.sort_unstable_by(in_order);
    best
}

/// Gives the newest sessions with an item to `found`, by the time of its newest use in each, without those of the user `own`.
fn newest_sessions(
    view: &View<'_>,
    options: SessionKnnOptions,
    item: u32,
    own: Option<u32>,
    mut found: impl FnMut(SessionId, i64),
) {
    // For each user the start of the oldest session that was found: what is not earlier is in one that was found.
    let mut taken_since_us: HashMap<u32, i64> = HashMap::new();
    let mut count = 0;
    let mut uses = view.interactions.uses_between(item, view.since_us, view.until_us).rev();
    loop {
        let is_new = |(ts_us, user): &(i64, u32)| {
            Some(*user) != own && taken_since_us.get(user).is_none_or(|since_us| ts_us < since_us)
        };
        let some: Vec<(i64, u32)> = uses.by_ref().filter(is_new).take(USES_AT_ONCE).collect();
        if some.is_empty() {
            return;
        }
        for ((ts_us, user), (events, first)) in some.iter().copied().zip(histories(view, &some)) {
            if taken_since_us.get(&user).is_some_and(|&since_us| ts_us >= since_us) {
                continue;
            }
            let is_use = |at: &usize| events[*at].item == item && view.holds(&events[*at]);
            let same_time = (first..events.len()).take_while(|&at| events[at].ts_us == ts_us);
            let Some(at) = { same_time }.find(is_use) else { continue };
            let start = session_start(view, events, at, options.gap_us);
            taken_since_us.insert(user, events[start].ts_us);
            found((user, start), ts_us);
            count += 1;
            if count == options.sessions_per_item {
                return;
            }
        }
    }
}

/// The distinct items of a session, of its first [`SESSION_EVENTS_MAX`] events: a longer one is hardly one person's.
fn session_items(view: &View<'_>, options: SessionKnnOptions, (user, start): SessionId) -> Vec<u32> {
    let events = view.in_time(view.interactions.of_user(user));
    let mut items = Vec::new();
    let mut newest_us = i64::MAX;
    for event in events[start..].iter().filter(|event| view.holds(event)).take(SESSION_EVENTS_MAX) {
        if event.ts_us.saturating_sub(newest_us) > options.gap_us {
            break;
        }
        newest_us = event.ts_us;
        items.push(event.item);
    }
    items.sort_unstable();
    items.dedup();
    items
}
