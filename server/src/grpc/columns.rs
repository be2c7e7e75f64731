//! From events of the wire, one by one, to the columns that the engine takes.

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trodden_proto::v1::{Event, EventBatch as WireBatch, Value, value::Kind};
use trodden_query::engine::EventBatch;
use trodden_query::engine::segment::{double_text, timestamp_text};
use trodden_query::engine::types::EXACT_DOUBLE_MAX;

/// The columns of `batch`. Values of one property whose types differ are widened as the engine widens a column: whole
/// numbers to DOUBLE where that is exact, everything else to TEXT.
pub(super) fn columns(batch: &WireBatch) -> EventBatch {
    let events = &batch.events;
    let names: BTreeSet<&str> = events.iter().flat_map(|event| event.properties.keys().map(String::as_str)).collect();
    let has_ids = events.iter().any(|event| event.event_id.is_some());
    let ids = || events.iter().map(|event| event.event_id.as_deref()).collect::<StringArray>();
    let mut values: BTreeMap<&str, Vec<Option<&Kind>>> =
        names.into_iter().map(|name| (name, vec![None; events.len()])).collect();
    for (row, event) in events.iter().enumerate() {
        for (name, value) in &event.properties {
            if let Some(column) = values.get_mut(name.as_str()) {
                column[row] = value.kind.as_ref();
            }
        }
    }
    EventBatch {
        user_id: texts(events, |event| &event.user_id),
        ts: events.iter().map(|event| event.ts_us).collect::<Vec<_>>().into(),
        event: texts(events, |event| &event.event),
        event_id: has_ids.then(ids),
        properties: values.into_iter().map(|(name, values)| (name.to_owned(), column(&values))).collect(),
    }
}

fn texts(events: &[Event], text: impl Fn(&Event) -> &String) -> StringArray {
    events.iter().map(|event| Some(text(event))).collect()
}

/// The values of a property as the narrowest type that holds them all.
fn column(values: &[Option<&Kind>]) -> ArrayRef {
    let all = |fits: fn(&Kind) -> bool| values.iter().flatten().all(|kind| fits(kind));
    if values.iter().all(Option::is_none) {
        return Arc::new(arrow_array::NullArray::new(values.len()));
    }
    if all(|kind| matches!(kind, Kind::Boolean(_))) {
        let pick = |kind: &&Kind| if let Kind::Boolean(value) = kind { Some(*value) } else { None };
        return Arc::new(values.iter().map(|kind| kind.as_ref().and_then(pick)).collect::<BooleanArray>());
    }
    if all(|kind| matches!(kind, Kind::Bigint(_))) {
        let pick = |kind: &&Kind| if let Kind::Bigint(value) = kind { Some(*value) } else { None };
        return Arc::new(values.iter().map(|kind| kind.as_ref().and_then(pick)).collect::<Int64Array>());
    }
    if all(|kind| matches!(kind, Kind::TimestampUs(_))) {
        let pick = |kind: &&Kind| if let Kind::TimestampUs(value) = kind { Some(*value) } else { None };
        let times = values.iter().map(|kind| kind.as_ref().and_then(pick));
        return Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"));
    }
    if all(|kind| as_double(kind).is_some()) {
        return Arc::new(values.iter().map(|kind| kind.and_then(as_double)).collect::<Float64Array>());
    }
    Arc::new(values.iter().map(|kind| kind.map(as_text)).collect::<StringArray>())
}

fn as_double(kind: &Kind) -> Option<f64> {
    match kind {
        Kind::Double(value) => Some(*value),
        Kind::Bigint(value) if value.unsigned_abs() <= EXACT_DOUBLE_MAX.unsigned_abs() => Some(*value as f64),
        _ => None,
    }
}

/// A value as the engine writes it where a column became TEXT.
fn as_text(kind: &Kind) -> String {
    match kind {
        Kind::Boolean(value) => value.to_string(),
        Kind::Bigint(value) => value.to_string(),
        Kind::Double(value) => double_text(*value),
        Kind::Text(value) => value.clone(),
        Kind::TimestampUs(value) => timestamp_text(*value),
    }
}

/// A value of the wire as a value of a statement.
pub(super) fn scalar(value: &Value) -> trodden_query::ScalarValue {
    use trodden_query::ScalarValue;
    match &value.kind {
        None => ScalarValue::Null,
        Some(Kind::Boolean(value)) => ScalarValue::Boolean(Some(*value)),
        Some(Kind::Bigint(value)) => ScalarValue::Int64(Some(*value)),
        Some(Kind::Double(value)) => ScalarValue::Float64(Some(*value)),
        Some(Kind::Text(value)) => ScalarValue::Utf8(Some(value.clone())),
        Some(Kind::TimestampUs(value)) => ScalarValue::TimestampMicrosecond(Some(*value), Some("UTC".into())),
    }
}
