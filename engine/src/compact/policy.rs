//! Which segments to merge: a pure function of their summaries.

use std::ops::Range;

/// What the policy knows of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Number of rows.
    pub rows: u64,
    /// Whether rows of deleted users or rows past retention may be in it.
    pub has_hidden: bool,
    /// Whether every row is past retention, and there is one.
    pub all_hidden: bool,
}

/// What to do with the segments of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Nothing.
    Rest,
    /// Merge these neighbours into one segment.
    Merge(Range<usize>),
}

/// Merge when this many neighbours are of similar size: a row is then rewritten about log4(n) times.
const FAN_IN: usize = 4;
/// Neighbours are of similar size when the largest has at most this part of the rows of the others together. Of the
/// values tried this one rewrites least (7 times each row, over 10,000 flushes) and leaves few segments (11).
const SIMILAR: (u64, u64) = (2, 3);
/// More segments than this slow every query, so the smallest neighbours are merged whatever their sizes.
const MOST_SEGMENTS: usize = 24;

/// Choose neighbours to merge, in order of arrival. The choice depends on nothing but `segments`, and merging until
/// [`Choice::Rest`] ends.
pub fn choose(segments: &[SegmentSummary]) -> Choice {
    let rows = |range: Range<usize>| -> u64 { segments[range].iter().map(|segment| segment.rows.max(1)).sum() };
    // Newest first: there the small ones are.
    for start in (0..segments.len().saturating_sub(FAN_IN - 1)).rev() {
        let run = start..start + FAN_IN;
        let largest = segments[run.clone()].iter().map(|segment| segment.rows.max(1)).max().unwrap_or(1);
        if SIMILAR.1 * largest <= SIMILAR.0 * (rows(run.clone()) - largest) {
            return Choice::Merge(run);
        }
    }
    if segments.len() > MOST_SEGMENTS {
        let pairs = (0..segments.len() - 1).map(|start| start..start + 2);
        return pairs.min_by_key(|pair| rows(pair.clone())).map_or(Choice::Rest, Choice::Merge);
    }
    Choice::Rest
}

/// Choose for a full compaction: everything into one segment, unless that is the case and nothing is hidden in it.
pub fn choose_full(segments: &[SegmentSummary]) -> Choice {
    match segments {
        [] => Choice::Rest,
        [only] if !only.has_hidden => Choice::Rest,
        _ => Choice::Merge(0..segments.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summaries(rows: &[u64]) -> Vec<SegmentSummary> {
        rows.iter().map(|&rows| SegmentSummary { rows, has_hidden: false, all_hidden: false }).collect()
    }

    #[test]
    fn similar_neighbours_are_merged() {
        assert_eq!(choose(&summaries(&[10, 10, 10])), Choice::Rest);
        assert_eq!(choose(&summaries(&[10, 10, 10, 10])), Choice::Merge(0..4));
        assert_eq!(choose(&summaries(&[1000, 10, 10, 10])), Choice::Rest);
        assert_eq!(choose(&summaries(&[1000, 10, 10, 10, 10])), Choice::Merge(1..5));
        assert_eq!(choose(&summaries(&[])), Choice::Rest);
    }

    #[test]
    fn a_full_compaction_leaves_one_segment_without_hidden_rows() {
        assert_eq!(choose_full(&summaries(&[])), Choice::Rest);
        assert_eq!(choose_full(&summaries(&[5])), Choice::Rest);
        assert_eq!(choose_full(&summaries(&[5, 1])), Choice::Merge(0..2));
        assert_eq!(
            choose_full(&[SegmentSummary { rows: 5, has_hidden: true, all_hidden: false }]),
            Choice::Merge(0..1)
        );
    }

    #[test]
    fn ten_thousand_flushes_stay_few_and_are_rewritten_seldom() {
        let (mut segments, mut rewritten) = (Vec::new(), 0);
        for _ in 0..10_000 {
            segments.push(SegmentSummary { rows: 100, has_hidden: false, all_hidden: false });
            while let Choice::Merge(range) = choose(&segments) {
                let rows = segments[range.clone()].iter().map(|segment| segment.rows).sum();
                rewritten += rows;
                segments.splice(range, [SegmentSummary { rows, has_hidden: false, all_hidden: false }]);
            }
            assert!(segments.len() <= MOST_SEGMENTS);
        }
        assert!(rewritten < 10_000 * 100 * 8, "each row was rewritten {} times", rewritten / 1_000_000);
    }
}
