//! What the optimizer may know of a snapshot without reading it.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::scalar::ScalarValue;
use trodden_engine::segment::Segment;
use trodden_engine::table::{LiveSegment, Snapshot};
use trodden_engine::types::Value;

/// Statistics of all rows of `snapshot`, for the columns of `schema`. Counts are exact unless users were deleted or
/// rows are hidden by the retention.
pub(crate) fn of_snapshot(snapshot: &Snapshot, schema: &SchemaRef) -> Statistics {
    let live: Vec<&LiveSegment> = snapshot.shards.iter().flat_map(|shard| &shard.segments).collect();
    let rows: u64 = live.iter().map(|live| live.segment.meta().rows).sum();
    let whole = live.iter().all(|live| {
        let meta = live.segment.meta();
        live.hidden.is_empty() && (meta.rows == 0 || meta.ts_min >= snapshot.hidden_before_us)
    });
    let users: u64 = snapshot.shards.iter().map(|shard| u64::from(shard.next_ordinal)).sum();
    let columns = schema.fields().iter().map(|field| match field.name().as_str() {
        "user_id" => ColumnStatistics {
            null_count: Precision::Exact(0),
            distinct_count: Precision::Inexact(count(users)),
            ..ColumnStatistics::new_unknown()
        },
        "ts" => times(&live, whole),
        "event" => ColumnStatistics { null_count: Precision::Exact(0), ..ColumnStatistics::new_unknown() },
        name => property(&live, name, whole),
    });
    let column_statistics = columns.collect();
    let bytes: u64 = live.iter().map(|live| live.segment.meta().bytes).sum();
    Statistics {
        num_rows: precision(count(rows), whole),
        total_byte_size: Precision::Inexact(count(bytes)),
        column_statistics,
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn precision<T: std::fmt::Debug + Clone + PartialEq + Eq + PartialOrd>(value: T, exact: bool) -> Precision<T> {
    if exact { Precision::Exact(value) } else { Precision::Inexact(value) }
}

fn times(live: &[&LiveSegment], whole: bool) -> ColumnStatistics {
    let filled = || live.iter().map(|live| live.segment.meta()).filter(|meta| meta.rows > 0);
    let at = |us: Option<i64>| match us {
        Some(us) => precision(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())), whole),
        None => Precision::Absent,
    };
    ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: at(filled().map(|meta| meta.ts_min).min()),
        max_value: at(filled().map(|meta| meta.ts_max).max()),
        ..ColumnStatistics::new_unknown()
    }
}

fn property(live: &[&LiveSegment], name: &str, whole: bool) -> ColumnStatistics {
    let mut nulls = 0u64;
    let mut range: Option<(ScalarValue, ScalarValue)> = None;
    for segment in live.iter().map(|live| &live.segment).filter(|segment| segment.meta().rows > 0) {
        let Some((null_count, of_segment)) = segment_range(segment, name) else {
            return ColumnStatistics::new_unknown();
        };
        nulls += null_count;
        let Some((low, high)) = of_segment else { continue };
        range = match range.take() {
            None => Some((low, high)),
            Some((least, most)) => Some((smaller(least, low), larger(most, high))),
        };
    }
    let mut statistics =
        ColumnStatistics { null_count: precision(count(nulls), whole), ..ColumnStatistics::new_unknown() };
    if let Some((low, high)) = range {
        // Only bounds are promised: floats hold NaN, which an aggregate may see otherwise than the index.
        statistics.min_value = Precision::Inexact(low);
        statistics.max_value = Precision::Inexact(high);
    }
    statistics
}

/// NULLs and, if there is any value, the smallest and the largest one. `None`: not known.
fn segment_range(segment: &Segment, name: &str) -> Option<(u64, Option<(ScalarValue, ScalarValue)>)> {
    // Only properties are in the schema of a segment, but `event_id` is stored beside them.
    if name != "event_id" && segment.schema().column(name).is_none() {
        return Some((segment.meta().rows, None));
    }
    let stats = segment.column_stats(name)?;
    if stats.null_count == segment.meta().rows {
        return Some((stats.null_count, None));
    }
    let (low, high) = stats.range.as_ref()?;
    Some((stats.null_count, Some((scalar(low)?, scalar(high)?))))
}

fn scalar(value: &Value) -> Option<ScalarValue> {
    Some(match value {
        Value::Boolean(v) => ScalarValue::Boolean(Some(*v)),
        Value::BigInt(v) => ScalarValue::Int64(Some(*v)),
        Value::Double(v) => ScalarValue::Float64(Some(*v)),
        Value::Timestamp(v) => ScalarValue::TimestampMicrosecond(Some(*v), Some("UTC".into())),
        Value::Text(_) | Value::Null => return None,
    })
}

fn smaller(a: ScalarValue, b: ScalarValue) -> ScalarValue {
    if b.partial_cmp(&a) == Some(std::cmp::Ordering::Less) { b } else { a }
}

fn larger(a: ScalarValue, b: ScalarValue) -> ScalarValue {
    if b.partial_cmp(&a) == Some(std::cmp::Ordering::Greater) { b } else { a }
}
