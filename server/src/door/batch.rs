//! Events as one batch of a table, in the order in which they came.

use super::columns::{Columns, Second};
use crate::http::delivery::{Rejection, SentEvent};
use std::borrow::Cow;
use trodden_query::arrow::array::{Int64Array, StringArray};
use trodden_query::engine::ingest::EventBatch;
use trodden_query::engine::types::{FIXED_COLUMNS, Schema};

fn is_fixed(name: &str) -> bool {
    FIXED_COLUMNS.iter().any(|fixed| fixed.eq_ignore_ascii_case(name))
}

/// The batch of those events that a table of `schema` has room for. `now_us`: the time of those without one.
pub(super) fn batch(
    events: &[&SentEvent<'_>],
    schema: &Schema,
    now_us: i64,
    rejected: &mut Vec<Rejection>,
) -> EventBatch {
    let mut columns = Columns::new(schema, is_fixed);
    let mut taken: Vec<&SentEvent<'_>> = Vec::with_capacity(events.len());
    for event in events {
        let cells = event.properties.iter().map(|(path, value)| (path.clone(), Some(value.clone())));
        match columns.push_row(taken.len(), cells, Second::Kept) {
            Ok(()) => taken.push(event),
            Err(reason) => rejected.push(Rejection::invalid(event.index, "properties", reason)),
        }
    }
    let rows = taken.len();
    let properties = columns.finish().filter_map(|column| Some((column.name.clone(), column.array(rows)?)));
    let texts = |text: for<'e, 'a> fn(&'e SentEvent<'a>) -> Option<&'e str>| -> StringArray {
        taken.iter().map(|event| text(event)).collect()
    };
    EventBatch {
        properties: properties.collect(),
        user_id: texts(|event| Some(event.user_id.as_ref())),
        ts: taken.iter().map(|event| Some(event.ts_us.unwrap_or(now_us))).collect::<Int64Array>(),
        event: texts(|event| Some(event.event.as_ref())),
        event_id: Some(texts(|event| event.event_id.as_deref())),
    }
}

/// Bytes of the names and values of an event.
pub(super) fn size(event: &SentEvent<'_>) -> usize {
    let text = |text: &Cow<'_, str>| text.len();
    let properties: usize = event.properties.iter().map(|(path, value)| path.len() + value.bytes()).sum();
    text(&event.user_id) + text(&event.event) + event.event_id.as_ref().map_or(0, text) + properties
}
