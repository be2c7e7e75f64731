//! Lists that several algorithms fill, one after the other: what the first has nothing to say about is the next one's.

use super::effort::Effort;
use super::interactions::Interactions;
use super::model::{Model, Target};
use super::recommender::{Picked, Recommended, Recommender};
use super::spec::RecommendSpec;
use trodden_engine::error::{Error, Result};
use trodden_engine::parallel;

/// The most algorithms of a chain.
pub const CHAIN_MAX: usize = 16;
/// Questions that a thread takes at once.
const QUESTIONS: usize = 64;

/// Recommenders over the same interactions, at least one, whose arguments differ in the algorithm only.
#[derive(Debug)]
pub struct Chain<'a>(Vec<Recommender<'a>>);

impl<'a> Chain<'a> {
    /// A chain of algorithms, each with its arguments and a model that was fitted to their view, the first to be asked
    /// first. `ranks` is the order of items by value, by code.
    ///
    /// # Errors
    /// As [`Recommender::new`]; `InvalidInput` for none, and for more than [`CHAIN_MAX`].
    pub fn new(
        interactions: &'a Interactions,
        ranks: &'a [u32],
        parts: impl IntoIterator<Item = (&'a RecommendSpec, &'a Model)>,
    ) -> Result<Self> {
        let parts = parts.into_iter().map(|(spec, model)| Recommender::new(interactions, ranks, spec, model));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        if parts.is_empty() || parts.len() > CHAIN_MAX {
            let message = format!("a chain of {} algorithms", parts.len());
            return Err(Error::invalid(message).with_hint(format!("give 1 to {CHAIN_MAX}")));
        }
        Ok(Self(parts))
    }

    /// The list for a target: the items of the first algorithm as it orders them, then those of the next that are not there
    /// yet, and popular ones until the list is full. Limits of categories are about the whole list.
    pub fn list(&self, target: Target<'_>, with_reasons: bool) -> Vec<Recommended> {
        let mut picked = Picked::default();
        for (place, recommender) in self.0.iter().enumerate() {
            recommender.extend(target, &mut picked, place, with_reasons);
        }
        self.0[0].fill(target, &mut picked);
        picked.rows
    }

    /// The list for each of `targets`, on all threads.
    ///
    /// # Errors
    /// `Cancelled`.
    pub fn lists(
        &self,
        targets: &[Target<'_>],
        with_reasons: bool,
        effort: &Effort<'_>,
    ) -> Result<Vec<Vec<Recommended>>> {
        let parts: Vec<&[Target<'_>]> = targets.chunks(QUESTIONS).collect();
        let lists = parallel::map_all(&parts, effort.threads, |part| {
            effort.check()?;
            Ok(part.iter().map(|&target| self.list(target, with_reasons)).collect::<Vec<_>>())
        });
        Ok(lists.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// The only recommender, where there are no others.
    pub fn single(&self) -> Option<&Recommender<'a>> {
        match self.0.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// The first recommender.
    pub fn first(&self) -> &Recommender<'a> {
        &self.0[0]
    }
}
