//! The arguments of a recommendation.

use super::als::AlsOptions;
use super::blend::Blend;
use super::ease::EaseOptions;
use super::interactions::Interactions;
use super::item_knn::{ItemKnnOptions, Similarity};
use super::popular::TrendingOptions;
use super::sequence::SequenceOptions;
use super::session_knn::SessionKnnOptions;
use super::view::{View, WEIGHT_MAX, Weights};
use trodden_engine::error::{Error, Result};

/// The most that a list may hold.
pub const TOP_MAX: usize = 10_000;

/// How items are scored.
#[derive(Debug, Clone, PartialEq)]
pub enum Algorithm {
    /// What most people use, each event with its weight.
    Popular,
    /// What is used more often of late than before.
    Trending(TrendingOptions),
    /// What people use soon after the last items of the history.
    Sequence(SequenceOptions),
    /// What is in sessions like the one in progress.
    SessionKnn(SessionKnnOptions),
    /// What the users of the same items also use; with walks as the similarity, what a query calls `rp3beta`.
    ItemKnn(ItemKnnOptions),
    /// A linear model of each item from all others, in closed form.
    Ease(EaseOptions),
    /// The user's own items again.
    Repurchase,
    /// Factors of taste.
    Als(AlsOptions),
    /// The sum of several.
    Blend(Blend),
}

impl Algorithm {
    /// Items like those of the history, by the log-likelihood ratio.
    pub fn item_knn() -> Self {
        Self::ItemKnn(ItemKnnOptions::of(Similarity::Llr))
    }

    /// Whether its neighbours are told by sets of users alone.
    pub fn has_set_neighbours(&self) -> bool {
        matches!(self, Self::ItemKnn(options) if options.similarity.is_of_sets())
    }

    /// The name by which a query asks for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Popular => "popular",
            Self::Trending(_) => "trending",
            Self::Sequence(_) => "sequence",
            Self::SessionKnn(_) => "session_knn",
            Self::ItemKnn(options) if matches!(options.similarity, Similarity::Rp3Beta { .. }) => "rp3beta",
            Self::ItemKnn(_) => "item_knn",
            Self::Ease(_) => "ease",
            Self::Repurchase => "repurchase",
            Self::Als(_) => "als",
            Self::Blend(_) => "blend",
        }
    }
}

/// Whether items that the user already has are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Seen {
    /// Items with an event of a kind that has a weight are left out.
    #[default]
    Exclude,
    /// Items with an event of one of these kinds are left out, whatever their weight.
    ExcludeKinds(Vec<u8>),
    /// Nothing is left out.
    Include,
}

/// At most so many items of one category in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diversify {
    /// Category by code of item; items past the end are of no category, and are not limited.
    pub category: Vec<u32>,
    /// Items of one category in a list, at least 1.
    pub max: usize,
}

/// Arguments of a recommendation, with items and kinds as codes.
#[derive(Debug, Clone, PartialEq)]
pub struct RecommendSpec {
    /// How items are scored.
    pub using: Algorithm,
    /// What an event of each kind is worth.
    pub weights: Weights,
    /// An event's weight halves in this time. It is about sums of weights: popularity, successors, a user's history. Sets
    /// of users (`item_knn`, `ease`, `rp3beta`) have none.
    pub half_life_us: Option<i64>,
    /// Events older than this, at the moment of the question, do not count.
    pub window_us: Option<i64>,
    /// The moment of the question: nothing later is read. Without it, the time of the newest interaction.
    pub as_of_us: Option<i64>,
    /// Length of the list.
    pub top: usize,
    /// What the user already has, at the moment of the question, whatever the window.
    pub seen: Seen,
    /// Items that are never recommended.
    pub exclude: Vec<u32>,
    /// By code of item, whether it may be recommended; items past the end may not. Without it all may.
    pub candidates: Option<Vec<bool>>,
    /// By code of item, what the score is multiplied with; 1 past the end. An item of 0 or less is not recommended.
    pub boost: Option<Vec<f64>>,
    /// A limit for each category.
    pub diversify: Option<Diversify>,
}

impl RecommendSpec {
    /// The defaults of the query language, for an algorithm and the weights of kinds.
    pub fn new(using: Algorithm, weights: Weights) -> Self {
        let seen = if using == Algorithm::Repurchase { Seen::Include } else { Seen::Exclude };
        Self {
            using,
            weights,
            half_life_us: None,
            window_us: None,
            as_of_us: None,
            top: 10,
            seen,
            exclude: Vec::new(),
            candidates: None,
            boost: None,
            diversify: None,
        }
    }

    /// Whether the arguments make sense together.
    ///
    /// # Errors
    /// Of kind `InvalidInput`, about the first argument that does not.
    pub fn validate(&self) -> Result<()> {
        if self.top == 0 || self.top > TOP_MAX {
            return Err(Error::invalid(format!("top is {}", self.top)).with_hint(format!("give 1 to {TOP_MAX}")));
        }
        let weights = self.weights.by_kind();
        if let Some(wrong) = weights.iter().find(|weight| !(0.0..=WEIGHT_MAX).contains(*weight)) {
            return Err(
                Error::invalid(format!("a weight is {wrong}")).with_hint("weights are numbers from 0 to a million")
            );
        }
        if weights.iter().all(|&weight| weight == 0.0) {
            return Err(Error::invalid("no event has a weight").with_hint("give at least one event a weight above 0"));
        }
        for (name, value) in [("half_life", self.half_life_us), ("window", self.window_us)] {
            if value.is_some_and(|value| value <= 0) {
                return Err(
                    Error::invalid(format!("{name} is not longer than zero")).with_hint("give a longer interval")
                );
            }
        }
        if self.boost.iter().flatten().any(|boost| !boost.is_finite()) {
            return Err(
                Error::invalid("a boost is no finite number").with_hint("give a number, such as 1 for no change")
            );
        }
        if self.diversify.as_ref().is_some_and(|diversify| diversify.max == 0) {
            let hint = "give at least 1, or leave items out with candidates";
            return Err(Error::invalid("diversify allows no item of a category").with_hint(hint));
        }
        validate_algorithm(&self.using)
    }

    /// The interactions that count at the moment of the question.
    pub fn view<'a>(&self, interactions: &'a Interactions) -> View<'a> {
        let now_us = self.as_of_us.or(interactions.newest_us()).unwrap_or(0);
        View {
            interactions,
            weights: self.weights.clone(),
            since_us: self.window_us.map_or(i64::MIN, |window_us| now_us.saturating_sub(window_us)),
            until_us: now_us,
            now_us,
            half_life_us: self.half_life_us,
        }
    }
}

fn validate_algorithm(algorithm: &Algorithm) -> Result<()> {
    match algorithm {
        Algorithm::Popular | Algorithm::Repurchase => Ok(()),
        Algorithm::Trending(options) => options.validate(),
        Algorithm::Sequence(options) => options.validate(),
        Algorithm::SessionKnn(options) => options.validate(),
        Algorithm::ItemKnn(options) => options.validate(),
        Algorithm::Ease(options) => options.validate(),
        Algorithm::Als(options) => options.validate(),
        Algorithm::Blend(blend) => {
            blend.validate()?;
            blend.parts.iter().try_for_each(|part| validate_algorithm(&part.using))
        }
    }
}
