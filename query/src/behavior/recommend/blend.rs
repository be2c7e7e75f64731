//! The sum of several methods.

use super::item_knn::best_first;
use super::model::Asked;
use super::scores::Scores;
use super::spec::Algorithm;
use trodden_engine::error::{Error, Result};

/// The most methods of a blend.
pub const BLEND_PARTS_MAX: usize = 16;
/// Added to ranks of a reciprocal-rank blend, after Cormack, Clarke and Buettcher (2009).
const RANK_OFFSET: f64 = 60.0;

/// How methods are put on one scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// Scores as a part of the highest that the method gives to this question.
    #[default]
    Score,
    /// `1 / (60 + rank)` among the items that may be recommended.
    ReciprocalRank,
}

impl Scale {
    /// Items with a score above 0 on this scale.
    pub(super) fn scaled(self, scores: &Scores, asked: &Asked<'_>) -> Vec<(u32, f64)> {
        let mut items: Vec<(u32, f64)> = scores.iter().filter(|(_, score)| *score > 0.0).collect();
        match self {
            Self::Score => {
                let highest = scores.max();
                items.iter_mut().for_each(|(_, score)| *score /= highest);
            }
            Self::ReciprocalRank => {
                items.retain(|(item, _)| (asked.may)(*item));
                let count = items.len();
                best_first(&mut items, asked.ranks, count);
                let place =
                    |(place, (_, score)): (usize, &mut (u32, f64))| *score = 1.0 / (RANK_OFFSET + (place + 1) as f64);
                items.iter_mut().enumerate().for_each(place);
            }
        }
        items
    }
}

/// One method of a blend.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The method; no blend itself.
    pub using: Algorithm,
    /// What it counts, above 0.
    pub weight: f64,
}

/// Methods that are added up.
#[derive(Debug, Clone, PartialEq)]
pub struct Blend {
    /// The methods.
    pub parts: Vec<Part>,
    /// How they are put on one scale.
    pub scale: Scale,
}

impl Blend {
    pub(super) fn validate(&self) -> Result<()> {
        if self.parts.is_empty() || self.parts.len() > BLEND_PARTS_MAX {
            let message = format!("a blend of {} methods", self.parts.len());
            return Err(Error::invalid(message).with_hint(format!("give 1 to {BLEND_PARTS_MAX}")));
        }
        if let Some(part) = self.parts.iter().find(|part| !(part.weight > 0.0 && part.weight.is_finite())) {
            let message = format!("'{}' has the weight {} in a blend", part.using.name(), part.weight);
            return Err(Error::invalid(message).with_hint("give a weight above 0"));
        }
        if self.parts.iter().any(|part| matches!(part.using, Algorithm::Blend(_))) {
            return Err(Error::invalid("a blend in a blend").with_hint("name its methods in the outer one"));
        }
        Ok(())
    }
}
