//! Which segments to merge: a pure function of their summaries.

use std::ops::Range;

/// What the policy knows of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Number of rows.
    pub rows: u64,
    /// Whether rows or ids of deleted users are in it.
    pub has_deleted: bool,
    /// Earliest timestamp, in microseconds.
    pub ts_min: i64,
    /// Latest timestamp, in microseconds.
    pub ts_max: i64,
    /// Rows before this time are expired.
    pub hidden_before_us: i64,
}

impl SegmentSummary {
    /// Whether any row is expired.
    fn has_expired(&self) -> bool {
        self.rows > 0 && self.ts_min < self.hidden_before_us
    }

    /// Whether every row is expired, and there is one.
    pub fn is_all_expired(&self) -> bool {
        self.rows > 0 && self.ts_max < self.hidden_before_us
    }

    /// Whether about so many rows are expired that the segment is worth rewriting. Nobody counts them: they are taken to
    /// be spread evenly over the segment's time.
    fn is_much_expired(&self) -> bool {
        let wide = |from: i64, to: i64| i128::from(to) - i128::from(from);
        let (expired, whole) = (wide(self.ts_min, self.hidden_before_us), wide(self.ts_min, self.ts_max));
        self.is_all_expired() || self.has_expired() && EXPIRED.1 * expired >= EXPIRED.0 * whole
    }
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
/// A segment is rewritten alone when at least this part of its rows is expired: a fifth.
const EXPIRED: (i128, i128) = (1, 5);
/// More segments than this slow every query, so the smallest neighbours are merged whatever their sizes.
const MOST_SEGMENTS: usize = 24;

/// Choose neighbours to merge, in order of arrival; where none are, a segment to rewrite, so that what was deleted or has
/// expired does not stay on disk for ever. The choice depends on nothing but `segments`, and merging until
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
    let stale = segments.iter().position(|segment| segment.has_deleted || segment.is_much_expired());
    stale.map_or(Choice::Rest, |at| Choice::Merge(at..at + 1))
}

/// Choose for a full compaction: everything into one segment, unless that is the case and nothing is hidden in it.
pub fn choose_full(segments: &[SegmentSummary]) -> Choice {
    match segments {
        [] => Choice::Rest,
        [only] if !only.has_deleted && !only.has_expired() => Choice::Rest,
        _ => Choice::Merge(0..segments.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment of which nothing is hidden.
    fn plain(rows: u64) -> SegmentSummary {
        SegmentSummary { rows, has_deleted: false, ts_min: 0, ts_max: 100, hidden_before_us: i64::MIN }
    }

    fn summaries(rows: &[u64]) -> Vec<SegmentSummary> {
        rows.iter().map(|&rows| plain(rows)).collect()
    }

    #[test]
    fn what_was_deleted_or_has_expired_does_not_stay() {
        let deleted = SegmentSummary { has_deleted: true, ..plain(1000) };
        let expired = |hidden_before_us| SegmentSummary { hidden_before_us, ..plain(1000) };
        assert_eq!(choose(&[plain(9), deleted]), Choice::Merge(1..2));
        assert_eq!(choose(&[expired(20)]), Choice::Merge(0..1));
        assert_eq!(choose(&[expired(19)]), Choice::Rest);
        assert_eq!(choose(&[expired(0), expired(i64::MIN)]), Choice::Rest);
        assert_eq!(choose(&[plain(1), expired(i64::MAX)]), Choice::Merge(1..2));
        let one_time = SegmentSummary { ts_max: 0, ..expired(1) };
        assert_eq!(choose(&[one_time]), Choice::Merge(0..1));
        let ends = SegmentSummary { ts_min: i64::MIN, ts_max: i64::MAX, ..expired(0) };
        assert_eq!(choose(&[ends]), Choice::Merge(0..1));
        let empty = SegmentSummary { rows: 0, ts_min: i64::MAX, ts_max: i64::MIN, ..expired(50) };
        assert_eq!(choose(&[empty]), Choice::Rest);
        // Neighbours come first: their merge rewrites what is hidden, too.
        assert_eq!(choose(&[deleted, plain(10), plain(10), plain(10), plain(10)]), Choice::Merge(1..5));
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
        assert_eq!(choose_full(&[SegmentSummary { has_deleted: true, ..plain(5) }]), Choice::Merge(0..1));
        assert_eq!(choose_full(&[SegmentSummary { hidden_before_us: 1, ..plain(5) }]), Choice::Merge(0..1));
    }

    #[test]
    fn ten_thousand_flushes_stay_few_and_are_rewritten_seldom() {
        let (mut segments, mut rewritten) = (Vec::new(), 0);
        for _ in 0..10_000 {
            segments.push(plain(100));
            while let Choice::Merge(range) = choose(&segments) {
                let rows = segments[range.clone()].iter().map(|segment| segment.rows).sum();
                rewritten += rows;
                segments.splice(range, [plain(rows)]);
            }
            assert!(segments.len() <= MOST_SEGMENTS);
        }
        assert!(rewritten < 10_000 * 100 * 8, "each row was rewritten {} times", rewritten / 1_000_000);
    }
}
