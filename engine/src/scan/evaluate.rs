//! Is this condition true for these rows of a block?

use super::batch::batch_of;
use super::bind::Node;
use super::column::{Fetched, Texts};
use super::test::{FALSE, TRUE, Test, Truth, UNKNOWN, ValueRange, truth};
use crate::error::Result;
use crate::predicate::RowPredicate;
use crate::rows::{Column, NULL_CODE};
use crate::segment::{Block, BlockUsers, ColumnBlock, RowTest, Segment, TextBlock};
use crate::table::Snapshot;
use crate::types::ColumnType;
use arrow_array::Array;
use std::sync::Arc;

/// A block, and where it stands.
pub(crate) struct BlockContext<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) shard: usize,
    pub(crate) segment: &'a Segment,
    pub(crate) block: Block<'a>,
    pub(crate) users: Arc<BlockUsers>,
}

impl BlockContext<'_> {
    /// Position in `users` of the user of each of `rows` (ascending).
    pub(crate) fn user_indexes(&self, rows: &[u32]) -> Vec<u32> {
        let starts = &self.users.starts;
        let mut user = match rows.first() {
            Some(&row) => starts.partition_point(|&start| start <= row) - 1,
            None => 0,
        };
        let index = |&row: &u32| {
            while starts[user + 1] <= row {
                user += 1;
            }
            user as u32
        };
        rows.iter().map(index).collect()
    }
}

/// The truth value of `node` for each of `rows` (ascending); `codes` are the codes of their event names.
pub(crate) fn evaluate(node: &Node, context: &BlockContext<'_>, rows: &[u32], codes: &[u32]) -> Result<Vec<Truth>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    match node {
        Node::Const(truth) => Ok(vec![*truth; rows.len()]),
        Node::And(parts) => combine(parts, context, rows, codes, (Truth::min, FALSE)),
        Node::Or(parts) => combine(parts, context, rows, codes, (Truth::max, TRUE)),
        Node::Event(passes) => Ok(codes.iter().map(|&code| truth(passes[code as usize])).collect()),
        Node::Time { test, negated } => {
            let times = context.block.times()?;
            Ok(rows.iter().map(|&row| truth(test.integer(times.get(row as usize)) != *negated)).collect())
        }
        Node::Users { ordinals, negated } => {
            Ok(by_user(context, rows, |ordinal| ordinals.contains(ordinal) != *negated))
        }
        Node::UserText { test, negated } => user_text(test, *negated, context, rows),
        Node::Text { name, passes, test, negated } => text(name, passes, test, *negated, context, rows),
        Node::Scalar { name, wanted, test, negated } => scalar(name, *wanted, test, *negated, context, rows),
        Node::IsNull { name, negated } => is_null(name, *negated, context, rows),
        Node::Custom { predicate, negated } => custom(&**predicate, *negated, context, rows),
    }
}

/// AND (`choose` is the minimum, `settled` FALSE) or OR (the maximum, TRUE) of `parts`. A part is evaluated only for rows
/// that the parts before it have not settled, so that `event = 'rate' AND CAST(value AS BIGINT) > 3` never looks at the
/// values of other events. Parts of the layer above, which may fail, come last.
fn combine(
    parts: &[Node],
    context: &BlockContext<'_>,
    rows: &[u32],
    codes: &[u32],
    (choose, settled): (fn(Truth, Truth) -> Truth, Truth),
) -> Result<Vec<Truth>> {
    let (custom, plain): (Vec<&Node>, Vec<&Node>) = parts.iter().partition(|part| part.may_fail());
    let mut parts = plain.into_iter().chain(custom);
    let Some(first) = parts.next() else { return Ok(Vec::new()) };
    let mut sum = evaluate(first, context, rows, codes)?;
    for part in parts {
        let open: Vec<usize> = (0..rows.len()).filter(|&at| sum[at] != settled).collect();
        if open.len() == rows.len() {
            let truths = evaluate(part, context, rows, codes)?;
            sum.iter_mut().zip(truths).for_each(|(sum, truth)| *sum = choose(*sum, truth));
            continue;
        }
        let open_rows: Vec<u32> = open.iter().map(|&at| rows[at]).collect();
        // There are none where no part asks for the event.
        let open_codes: Vec<u32> = open.iter().filter_map(|&at| codes.get(at).copied()).collect();
        let truths = evaluate(part, context, &open_rows, &open_codes)?;
        open.iter().zip(truths).for_each(|(&at, truth)| sum[at] = choose(sum[at], truth));
    }
    Ok(sum)
}

/// A test of users, each of whom is looked up once.
fn by_user(context: &BlockContext<'_>, rows: &[u32], passes: impl Fn(u32) -> bool) -> Vec<Truth> {
    let mut known: Option<(u32, Truth)> = None;
    let truth_of = |user: u32| match known {
        Some((last, truth)) if last == user => truth,
        _ => {
            let value = truth(passes(context.users.ordinals[user as usize]));
            known = Some((user, value));
            value
        }
    };
    context.user_indexes(rows).into_iter().map(truth_of).collect()
}

fn user_text(test: &Test, negated: bool, context: &BlockContext<'_>, rows: &[u32]) -> Result<Vec<Truth>> {
    let shard = &context.snapshot.shards[context.shard];
    let mut known: Option<(u32, Truth)> = None;
    let mut truths = Vec::with_capacity(rows.len());
    for user in context.user_indexes(rows) {
        let value = match known {
            Some((last, truth)) if last == user => truth,
            _ => match shard.user_id(context.users.ordinals[user as usize])? {
                Some(user_id) => truth(test.text(&user_id) != negated),
                None => UNKNOWN,
            },
        };
        known = Some((user, value));
        truths.push(value);
    }
    Ok(truths)
}

fn text(
    name: &str,
    passes: &[bool],
    test: &Test,
    negated: bool,
    context: &BlockContext<'_>,
    rows: &[u32],
) -> Result<Vec<Truth>> {
    if let TextBlock::Dict(texts) = context.block.text(name)?
        && texts.is_per_user()
    {
        let truth_of = |&user: &u32| {
            let (user, row) = (user as usize, context.users.starts[user as usize] as usize);
            truth(passes[texts.code_of_user(user, row) as usize])
        };
        return Ok(context.user_indexes(rows).iter().map(truth_of).collect());
    }
    Ok(match Texts::new(&context.block, name, rows)? {
        Texts::Codes(codes) => codes
            .into_iter()
            .map(|code| if code == NULL_CODE { UNKNOWN } else { truth(passes[code as usize]) })
            .collect(),
        Texts::Plain(texts) => {
            texts.into_iter().map(|text| text.map_or(UNKNOWN, |text| truth(test.text(&text) != negated))).collect()
        }
    })
}

/// Replace `truths` by whether the value of each of `rows` lies in `range`: tested where it lies, without decoding. False
/// where the range is not one of the stored type.
fn test_range(
    column: &ColumnBlock<'_>,
    wanted: ColumnType,
    range: &ValueRange,
    rows: &[u32],
    truths: &mut Vec<Truth>,
) -> bool {
    match (column, range) {
        (ColumnBlock::Double(doubles), ValueRange::Double(range)) if wanted == ColumnType::Double => {
            doubles.test_rows(range, rows, truths);
        }
        (ColumnBlock::BigInt(integers), ValueRange::Integer(range)) if wanted == ColumnType::BigInt => {
            integers.test_rows(range, rows, truths);
        }
        (ColumnBlock::Timestamp(integers), ValueRange::Integer(range)) if wanted == ColumnType::Timestamp => {
            integers.test_rows(range, rows, truths);
        }
        _ => return false,
    }
    true
}

/// `node` as a test of single rows, where it is one that cannot fail and looks at one number: true, or not.
pub(crate) fn row_test<'a>(node: &Node, context: &BlockContext<'a>) -> Result<Option<RowTest<'a>>> {
    let Node::Scalar { name, wanted, test, negated: false } = node else { return Ok(None) };
    let Some(range) = test.range() else { return Ok(None) };
    Ok(match (context.block.column(name)?, range) {
        (ColumnBlock::Double(doubles), ValueRange::Double(range)) if *wanted == ColumnType::Double => {
            Some(doubles.into_test(&range))
        }
        (ColumnBlock::BigInt(integers), ValueRange::Integer(range)) if *wanted == ColumnType::BigInt => {
            Some(integers.into_test(&range))
        }
        (ColumnBlock::Timestamp(integers), ValueRange::Integer(range)) if *wanted == ColumnType::Timestamp => {
            Some(integers.into_test(&range))
        }
        _ => None,
    })
}

fn scalar(
    name: &str,
    wanted: ColumnType,
    test: &Test,
    negated: bool,
    context: &BlockContext<'_>,
    rows: &[u32],
) -> Result<Vec<Truth>> {
    if let Some(range) = test.range().filter(|_| !negated) {
        let mut truths = Vec::new();
        if test_range(&context.block.column(name)?, wanted, &range, rows, &mut truths) {
            return Ok(truths);
        }
    }
    let fetched = Fetched::new(&context.block, name, wanted, rows)?;
    let each = |valid: &[bool], passes: &dyn Fn(usize) -> bool| -> Vec<Truth> {
        let truth_at = |&row: &u32| {
            let at = fetched.index(row);
            if valid[at] { truth(passes(at) != negated) } else { UNKNOWN }
        };
        rows.iter().map(truth_at).collect()
    };
    Ok(match &fetched.column {
        Column::Boolean { values, valid } => each(valid, &|at| test.boolean(values[at])),
        Column::BigInt { values, valid } | Column::Timestamp { values, valid } => {
            each(valid, &|at| test.integer(values[at]))
        }
        Column::Double { values, valid } => each(valid, &|at| test.double(values[at])),
        Column::Text(texts) => rows
            .iter()
            .map(|&row| texts.get(fetched.index(row)).map_or(UNKNOWN, |text| truth(test.text(text) != negated)))
            .collect(),
    })
}

fn is_null(name: &str, negated: bool, context: &BlockContext<'_>, rows: &[u32]) -> Result<Vec<Truth>> {
    let stored = context.segment.schema().column(name).map(|column| column.column_type);
    if name == "event_id" || stored == Some(ColumnType::Text) {
        return Ok(match Texts::new(&context.block, name, rows)? {
            Texts::Codes(codes) => codes.into_iter().map(|code| truth((code == NULL_CODE) != negated)).collect(),
            Texts::Plain(texts) => texts.into_iter().map(|text| truth(text.is_none() != negated)).collect(),
        });
    }
    let fetched = Fetched::new(&context.block, name, stored.unwrap_or(ColumnType::Text), rows)?;
    let valid = match &fetched.column {
        Column::Boolean { valid, .. }
        | Column::BigInt { valid, .. }
        | Column::Double { valid, .. }
        | Column::Timestamp { valid, .. } => valid,
        Column::Text(_) => return Ok(vec![UNKNOWN; rows.len()]),
    };
    Ok(rows.iter().map(|&row| truth(valid[fetched.index(row)] == negated)).collect())
}

fn custom(predicate: &dyn RowPredicate, negated: bool, context: &BlockContext<'_>, rows: &[u32]) -> Result<Vec<Truth>> {
    let batch = batch_of(context, predicate.columns(), rows)?;
    let answer = predicate.evaluate(&batch)?;
    let truth_at = |row| match (answer.is_null(row), answer.is_valid(row) && answer.value(row) != negated) {
        (true, _) => UNKNOWN,
        (false, true) => TRUE,
        (false, false) => FALSE,
    };
    Ok((0..rows.len()).map(truth_at).collect())
}
