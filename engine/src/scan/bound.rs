//! The conditions of a scan, bound to one segment, and the users of it that matter.

use super::bind::Node;
use super::code_words::CodeSets;
use super::event_rows::WantedCodes;
use super::key_reader::KeyReader;
use crate::predicate::ColumnRef;
use crate::segment::{BlockUsers, Segment};
use crate::types::TimeRange;
use roaring::RoaringBitmap;
use std::ops::Range;

/// The conditions of a scan, bound to one segment.
pub(crate) struct BoundScan {
    /// Conditions, and whether the event's name alone decides them.
    pub(crate) conditions: Vec<(Node, bool)>,
    pub(crate) filter: Node,
    /// Event names that leave a chance.
    pub(crate) wanted: WantedCodes,
    /// Whether the filter needs more than the event's name.
    pub(crate) filter_undecided: bool,
    pub(crate) time: Option<TimeRange>,
    pub(crate) keys: Vec<KeyReader>,
    /// Rows that satisfy no condition are kept too.
    pub(crate) every_event: bool,
    /// The codes of event names are wanted, not only what the conditions make of them.
    pub(crate) reads_codes: bool,
    /// Per condition the event names that leave a chance, where bits of rows can say which events matter.
    pub(crate) code_sets: Option<CodeSets>,
}

/// Event names are compared as bytes for bits of rows.
const BIT_CODES_MAX: usize = 256;

/// Which users of a segment matter.
#[derive(Clone)]
pub(crate) struct Wanted<'a> {
    /// Ordinals of the morsel.
    pub(crate) ordinals: Range<u32>,
    /// Those whom the indexes left; `None`: all.
    pub(crate) candidates: Option<&'a RoaringBitmap>,
    /// Those whose events in this segment were deleted.
    pub(crate) hidden: &'a RoaringBitmap,
}

impl BoundScan {
    /// Prepare the lookup tables.
    pub(crate) fn new(
        segment: &Segment,
        conditions: Vec<Node>,
        filter: Node,
        time: TimeRange,
        keys: &[ColumnRef],
        every_event: bool,
    ) -> Self {
        let codes = segment.event_names().len();
        let mut masks = vec![0u64; codes];
        let bind = |(bit, node): (usize, Node)| {
            let mut decided = true;
            for (code, mask) in masks.iter_mut().enumerate() {
                let by_event = node.by_event(code);
                *mask |= u64::from(by_event.can) << bit;
                decided &= !by_event.can || by_event.always;
            }
            (without_event(node), decided)
        };
        let conditions: Vec<(Node, bool)> = conditions.into_iter().enumerate().map(bind).collect();
        let by_filter: Vec<_> = (0..codes).map(|code| filter.by_event(code)).collect();
        let keep = masks.iter().zip(&by_filter).map(|(mask, filter)| filter.can && (every_event || *mask != 0));
        let wanted: Vec<bool> = keep.collect();
        let meta = segment.meta();
        let filter_undecided = by_filter.iter().any(|by| by.can && !by.always);
        let filter = without_event(filter);
        let nodes = conditions.iter().filter(|(_, decided)| !decided).map(|(node, _)| node);
        let mut nodes = nodes.chain(Some(&filter).filter(|_| filter_undecided));
        let reads_codes = nodes.any(Node::reads_event) || keys.contains(&ColumnRef::Event);
        let time = if time.contains(meta.ts_min) && time.contains(meta.ts_max) { None } else { Some(time) };
        // Bits say which rows satisfy a condition, not which are part of the input: with every event, all of them are.
        let is_whole = !every_event || wanted.iter().all(|kept| *kept);
        let by_name = is_whole && !filter_undecided && time.is_none() && codes <= BIT_CODES_MAX;
        let code_sets = by_name.then(|| {
            let kept = masks.iter().zip(&wanted).map(|(mask, kept)| if *kept { *mask } else { 0 });
            CodeSets::new(&kept.collect::<Vec<_>>(), conditions.len())
        });
        Self {
            conditions,
            filter_undecided,
            filter,
            reads_codes,
            code_sets,
            wanted: WantedCodes::new(masks, wanted),
            time,
            keys: keys.iter().enumerate().map(|(place, column)| KeyReader::new(column, place)).collect(),
            every_event,
        }
    }

    /// The range of time that rows are checked against; all of time when the segment lies inside the scan's range.
    pub(crate) fn time_or_all(&self) -> TimeRange {
        self.time.unwrap_or(TimeRange::ALL)
    }

    /// Whether block `block` can hold an event that counts.
    pub(crate) fn can_match_block(&self, segment: &Segment, block: usize) -> bool {
        self.filter.can_match_block(segment, block)
            && (self.every_event || self.conditions.iter().any(|(node, _)| node.can_match_block(segment, block)))
    }
}

/// `node` for rows whose event name leaves it a chance: the tests of the name in a conjunction have passed then.
fn without_event(node: Node) -> Node {
    let Node::And(parts) = node else { return node };
    let mut parts: Vec<Node> = parts.into_iter().filter(|part| !matches!(part, Node::Event(_))).collect();
    match parts.len() {
        0 => Node::Const(super::test::TRUE),
        1 => parts.remove(0),
        _ => Node::And(parts),
    }
}

/// The users of a block who matter, as positions in `users`.
pub(crate) fn candidates_of(users: &BlockUsers, wanted: &Wanted<'_>, positions: &mut Vec<u32>) {
    positions.clear();
    let from = users.ordinals.partition_point(|&ordinal| ordinal < wanted.ordinals.start);
    let to = users.ordinals.partition_point(|&ordinal| ordinal < wanted.ordinals.end);
    if from == to {
        return;
    }
    let (first, last) = (users.ordinals[from], users.ordinals[to - 1]);
    match wanted.candidates {
        None => positions.extend(from as u32..to as u32),
        Some(bitmap) => intersect(&users.ordinals, from..to, bitmap, positions),
    }
    if !wanted.hidden.is_empty() && wanted.hidden.range_cardinality(first..=last) > 0 {
        positions.retain(|&at| !wanted.hidden.contains(users.ordinals[at as usize]));
    }
}

/// The rows of users at `positions`, neighbours joined.
pub(crate) fn runs_of(users: &BlockUsers, positions: &[u32], runs: &mut Vec<(u32, u32)>) {
    runs.clear();
    for &at in positions {
        let (start, end) = (users.starts[at as usize], users.starts[at as usize + 1]);
        match runs.last_mut() {
            Some(run) if run.1 == start => run.1 = end,
            _ => runs.push((start, end)),
        }
    }
}

/// With this many times more candidates than users each user is looked up; else both are walked together.
const LOOK_UP_FROM: u64 = 4;

/// Positions in `range` of the `ordinals` that are in `bitmap`.
fn intersect(ordinals: &[u32], range: Range<usize>, bitmap: &RoaringBitmap, positions: &mut Vec<u32>) {
    let (first, last) = (ordinals[range.start], ordinals[range.end - 1]);
    if (last - first) as usize + 1 == range.len() {
        // No gap: the ordinal tells the position.
        let offset = range.start as u32;
        positions.extend(bitmap.range(first..=last).map(|candidate| candidate - first + offset));
        return;
    }
    if bitmap.range_cardinality(first..=last) > LOOK_UP_FROM * range.len() as u64 {
        positions.extend(range.map(|at| at as u32).filter(|&at| bitmap.contains(ordinals[at as usize])));
        return;
    }
    let mut candidates = bitmap.iter();
    candidates.advance_to(first);
    let mut at = range.start;
    for candidate in candidates.take_while(|&candidate| candidate <= last) {
        while ordinals[at] < candidate {
            at += 1;
        }
        if ordinals[at] == candidate {
            positions.push(at as u32);
        }
    }
}
