//! An algorithm made ready for one snapshot: what it learned, how it scores, and which source gave what.

use super::als::Als;
use super::blend::{Part, Scale};
use super::ease::Ease;
use super::effort::Effort;
use super::found::{Found, FoundPart};
use super::item_knn::{ItemKnn, ItemKnnOptions, Similarity};
use super::pairs::Pairs;
use super::popular::{popular, trending};
use super::recency::{Recency, basket, history};
use super::repurchase;
use super::scores::{Scores, Source};
use super::sequence::Sequence;
use super::session_knn::{self, SessionKnn};
use super::spec::Algorithm;
use super::view::View;
use trodden_engine::error::Result;

/// Whom or what a list is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A user, by what the user did.
    User(u32),
    /// An item: what is like it.
    Item(u32),
    /// A basket or a session, from old to new: what completes it.
    Items(&'a [u32]),
}

impl Target<'_> {
    /// The items that the target itself names.
    pub(super) fn items(&self) -> &[u32] {
        match self {
            Self::User(_) => &[],
            Self::Item(item) => std::slice::from_ref(item),
            Self::Items(items) => items,
        }
    }

    fn user(&self) -> Option<u32> {
        match self {
            Self::User(user) => Some(*user),
            Self::Item(_) | Self::Items(_) => None,
        }
    }
}

/// What an algorithm learned from the interactions of a view. It is asked with that view and the same ranks.
#[derive(Debug)]
pub struct Model {
    method: Method,
}

#[derive(Debug)]
enum Method {
    /// The same score for everybody.
    List(Vec<f64>),
    Sequence(Sequence),
    SessionKnn(SessionKnn),
    ItemKnn(ItemKnn),
    Ease(Ease),
    Repurchase(ItemKnn),
    Als(Als),
    Blend(Vec<(f64, Model)>, Scale),
}

impl Model {
    /// Learns what `algorithm` needs to know. `ranks` is the order of items by value, by code; `threads` changes the time
    /// and not the result.
    ///
    /// # Errors
    /// Those of [`Ease::fit`].
    pub fn fit(view: &View<'_>, ranks: &[u32], algorithm: &Algorithm, threads: usize) -> Result<Self> {
        Self::fit_within(view, ranks, algorithm, &Effort::of_threads(threads))
    }

    /// As [`Self::fit`], within what `effort` allows.
    ///
    /// # Errors
    /// Those of [`Ease::fit`] and [`Als::fit`].
    pub fn fit_within(view: &View<'_>, ranks: &[u32], algorithm: &Algorithm, effort: &Effort<'_>) -> Result<Self> {
        let method = match algorithm {
            Algorithm::Popular => Method::List(popular(view)),
            Algorithm::Trending(options) => Method::List(trending(view, *options)),
            Algorithm::Sequence(options) => Method::Sequence(Sequence::new(*options)),
            Algorithm::SessionKnn(options) => Method::SessionKnn(SessionKnn::new(view, *options)),
            Algorithm::ItemKnn(options) => Method::ItemKnn(ItemKnn::new(view, *options)),
            Algorithm::Ease(options) => Method::Ease(Ease::fit(&Pairs::new(view, ranks), *options, effort)?),
            Algorithm::Repurchase => Method::Repurchase(ItemKnn::new(view, ItemKnnOptions::of(Similarity::Llr))),
            Algorithm::Als(options) => Method::Als(Als::fit(&Pairs::new(view, ranks), *options, effort)?),
            Algorithm::Blend(blend) => {
                let fit = |part: &Part| Ok((part.weight, Self::fit_within(view, ranks, &part.using, effort)?));
                Method::Blend(blend.parts.iter().map(fit).collect::<Result<_>>()?, blend.scale)
            }
        };
        Ok(Self { method })
    }

    /// Learns it again for a later state of the interactions, as [`Self::fit_within`] does, keeping what is still right.
    ///
    /// # Errors
    /// Those of [`Self::fit_within`].
    pub fn again(self, view: &View<'_>, ranks: &[u32], algorithm: &Algorithm, effort: &Effort<'_>) -> Result<Self> {
        let method = match (self.method, algorithm) {
            (Method::ItemKnn(knn), _) => Method::ItemKnn(knn.refreshed(view)),
            (Method::Repurchase(knn), _) => Method::Repurchase(knn.refreshed(view)),
            (Method::Blend(parts, scale), Algorithm::Blend(blend)) => {
                let again = |((weight, part), known): ((f64, Self), &Part)| {
                    Ok((weight, part.again(view, ranks, &known.using, effort)?))
                };
                Method::Blend(parts.into_iter().zip(&blend.parts).map(again).collect::<Result<_>>()?, scale)
            }
            _ => return Self::fit_within(view, ranks, algorithm, effort),
        };
        Ok(Self { method })
    }

    /// The items that say something about a target. None for a list that is the same for everybody.
    pub(super) fn sources(&self, view: &View<'_>, target: Target<'_>) -> Vec<Source> {
        match (&self.method, target) {
            (Method::List(_) | Method::Blend(..), _) => Vec::new(),
            (Method::SessionKnn(knn), Target::User(user)) => {
                session_knn::session_in_progress(view, knn.options(), user)
            }
            (Method::SessionKnn(knn), _) => session_knn::sources(target.items(), knn.options()),
            (Method::Repurchase(_), Target::User(user)) => repurchase::own_items(view, user),
            (Method::ItemKnn(knn), Target::User(user)) => {
                let mut sources = history(view, user, self.recency());
                sources.truncate(knn.options().sources);
                sources
            }
            (_, Target::User(user)) => history(view, user, self.recency()),
            (_, Target::Item(_) | Target::Items(_)) => basket(target.items()),
        }
    }

    /// Bytes held on the heap: what was learned, and what was kept of questions so far.
    pub fn heap_bytes(&self) -> usize {
        match &self.method {
            Method::List(list) => 8 * list.capacity(),
            Method::Sequence(rules) => rules.heap_bytes(),
            Method::SessionKnn(knn) => knn.heap_bytes(),
            Method::ItemKnn(knn) | Method::Repurchase(knn) => knn.heap_bytes(),
            Method::Ease(ease) => ease.heap_bytes(),
            Method::Als(als) => als.heap_bytes(),
            Method::Blend(parts, _) => parts.iter().map(|(_, part)| part.heap_bytes()).sum(),
        }
    }

    /// The scores that are the same for everybody, by code of item, where the algorithm has such.
    pub(super) fn for_everybody(&self) -> Option<&[f64]> {
        match &self.method {
            Method::List(list) => Some(list),
            _ => None,
        }
    }

    /// The similarity by which one set of users decides on neighbours, and how many neighbours an item has.
    pub(super) fn set_neighbours(&self) -> Option<(Similarity, usize)> {
        match &self.method {
            Method::ItemKnn(knn) if knn.options().similarity.is_of_sets() => {
                Some((knn.options().similarity, knn.options().neighbours))
            }
            _ => None,
        }
    }

    fn recency(&self) -> Recency {
        Recency::Factor(match &self.method {
            Method::Sequence(rules) => rules.options().recency,
            Method::ItemKnn(knn) => knn.options().recency,
            Method::Ease(ease) => ease.options().recency,
            Method::Als(als) => als.options().recency,
            _ => return Recency::None,
        })
    }

    /// The scores of items for a target. Only those above 0 say that an item fits.
    pub(super) fn score(&self, asked: &Asked<'_>) -> Scores {
        let mut scores = asked.no_scores();
        if let Method::Blend(parts, scale) = &self.method {
            for ((weight, _), found) in parts.iter().zip(Self::found_parts(asked, parts, *scale)) {
                found.scaled.iter().for_each(|(item, value)| scores.add(item, weight * value));
            }
        } else {
            let sources = self.sources(asked.view, asked.target);
            self.score_sources(asked, &sources, None, &mut scores);
        }
        scores
    }

    fn score_sources(&self, asked: &Asked<'_>, sources: &[Source], only: Option<usize>, scores: &mut Scores) {
        let Asked { view, ranks, target, .. } = *asked;
        let part = only.map_or(sources, |source| &sources[source..=source]);
        match &self.method {
            Method::List(list) => {
                list.iter().enumerate().filter(|(_, score)| **score > 0.0).for_each(|(item, &score)| {
                    scores.add(item as u32, score);
                });
            }
            Method::Sequence(rules) => {
                if only.is_none_or(|source| source < rules.options().sources) {
                    rules.score(view, part, scores);
                }
            }
            Method::SessionKnn(knn) => {
                session_knn::score(knn, (view, &asked.found.sessions), sources, target.user(), scores);
            }
            Method::ItemKnn(knn) => {
                // A list for an item is its neighbours; where several items vote, those far down are noise.
                let options = knn.options();
                let voters = if matches!(target, Target::Item(_)) { options.neighbours } else { options.voters };
                knn.score(view, ranks, part, voters, scores);
            }
            Method::Ease(ease) => ease.score(part, scores),
            Method::Repurchase(knn) => repurchase::score(knn, view, ranks, (sources, only), scores),
            Method::Als(als) => als.score(part, scores),
            Method::Blend(..) => {}
        }
    }

    /// The scores of the parts of a blend.
    fn found_parts<'f>(asked: &Asked<'f>, parts: &[(f64, Self)], scale: Scale) -> &'f [FoundPart] {
        asked.found.parts.get_or_init(|| {
            let find = |(_, part): &(f64, Self)| {
                let own = part.score(asked);
                let mut scaled = asked.no_scores();
                scale.scaled(&own, asked).into_iter().for_each(|(item, value)| scaled.add(item, value));
                FoundPart { own, scaled }
            };
            parts.iter().map(find).collect()
        })
    }

    /// What each source gave to the scores of `items`: the source's item, and a number for each of `items`. They add up to
    /// the score.
    pub(super) fn shares(&self, asked: &Asked<'_>, items: &[u32]) -> Vec<(u32, Vec<f64>)> {
        if let Method::Blend(parts, scale) = &self.method {
            let parts = parts.iter().zip(Self::found_parts(asked, parts, *scale));
            return parts
                .flat_map(|((weight, part), found)| part.shares_in_blend(asked, *weight, found, items))
                .collect();
        }
        let sources = self.sources(asked.view, asked.target);
        if let Method::Als(als) = &self.method {
            return sources.iter().map(|source| source.item).zip(als.shares(&sources, items)).collect();
        }
        if let Method::SessionKnn(knn) = &self.method {
            let shares =
                session_knn::shares(knn, (asked.view, &asked.found.sessions), &sources, asked.target.user(), items);
            return sources.iter().map(|source| source.item).zip(shares).collect();
        }
        let mut scores = asked.no_scores();
        let share = |(index, source): (usize, &Source)| {
            scores.clear();
            self.score_sources(asked, &sources, Some(index), &mut scores);
            (source.item, items.iter().map(|&item| scores.of(item)).collect())
        };
        sources.iter().enumerate().map(share).collect()
    }

    /// The shares of this method in the scores of a blend: its scaled score, divided as its own one is.
    fn shares_in_blend(
        &self,
        asked: &Asked<'_>,
        weight: f64,
        found: &FoundPart,
        items: &[u32],
    ) -> Vec<(u32, Vec<f64>)> {
        let factor = |item: u32| weight * found.scaled.of(item) / found.own.of(item).max(f64::MIN_POSITIVE);
        let factors: Vec<f64> = items.iter().map(|&item| factor(item)).collect();
        let mut shares = self.shares(asked, items);
        for (_, values) in &mut shares {
            values.iter_mut().zip(&factors).for_each(|(value, factor)| *value *= factor);
        }
        shares
    }
}

/// A question: what counts, for whom, and which items may be recommended.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) ranks: &'a [u32],
    pub(super) target: Target<'a>,
    pub(super) found: &'a Found,
    /// Whether an item may be in the list.
    pub(super) may: &'a dyn Fn(u32) -> bool,
}

impl Asked<'_> {
    /// Room for the scores of all items: one of a basket may have no event that counts.
    fn no_scores(&self) -> Scores {
        Scores::new(self.view.interactions.item_count().max(self.ranks.len()))
    }
}
