//! How good the lists of an algorithm are: what users did later, against what they would have been shown.

use super::chain::Chain;
use super::effort::Effort;
use super::interactions::{Interaction, Interactions};
use super::model::{Model, Target};
use super::recommender::Recommender;
use super::repurchase::BASKET_GAP_US;
use super::spec::{RecommendSpec, Seen};
use super::view::View;
use trodden_engine::error::{Error, Result};
use trodden_engine::parallel;

/// Measures of an algorithm, means over the users that were judged.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quality {
    /// Users with a history before the split and something to find after it.
    pub users: u64,
    /// The part of a user's later items that is among the first k.
    pub recall: f64,
    /// Gain of the first k, discounted by the logarithm of the place, as a part of the best that is possible.
    pub ndcg: f64,
    /// The part of users with at least one later item among the first k.
    pub hit_rate: f64,
    /// Mean of 1 / place of the first later item, 0 past k.
    pub mrr: f64,
    /// The part of the items with a use before the split that is in anybody's first k.
    pub coverage: f64,
}

/// Judges an algorithm on the past: it sees what was before `split_us`, and is asked for `k` items for each user who was
/// there before and did something after. Later items are those with an event of a kind with a weight; where seen items are
/// left out of lists, they are no later items either. Every item is ranked, none are sampled.
///
/// # Errors
/// As [`RecommendSpec::validate`] and [`Model::fit`]; and where `spec` has a moment of its own, which the split replaces.
pub fn evaluate(
    interactions: &Interactions,
    ranks: &[u32],
    spec: &RecommendSpec,
    split_us: i64,
    k: usize,
    threads: usize,
) -> Result<Quality> {
    let wanted = Wanted { split_us, k, protocol: Protocol::Time, held_out: &|_| 0, is_asked: &|_| true };
    evaluate_chain(interactions, ranks, std::slice::from_ref(spec), wanted, &Effort::of_threads(threads))
}

/// What is looked for, and who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// All that a user with a history did after the split.
    #[default]
    Time,
    /// Of that, what is in the first basket: events up to a gap of more than half an hour.
    NextBasket,
    /// What a user did after the split is a basket, with or without a history: one of its items is looked for, and the list is
    /// that for the others.
    Basket,
}

/// What is asked of an evaluation.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// When the past ends.
    pub split_us: i64,
    /// Length of lists.
    pub k: usize,
    /// What is looked for.
    pub protocol: Protocol,
    /// Of a basket, a number for its user, by code: modulo the number of its items it is the place, by value, of the one that
    /// is looked for.
    pub held_out: &'a dyn Fn(u32) -> u64,
    /// Whether a user, by code, is judged.
    pub is_asked: &'a dyn Fn(u32) -> bool,
}

/// As [`evaluate`], of a chain of algorithms, on some of the users, by any protocol. What is seen is what the first of `specs`
/// says.
///
/// # Errors
/// As [`evaluate`]; `InvalidInput` without any algorithm; those of `effort`.
pub fn evaluate_chain(
    interactions: &Interactions,
    ranks: &[u32],
    specs: &[RecommendSpec],
    wanted: Wanted<'_>,
    effort: &Effort<'_>,
) -> Result<Quality> {
    let Wanted { split_us, k, .. } = wanted;
    if specs.iter().any(|spec| spec.as_of_us.is_some()) {
        return Err(Error::invalid("both as_of and split")
            .with_hint("the split is the moment of the question: leave as_of out"));
    }
    let before = |spec: &RecommendSpec| {
        let spec = RecommendSpec { as_of_us: Some(split_us.saturating_sub(1)), top: k, ..spec.clone() };
        spec.validate().map(|()| spec)
    };
    let specs = specs.iter().map(before).collect::<Result<Vec<_>>>()?;
    let Some(spec) = specs.first() else {
        return Err(Error::invalid("no algorithm is evaluated").with_hint("name one"));
    };
    let view = spec.view(interactions);
    let fit = |spec: &RecommendSpec| Model::fit_within(&spec.view(interactions), ranks, &spec.using, effort);
    let models = specs.iter().map(fit).collect::<Result<Vec<_>>>()?;
    let chain = Chain::new(interactions, ranks, specs.iter().zip(&models))?;
    let users = (0..interactions.user_count() as u32).filter(|&user| (wanted.is_asked)(user));
    let questions: Vec<Question> = users.filter_map(|user| Question::of(user, &view, ranks, spec, wanted)).collect();
    let targets: Vec<Target<'_>> = questions.iter().map(Question::target).collect();
    let lists = chain.lists(&targets, false, effort)?;
    let mut tally = Tally::new(&view);
    for (question, list) in questions.iter().zip(&lists) {
        tally.add(&list.iter().map(|row| row.item).collect::<Vec<u32>>(), &question.wanted, k);
    }
    Ok(tally.finish())
}

/// Who or what is asked for a list, and what is to be found in it.
struct Question {
    user: u32,
    /// The items that are asked with, in place of the user.
    basket: Option<Vec<u32>>,
    wanted: Vec<u32>,
}

impl Question {
    /// The question about a user; none without anything to ask with, or to find. `view` ends at the split.
    fn of(user: u32, view: &View<'_>, ranks: &[u32], spec: &RecommendSpec, wanted: Wanted<'_>) -> Option<Self> {
        let events = view.interactions.of_user(user);
        let (before, mut after) = events.split_at(events.partition_point(|event| event.ts_us < wanted.split_us));
        match wanted.protocol {
            Protocol::Basket => return Self::of_basket(user, ranks, spec, (wanted.held_out)(user), after),
            Protocol::NextBasket => after = first_basket(spec, after),
            Protocol::Time => {}
        }
        let wanted = later_items(spec, before, after);
        let has_history = view.events(user).next().is_some();
        (has_history && !wanted.is_empty()).then_some(Self { user, basket: None, wanted })
    }

    /// Holds one item out: a drawn one, since what is put into a basket last is often something of its own, such as postage.
    fn of_basket(user: u32, ranks: &[u32], spec: &RecommendSpec, drawn: u64, events: &[Interaction]) -> Option<Self> {
        let counted = events.iter().filter(|event| spec.weights.of(event.kind) != 0.0);
        let mut basket: Vec<u32> = counted.map(|event| event.item).collect();
        let mut items = basket.clone();
        items.sort_unstable_by_key(|&item| ranks[item as usize]);
        items.dedup();
        if items.len() < 2 {
            return None;
        }
        let held_out = items[(drawn % items.len() as u64) as usize];
        basket.retain(|&item| item != held_out);
        Some(Self { user, basket: Some(basket), wanted: vec![held_out] })
    }

    fn target(&self) -> Target<'_> {
        self.basket.as_ref().map_or(Target::User(self.user), |basket| Target::Items(basket))
    }
}

/// The events of the first basket, from the first event that counts.
fn first_basket<'e>(spec: &RecommendSpec, events: &'e [Interaction]) -> &'e [Interaction] {
    let mut last_us = None;
    let end = events.iter().position(|event| {
        if spec.weights.of(event.kind) == 0.0 {
            return false;
        }
        let is_next = last_us.is_some_and(|last_us| event.ts_us.saturating_sub(last_us) > BASKET_GAP_US);
        last_us = Some(event.ts_us);
        is_next
    });
    &events[..end.unwrap_or(events.len())]
}

/// Distinct items that count of a user's later events, ascending by code, without those that earlier ones make seen.
fn later_items(spec: &RecommendSpec, before: &[Interaction], after: &[Interaction]) -> Vec<u32> {
    let is_seen = |item: u32| {
        let counts = |kind: u8| match &spec.seen {
            Seen::Exclude => spec.weights.of(kind) != 0.0,
            Seen::ExcludeKinds(kinds) => kinds.contains(&kind),
            Seen::Include => false,
        };
        before.iter().any(|event| event.item == item && counts(event.kind))
    };
    let counted = after.iter().filter(|event| spec.weights.of(event.kind) != 0.0);
    let mut items: Vec<u32> = counted.map(|event| event.item).collect();
    items.sort_unstable();
    items.dedup();
    items.retain(|&item| !is_seen(item));
    items
}

/// Means over questions: a user, and what was to be found.
pub fn judge(
    recommender: &Recommender<'_>,
    view: &View<'_>,
    questions: &[(u32, Vec<u32>)],
    k: usize,
    threads: usize,
) -> Quality {
    let lists = parallel::map_all(questions, threads, |(user, _)| recommender.items(Target::User(*user)));
    let mut tally = Tally::new(view);
    questions.iter().zip(&lists).for_each(|((_, wanted), list)| tally.add(list, wanted, k));
    tally.finish()
}

/// Sums of measures over questions.
#[derive(Debug)]
pub struct Tally {
    sums: Quality,
    is_used: Vec<bool>,
    is_shown: Vec<bool>,
}

impl Tally {
    /// No questions yet; items with a use in `view` can be covered.
    pub fn new(view: &View<'_>) -> Self {
        let mut is_used = vec![false; view.interactions.item_count()];
        for user in 0..view.interactions.user_count() as u32 {
            view.events(user).for_each(|event| is_used[event.item as usize] = true);
        }
        Self { sums: Quality::default(), is_shown: vec![false; is_used.len()], is_used }
    }

    /// Adds one answer: the list that was shown, the best first, and what was wanted, at least one item.
    pub fn add(&mut self, list: &[u32], wanted: &[u32], k: usize) {
        let hits: Vec<usize> =
            list.iter().take(k).enumerate().filter(|(_, item)| wanted.contains(item)).map(|(place, _)| place).collect();
        let gain = |place: usize| 1.0 / ((place + 2) as f64).log2();
        let best: f64 = (0..k.min(wanted.len())).map(gain).sum();
        self.sums.users += 1;
        self.sums.recall += hits.len() as f64 / wanted.len() as f64;
        self.sums.ndcg += hits.iter().map(|&place| gain(place)).sum::<f64>() / best;
        self.sums.hit_rate += f64::from(u8::from(!hits.is_empty()));
        self.sums.mrr += hits.first().map_or(0.0, |&place| 1.0 / (place + 1) as f64);
        for &item in list.iter().take(k) {
            self.is_shown[item as usize] = true;
        }
    }

    /// The means.
    pub fn finish(self) -> Quality {
        let users = self.sums.users.max(1) as f64;
        let used = self.is_used.iter().filter(|&&used| used).count();
        let covered = self.is_used.iter().zip(&self.is_shown).filter(|(used, shown)| **used && **shown).count();
        Quality {
            users: self.sums.users,
            recall: self.sums.recall / users,
            ndcg: self.sums.ndcg / users,
            hit_rate: self.sums.hit_rate / users,
            mrr: self.sums.mrr / users,
            coverage: covered as f64 / used.max(1) as f64,
        }
    }
}
