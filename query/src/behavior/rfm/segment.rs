//! The named segments: what a customer's scores of recency and frequency say together.

/// A segment of customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// Came lately and come often.
    Champions,
    /// Come often.
    Loyal,
    /// Came lately, and more than once.
    PotentialLoyalist,
    /// Came just now, for the first time or nearly so.
    New,
    /// Came not long ago, and seldom.
    Promising,
    /// In the middle of everything.
    NeedsAttention,
    /// Came seldom, some time ago.
    AboutToSleep,
    /// Came often, long ago.
    AtRisk,
    /// Came most often of all, long ago.
    CannotLose,
    /// Came seldom, long ago.
    Hibernating,
    /// Came least often, longest ago.
    Lost,
}

use Segment::{
    AboutToSleep, AtRisk, CannotLose, Champions, Hibernating, Lost, Loyal, NeedsAttention, New, PotentialLoyalist,
    Promising,
};

/// Of five scores each: a row for each of recency from 1 on, a column for each of frequency.
const TABLE: [[Segment; 5]; 5] = [
    [Lost, Hibernating, AtRisk, AtRisk, CannotLose],
    [Hibernating, Hibernating, AtRisk, AtRisk, CannotLose],
    [AboutToSleep, AboutToSleep, NeedsAttention, Loyal, Loyal],
    [Promising, PotentialLoyalist, PotentialLoyalist, Loyal, Loyal],
    [New, PotentialLoyalist, PotentialLoyalist, Champions, Champions],
];

impl Segment {
    /// All of them, in the order of rows.
    pub const ALL: [Self; 11] = [
        Champions,
        Loyal,
        PotentialLoyalist,
        New,
        Promising,
        NeedsAttention,
        AboutToSleep,
        AtRisk,
        CannotLose,
        Hibernating,
        Lost,
    ];

    /// The segment of two scores of 1 to `scores`. Other numbers of scores than five are stretched to five: the best is 5,
    /// the worst 1, those between at equal distances, rounded, a half upwards.
    pub fn of(recency: u32, frequency: u32, scores: u32) -> Self {
        let gaps = scores.max(2) - 1;
        let place = |score: u32| ((8 * score.saturating_sub(1) + gaps) / (2 * gaps)).min(4) as usize;
        TABLE[place(recency)][place(frequency)]
    }

    /// The word in an answer.
    pub fn word(self) -> &'static str {
        match self {
            Champions => "champions",
            Loyal => "loyal",
            PotentialLoyalist => "potential_loyalist",
            New => "new",
            Promising => "promising",
            NeedsAttention => "needs_attention",
            AboutToSleep => "about_to_sleep",
            AtRisk => "at_risk",
            CannotLose => "cannot_lose",
            Hibernating => "hibernating",
            Lost => "lost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_segment_has_a_cell() {
        for segment in Segment::ALL {
            let cells = (1..=5).flat_map(|r| (1..=5).map(move |f| Segment::of(r, f, 5)));
            assert!(cells.into_iter().any(|of_cell| of_cell == segment), "{}", segment.word());
        }
    }

    #[test]
    fn the_ends_are_the_same_for_every_number_of_scores() {
        for scores in 2..=10 {
            assert_eq!(Segment::of(1, 1, scores), Lost);
            assert_eq!(Segment::of(scores, scores, scores), Champions);
            assert_eq!(Segment::of(scores, 1, scores), New);
            assert_eq!(Segment::of(1, scores, scores), CannotLose);
        }
        assert_eq!(Segment::of(2, 2, 3), NeedsAttention);
        assert_eq!(Segment::of(4, 5, 10), AtRisk);
    }
}
