//! What algorithms learned from a kept state, as long as it is right.

use crate::behavior::recommend::{Algorithm, Interactions, Model, RecommendSpec, Weights};
use crate::error::Result;
use parking_lot::Mutex;
use std::sync::Arc;

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
    model: Arc<Model>,
}

/// What a model depends on, beside the interactions.
#[derive(Debug, PartialEq)]
struct LearnedFrom {
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
}

impl Models {
    /// The model for a question.
    ///
    /// # Errors
    /// Those of [`Model::fit`].
    pub(super) fn get(
        &self,
        interactions: &Interactions,
        ranks: &[u32],
        spec: &RecommendSpec,
        threads: usize,
    ) -> Result<Arc<Model>> {
        let learned_from = LearnedFrom::of(spec);
        let version = interactions.version();
        let known = {
            let mut models = self.0.lock();
            let place = models.iter().position(|kept| kept.learned_from == learned_from);
            place.map(|place| models.remove(place))
        };
        let kept = match known {
            Some(kept) if kept.version == version => kept,
            _ => {
                let model = Model::fit(&spec.view(interactions), ranks, &spec.using, threads)?;
                KeptModel { learned_from, version, model: Arc::new(model) }
            }
        };
        let model = Arc::clone(&kept.model);
        let mut models = self.0.lock();
        models.retain(|other| other.learned_from != kept.learned_from);
        models.push(kept);
        if models.len() > MODELS_MAX {
            models.remove(0);
        }
        Ok(model)
    }

    /// Bytes held on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.lock().iter().map(|kept| kept.model.heap_bytes()).sum()
    }
}
