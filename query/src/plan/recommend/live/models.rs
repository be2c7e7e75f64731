//! What algorithms learned from a kept state, as long as it is right.

use super::LiveModel;
use crate::behavior::recommend::{
    Algorithm, Effort, Interactions, ItemKnn, ItemKnnOptions, Model, RecommendSpec, Similarity, Weights,
};
use crate::error::Result;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many models of one state are kept.
const MODELS_MAX: usize = 8;

/// The models of a state, the last one that was asked for at the end.
#[derive(Debug, Default)]
pub(super) struct Models(Mutex<Vec<KeptModel>>);

#[derive(Debug)]
struct KeptModel {
    learned_from: LearnedFrom,
    /// Version of the interactions that it was learned from.
    version: u64,
    learned_at: Instant,
    /// It answered after the interactions had changed.
    is_old: bool,
    model: Arc<Model>,
}

impl KeptModel {
    fn new(learned_from: LearnedFrom, version: u64, model: Model) -> Self {
        Self { learned_from, version, learned_at: Instant::now(), is_old: false, model: Arc::new(model) }
    }
}

/// What an algorithm asks of the neighbours of an item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Neighbourhood(ItemKnnOptions);

impl Neighbourhood {
    /// That of an algorithm, if it looks at neighbours.
    fn of(using: &Algorithm) -> Option<Self> {
        match using {
            Algorithm::ItemKnn(options) => Some(Self(*options)),
            Algorithm::Repurchase => Some(Self(ItemKnnOptions::of(Similarity::Llr))),
            Algorithm::Blend(blend) => blend.parts.iter().find_map(|part| Self::of(&part.using)),
            _ => None,
        }
    }
}

/// Finds what neighbours of `items` are made of, from the last one on, until a time.
pub(super) fn warm(
    (interactions, ranks): (&Interactions, &[u32]),
    (spec, neighbourhood): (&RecommendSpec, Neighbourhood),
    items: &mut Vec<u32>,
    until: Instant,
) {
    let view = spec.view(interactions);
    let knn = ItemKnn::new(&view, neighbourhood.0);
    while Instant::now() < until
        && let Some(item) = items.pop()
    {
        knn.warm(&view, ranks, item);
    }
}

/// What a model depends on, beside the interactions.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LearnedFrom {
    using: Algorithm,
    weights: Weights,
    half_life_us: Option<i64>,
    window_us: Option<i64>,
    as_of_us: Option<i64>,
}

impl LearnedFrom {
    fn of(spec: &RecommendSpec) -> Self {
        let RecommendSpec { using, weights, half_life_us, window_us, as_of_us, .. } = spec;
        Self {
            using: using.clone(),
            weights: weights.clone(),
            half_life_us: *half_life_us,
            window_us: *window_us,
            as_of_us: *as_of_us,
        }
    }

    fn spec(&self) -> RecommendSpec {
        RecommendSpec {
            half_life_us: self.half_life_us,
            window_us: self.window_us,
            as_of_us: self.as_of_us,
            ..RecommendSpec::new(self.using.clone(), self.weights.clone())
        }
    }

    /// Whether learning takes seconds where an answer takes milliseconds. What is as of a time is learned once.
    fn takes_long(&self) -> bool {
        matches!(self.using, Algorithm::Ease(_) | Algorithm::Als(_)) && self.as_of_us.is_none()
    }
}

impl Models {
    /// The model for a question. Where learning takes long, it is the last one that was learned, unless `refresh_after` is
    /// zero: a newer one is learned beside the questions.
    ///
    /// # Errors
    /// Those of [`Model::fit_within`].
    pub(super) fn get(
        &self,
        interactions: &Interactions,
        ranks: &[u32],
        spec: &RecommendSpec,
        effort: &Effort<'_>,
        refresh_after: Duration,
    ) -> Result<Arc<Model>> {
        let learned_from = LearnedFrom::of(spec);
        let version = interactions.version();
        let known = {
            let mut models = self.0.lock();
            match models.iter().position(|kept| kept.learned_from == learned_from) {
                Some(place) => {
                    models[place..].rotate_left(1);
                    let place = models.len() - 1;
                    let kept = &mut models[place];
                    let is_now = kept.version == version;
                    // Left where it is, so that nobody who asks at the same time learns it again.
                    if is_now || learned_from.takes_long() && !refresh_after.is_zero() {
                        kept.is_old |= !is_now;
                        return Ok(Arc::clone(&kept.model));
                    }
                    Some(models.remove(place))
                }
                None => None,
            }
        };
        let view = spec.view(interactions);
        let model = match known.map(|kept| Arc::try_unwrap(kept.model)) {
            Some(Ok(model)) => model.again(&view, ranks, &spec.using, effort)?,
            _ => Model::fit_within(&view, ranks, &spec.using, effort)?,
        };
        let kept = KeptModel::new(learned_from, version, model);
        let model = Arc::clone(&kept.model);
        self.put(kept);
        Ok(model)
    }

    fn put(&self, kept: KeptModel) {
        let mut models = self.0.lock();
        models.retain(|other| other.learned_from != kept.learned_from);
        models.push(kept);
        if models.len() > MODELS_MAX {
            models.remove(0);
        }
    }

    /// What was asked of a model that is older than `age` and than the interactions.
    pub(super) fn old(&self, age: Duration) -> Vec<LearnedFrom> {
        let models = self.0.lock();
        let old = models.iter().filter(|kept| kept.is_old && kept.learned_at.elapsed() >= age);
        old.map(|kept| kept.learned_from.clone()).collect()
    }

    /// Learns a model again, from interactions that may be a copy.
    ///
    /// # Errors
    /// Those of [`Model::fit_within`].
    pub(super) fn learn(
        &self,
        from: LearnedFrom,
        interactions: &Interactions,
        ranks: &[u32],
        effort: &Effort<'_>,
    ) -> Result<()> {
        let spec = from.spec();
        let model = Model::fit_within(&spec.view(interactions), ranks, &spec.using, effort)?;
        self.put(KeptModel::new(from, interactions.version(), model));
        Ok(())
    }

    /// What the last question about neighbours asked of them.
    pub(super) fn last_neighbourhood(&self) -> Option<(RecommendSpec, Neighbourhood)> {
        let models = self.0.lock();
        models.iter().rev().find_map(|kept| {
            let neighbourhood = Neighbourhood::of(&kept.learned_from.using)?;
            Some((kept.learned_from.spec(), neighbourhood))
        })
    }

    /// What the models are.
    pub(super) fn describe(&self) -> Vec<LiveModel> {
        let describe = |kept: &KeptModel| LiveModel {
            using: kept.learned_from.using.name(),
            age: kept.learned_at.elapsed(),
            memory_bytes: kept.model.heap_bytes(),
        };
        self.0.lock().iter().map(describe).collect()
    }

    /// Bytes held on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.lock().iter().map(|kept| kept.model.heap_bytes()).sum()
    }
}
