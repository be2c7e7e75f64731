//! Lists for users, items and baskets: scores, what may be in the list, the cut, and the reasons.

use super::found::Found;
use super::interactions::Interactions;
use super::item_knn::best_first;
use super::model::{Asked, Model, Target};
use super::popular::popular;
use super::ranking::Ranking;
use super::scores::Scores;
use super::spec::{RecommendSpec, Seen};
use super::view::View;
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;
use trodden_engine::error::Result;

/// How many reasons of an item are given at most.
const REASONS_MAX: usize = 3;

/// One row of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommended {
    /// Code of the item.
    pub item: u32,
    /// Its score, boosted; 0 for what only fills the list, after all that the algorithm has to say.
    pub score: f64,
    /// The items of the history that gave most of the score, the most first, each with its share, which is above 0. None
    /// where the item is there because it is popular.
    pub because: Option<Vec<(u32, f64)>>,
    /// The place of the algorithm that gave it in a chain of several, 0 of a single one. None for what is popular and fills
    /// the list.
    pub by: Option<usize>,
}

/// Answers questions over one state of the interactions.
#[derive(Debug)]
pub struct Recommender<'a> {
    view: View<'a>,
    ranks: &'a [u32],
    spec: &'a RecommendSpec,
    model: &'a Model,
    /// What is popular in the window, for who has no history and to fill lists; found when first needed.
    popular: OnceLock<Ranking>,
    /// The list of an algorithm that gives everybody the same.
    for_everybody: OnceLock<Ranking>,
}

impl<'a> Recommender<'a> {
    /// A recommender with a model that was fitted to the view of `spec` and with the same `ranks`: the order of items by
    /// value, by code.
    ///
    /// # Errors
    /// As [`RecommendSpec::validate`].
    pub fn new(
        interactions: &'a Interactions,
        ranks: &'a [u32],
        spec: &'a RecommendSpec,
        model: &'a Model,
    ) -> Result<Self> {
        spec.validate()?;
        Ok(Self {
            view: spec.view(interactions),
            ranks,
            spec,
            model,
            popular: OnceLock::new(),
            for_everybody: OnceLock::new(),
        })
    }

    /// The list for a target, the best first: the algorithm's items, then popular ones until it is full.
    pub fn list(&self, target: Target<'_>) -> Vec<Recommended> {
        let mut picked = Picked::default();
        self.extend(target, &mut picked, 0, true);
        self.fill(target, &mut picked);
        picked.rows
    }

    /// The rows of the list for a target without the reasons, which take as long again.
    pub fn rows(&self, target: Target<'_>) -> Vec<Recommended> {
        let mut picked = Picked::default();
        self.extend(target, &mut picked, 0, false);
        self.fill(target, &mut picked);
        picked.rows
    }

    /// The items of the list for a target.
    pub fn items(&self, target: Target<'_>) -> Vec<u32> {
        self.rows(target).into_iter().map(|row| row.item).collect()
    }

    fn with_question<T>(&self, target: Target<'_>, answer: impl FnOnce(&Asked<'_>) -> T) -> T {
        let barred = self.barred(target);
        let is_barred = |item: u32| barred.get(item as usize).copied().unwrap_or(false);
        let may = |item: u32| !is_barred(item) && self.is_candidate(item);
        let found = Found::default();
        answer(&Asked { view: &self.view, ranks: self.ranks, target, found: &found, may: &may })
    }

    /// Adds the items of the algorithm that are not there yet, as those of place `by` in a chain.
    pub(super) fn extend(&self, target: Target<'_>, picked: &mut Picked, by: usize, with_reasons: bool) {
        let start = picked.rows.len();
        if start == self.spec.top {
            return;
        }
        let there = picked.items();
        self.with_question(target, |asked| {
            let may = |item: u32| !there.contains(&item) && (asked.may)(item);
            if let Some(list) = self.model.for_everybody() {
                let ranking = self.for_everybody.get_or_init(|| Ranking::new(self.all_boosted(list), self.ranks));
                let items = ranking.iter(self.ranks, || self.all_boosted(list));
                picked.take(self, items.filter(|(item, _)| may(*item)), Some(by), true);
            } else {
                let scores = self.model.score(asked);
                picked.take(self, self.ordered(scores.iter(), &may).into_iter(), Some(by), true);
            }
            if with_reasons {
                self.explain(asked, &mut picked.rows[start..]);
            }
        });
    }

    /// The list of an item whose neighbours are known, the most alike first.
    pub(super) fn list_of_row(&self, item: u32, row: &[(u32, f64)], with_reasons: bool) -> Vec<Recommended> {
        let mut picked = Picked::default();
        self.with_question(Target::Item(item), |asked| {
            picked.take(self, self.ordered(row.iter().copied(), asked.may).into_iter(), Some(0), true);
        });
        if with_reasons {
            picked.rows.iter_mut().for_each(|row| row.because = Some(vec![(item, row.score)]));
        }
        self.fill(Target::Item(item), &mut picked);
        picked.rows
    }

    /// Adds popular items until the list is full.
    pub(super) fn fill(&self, target: Target<'_>, picked: &mut Picked) {
        let scored = picked.rows.len();
        if scored == self.spec.top {
            return;
        }
        let there = picked.items();
        self.with_question(target, |asked| {
            let scores = || self.all_boosted(popular(&self.view));
            let ranking = self.popular.get_or_init(|| Ranking::new(scores(), self.ranks));
            let items = ranking.iter(self.ranks, scores);
            let rest = items.filter(|(item, _)| !there.contains(item) && (asked.may)(*item));
            picked.take(self, rest, None, scored == 0);
        });
    }

    /// What counts.
    pub(super) fn view(&self) -> &View<'a> {
        &self.view
    }

    /// The order of items by value, by code.
    pub(super) fn ranks(&self) -> &'a [u32] {
        self.ranks
    }

    /// What scores.
    pub(super) fn model(&self) -> &'a Model {
        self.model
    }

    /// The length of lists.
    pub(super) fn top(&self) -> usize {
        self.spec.top
    }

    /// Whether something but the target keeps items out of a list, or changes their order.
    pub(super) fn leaves_out(&self) -> bool {
        let RecommendSpec { exclude, candidates, boost, diversify, .. } = self.spec;
        !exclude.is_empty() || candidates.is_some() || boost.is_some() || diversify.is_some()
    }

    /// Items that may not be in a target's list whoever scores them, by code: what has no place may.
    fn barred(&self, target: Target<'_>) -> Vec<bool> {
        // Of a session that may repeat itself, the item at hand is still no answer.
        let named = match target {
            Target::Items(items) if self.spec.seen == Seen::Include => &items[items.len().saturating_sub(1)..],
            _ => target.items(),
        };
        let mut barred = vec![false; self.view.interactions.item_count().max(self.ranks.len())];
        let mut bar = |item: u32| {
            if let Some(is_barred) = barred.get_mut(item as usize) {
                *is_barred = true;
            }
        };
        named.iter().chain(&self.spec.exclude).for_each(|&item| bar(item));
        if let Target::User(user) = target {
            let list = self.view.interactions.of_user(user);
            let known = list.iter().take_while(|event| event.ts_us <= self.view.until_us);
            let is_seen = |kind: u8| match &self.spec.seen {
                Seen::Exclude => self.spec.weights.of(kind) != 0.0,
                Seen::ExcludeKinds(kinds) => kinds.contains(&kind),
                Seen::Include => false,
            };
            known.filter(|event| is_seen(event.kind)).for_each(|event| bar(event.item));
        }
        barred
    }

    fn is_candidate(&self, item: u32) -> bool {
        let candidates = self.spec.candidates.as_ref();
        candidates.is_none_or(|candidates| candidates.get(item as usize).copied().unwrap_or(false))
    }

    fn boosted(&self, item: u32, score: f64) -> f64 {
        let boost = self.spec.boost.as_ref().and_then(|boost| boost.get(item as usize));
        boost.map_or(score, |boost| score * boost)
    }

    /// The items that may be in the list, with boosted scores above 0, the best first: all of them where the cut needs to
    /// look past `top`, and `top` otherwise.
    fn ordered(&self, scores: impl Iterator<Item = (u32, f64)>, may: &dyn Fn(u32) -> bool) -> Vec<(u32, f64)> {
        let boosted = scores.map(|(item, score)| (item, self.boosted(item, score)));
        let mut items: Vec<(u32, f64)> = boosted.filter(|(item, score)| *score > 0.0 && may(*item)).collect();
        let count = if self.spec.diversify.is_none() { self.spec.top } else { items.len() };
        best_first(&mut items, self.ranks, count);
        items
    }

    /// The boosted scores of a list, by code.
    fn all_boosted<'s, L: AsRef<[f64]> + 's>(&'s self, list: L) -> impl Iterator<Item = (u32, f64)> + 's {
        (0..list.as_ref().len()).map(move |item| (item as u32, self.boosted(item as u32, list.as_ref()[item])))
    }

    /// Adds the reasons of rows.
    fn explain(&self, asked: &Asked<'_>, rows: &mut [Recommended]) {
        let items: Vec<u32> = rows.iter().map(|row| row.item).collect();
        let shares = self.model.shares(asked, &items);
        for (place, row) in rows.iter_mut().enumerate() {
            let mut reasons: HashMap<u32, f64> = HashMap::new();
            for (source, values) in &shares {
                *reasons.entry(*source).or_default() += self.boosted(row.item, values[place]);
            }
            let mut reasons: Vec<(u32, f64)> = reasons.into_iter().filter(|reason| reason.1 > 0.0).collect();
            best_first(&mut reasons, self.ranks, REASONS_MAX);
            row.because = (!reasons.is_empty()).then_some(reasons);
        }
    }
}

/// Rows of a list while it fills.
#[derive(Debug, Default)]
pub(super) struct Picked {
    pub(super) rows: Vec<Recommended>,
    of_category: HashMap<u32, usize>,
}

impl Picked {
    fn items(&self) -> HashSet<u32> {
        self.rows.iter().map(|row| row.item).collect()
    }

    /// Takes items until the list is full, leaving out those whose category is.
    fn take(
        &mut self,
        asked: &Recommender<'_>,
        items: impl Iterator<Item = (u32, f64)>,
        by: Option<usize>,
        with_score: bool,
    ) {
        for (item, score) in items {
            if self.rows.len() == asked.spec.top {
                return;
            }
            if let Some(diversify) = &asked.spec.diversify
                && let Some(&category) = diversify.category.get(item as usize)
            {
                let count = self.of_category.entry(category).or_default();
                if *count == diversify.max {
                    continue;
                }
                *count += 1;
            }
            let score = if with_score { score } else { 0.0 };
            self.rows.push(Recommended { item, score, because: None, by });
        }
    }
}

/// Scores of items for a target, without any cut: for tests and evaluation.
pub fn scores(view: &View<'_>, ranks: &[u32], model: &Model, target: Target<'_>) -> Vec<(u32, f64)> {
    let found: Scores = model.score(&Asked { view, ranks, target, found: &Found::default(), may: &|_| true });
    let mut all: Vec<(u32, f64)> = found.iter().collect();
    all.sort_unstable_by_key(|(item, _)| *item);
    all
}
