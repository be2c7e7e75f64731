//! What the optimizer may know of a snapshot without reading it.

use datafusion::arrow::datatypes::{DataType, SchemaRef};
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
        name => property(&live, name, field.data_type(), whole),
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

fn property(live: &[&LiveSegment], name: &str, data_type: &DataType, whole: bool) -> ColumnStatistics {
    let mut nulls = 0u64;
    let mut range: Option<(ScalarValue, ScalarValue)> = None;
    for segment in live.iter().map(|live| &live.segment).filter(|segment| segment.meta().rows > 0) {
        let Some((null_count, of_segment)) = segment_range(segment, name, data_type) else {
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

/// NULLs and, if there is any value, the smallest and the largest one, of the type that the table has by now; a segment
/// may hold a narrower one. `None`: not known.
fn segment_range(
    segment: &Segment,
    name: &str,
    data_type: &DataType,
) -> Option<(u64, Option<(ScalarValue, ScalarValue)>)> {
    // Only properties are in the schema of a segment, but `event_id` is stored beside them.
    if name != "event_id" && segment.schema().column(name).is_none() {
        return Some((segment.meta().rows, None));
    }
    let stats = segment.column_stats(name)?;
    if stats.null_count == segment.meta().rows {
        return Some((stats.null_count, None));
    }
    let (low, high) = stats.range.as_ref()?;
    Some((stats.null_count, Some((scalar(low, data_type)?, scalar(high, data_type)?))))
}

/// A bound in the type `data_type`. `None` where values order otherwise in that type than in their own, as numbers do as
/// text.
fn scalar(value: &Value, data_type: &DataType) -> Option<ScalarValue> {
    let own = match value {
        Value::Boolean(v) => ScalarValue::Boolean(Some(*v)),
        Value::BigInt(v) => ScalarValue::Int64(Some(*v)),
        Value::Double(v) => ScalarValue::Float64(Some(*v)),
        Value::Timestamp(v) => ScalarValue::TimestampMicrosecond(Some(*v), Some("UTC".into())),
        Value::Text(_) | Value::Null => return None,
    };
    match (own.data_type(), data_type) {
        (own_type, wanted) if own_type == *wanted => Some(own),
        (DataType::Int64, DataType::Float64) => own.cast_to(data_type).ok(),
        _ => None,
    }
}

fn smaller(a: ScalarValue, b: ScalarValue) -> ScalarValue {
    if b.partial_cmp(&a) == Some(std::cmp::Ordering::Less) { b } else { a }
}

fn larger(a: ScalarValue, b: ScalarValue) -> ScalarValue {
    if b.partial_cmp(&a) == Some(std::cmp::Ordering::Greater) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::schema::table_schema;
    use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use std::sync::Arc;
    use trodden_engine::storage::MemoryStore;
    use trodden_engine::{Engine, EngineOptions, EventBatch};

    fn batch(columns: Vec<(&str, ArrayRef)>) -> EventBatch {
        let rows = columns[0].1.len();
        EventBatch {
            user_id: StringArray::from_iter_values((0..rows).map(|row| format!("user {row}"))),
            ts: Int64Array::from(vec![1; rows]),
            event: StringArray::from(vec!["x"; rows]),
            event_id: None,
            properties: columns.into_iter().map(|(name, array)| (name.to_string(), array)).collect(),
        }
    }

    #[test]
    fn bounds_have_the_type_that_the_column_has_by_now() {
        let engine = Engine::open_store(Arc::new(MemoryStore::new()), EngineOptions::default()).unwrap();
        let table = engine.create_table("t", Default::default(), Default::default()).unwrap();
        let integers = |values: [i64; 2]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        // The second one holds an integer that no DOUBLE does, so that it becomes TEXT.
        let narrow =
            vec![("wide", integers([1, 7])), ("text", integers([10, (1 << 53) + 1])), ("same", integers([3, 4]))];
        table.append(batch(narrow)).unwrap();
        table.flush().unwrap();
        let doubles = || Arc::new(Float64Array::from(vec![1.5, 0.5])) as ArrayRef;
        table.append(batch(vec![("wide", doubles()), ("text", doubles())])).unwrap();
        let schema = table_schema(&table.schema());
        let statistics = of_snapshot(&table.snapshot(), &schema);
        for (field, column) in schema.fields().iter().zip(&statistics.column_statistics) {
            for bound in [&column.min_value, &column.max_value].into_iter().filter_map(Precision::get_value) {
                assert_eq!(bound.data_type(), *field.data_type(), "{}", field.name());
            }
        }
        let bounds = |name: &str| {
            let column = &statistics.column_statistics[schema.index_of(name).unwrap()];
            (column.min_value.get_value().cloned(), column.max_value.get_value().cloned())
        };
        let double = |value| Some(ScalarValue::Float64(Some(value)));
        assert_eq!(bounds("wide"), (double(0.5), double(7.0)));
        assert_eq!(bounds("text"), (None, None));
        assert_eq!(bounds("same"), (Some(ScalarValue::Int64(Some(3))), Some(ScalarValue::Int64(Some(4)))));
    }
}
