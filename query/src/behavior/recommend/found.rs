//! What was found for one question, so that scores and reasons need not find it twice.

use super::scores::Scores;
use super::session_knn::FoundSessions;
use std::cell::OnceCell;

/// Found when first needed. It belongs to one model and one target.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Of `session_knn`.
    pub(super) sessions: FoundSessions,
    /// Of the parts of a blend, in their order.
    pub(super) parts: OnceCell<Vec<FoundPart>>,
}

/// The scores of a part of a blend.
#[derive(Debug)]
pub(super) struct FoundPart {
    /// As it gives them.
    pub(super) own: Scores,
    /// Those above 0, as they are added up with those of other parts before weights.
    pub(super) scaled: Scores,
}
