//! A plain model of a table, and the same view of a real one.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use trodden_engine::segment::widen;
use trodden_engine::types::{ColumnType, Value};
use trodden_engine::{EventBatch, Snapshot, Table};

/// One event as a test writes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) user: String,
    pub(crate) ts: i64,
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) properties: Vec<(String, Value)>,
}

/// The events of each user in total order, as text; what `ts` says, what happened, its id, its properties.
pub(crate) type View = BTreeMap<String, Vec<(i64, String, Option<String>, BTreeMap<String, String>)>>;

/// Events as Arrow arrays.
pub(crate) fn batch(events: &[Event]) -> EventBatch {
    let mut names: Vec<(String, ColumnType)> = Vec::new();
    for (name, value) in events.iter().flat_map(|event| &event.properties) {
        if !names.iter().any(|(known, _)| known == name) {
            names.push((name.clone(), type_of(value)));
        }
    }
    let property = |event: &Event, name: &str| {
        event.properties.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    };
    let column = |(name, column_type): &(String, ColumnType)| -> (String, ArrayRef) {
        let values = events.iter().map(|event| property(event, name));
        let array: ArrayRef = match column_type {
            ColumnType::BigInt => Arc::new(Int64Array::from_iter(values.map(|value| match value {
                Some(Value::BigInt(value)) => Some(value),
                _ => None,
            }))),
            ColumnType::Double => Arc::new(Float64Array::from_iter(values.map(|value| match value {
                Some(Value::Double(value)) => Some(value),
                _ => None,
            }))),
            ColumnType::Boolean => Arc::new(BooleanArray::from_iter(values.map(|value| match value {
                Some(Value::Boolean(value)) => Some(value),
                _ => None,
            }))),
            _ => Arc::new(StringArray::from_iter(values.map(|value| match value {
                Some(Value::Text(value)) => Some(value),
                _ => None,
            }))),
        };
        (name.clone(), array)
    };
    EventBatch {
        user_id: StringArray::from_iter_values(events.iter().map(|event| &event.user)),
        ts: Int64Array::from_iter_values(events.iter().map(|event| event.ts)),
        event: StringArray::from_iter_values(events.iter().map(|event| &event.name)),
        event_id: Some(StringArray::from_iter(events.iter().map(|event| event.id.as_ref()))),
        properties: names.iter().map(column).collect(),
    }
}

fn type_of(value: &Value) -> ColumnType {
    match value {
        Value::BigInt(_) => ColumnType::BigInt,
        Value::Double(_) => ColumnType::Double,
        Value::Boolean(_) => ColumnType::Boolean,
        Value::Timestamp(_) => ColumnType::Timestamp,
        Value::Text(_) | Value::Null => ColumnType::Text,
    }
}

/// A table as a list of events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    /// In order of arrival.
    pub(crate) events: Vec<Event>,
    pub(crate) columns: Vec<(String, ColumnType)>,
    pub(crate) hidden_before: Option<i64>,
    pub(crate) window_us: i64,
}

impl Model {
    /// Add events as `append` should; how many were new.
    pub(crate) fn append(&mut self, events: &[Event]) -> u64 {
        let mut columns = self.columns.clone();
        for (name, value) in events.iter().flat_map(|event| &event.properties) {
            match columns.iter_mut().find(|(known, _)| known == name) {
                Some((_, held)) => *held = held.widen(type_of(value), true),
                None => columns.push((name.clone(), type_of(value))),
            }
        }
        let before = self.events.len();
        for event in events {
            let near = |other: &Event| {
                other.user == event.user && other.id == event.id && other.ts.abs_diff(event.ts) <= self.window_us as u64
            };
            if event.id.is_none() || !self.events.iter().any(near) {
                self.events.push(event.clone());
            }
        }
        let new = self.events.len() - before;
        if new > 0 {
            self.columns = columns;
        }
        new as u64
    }

    /// Whether there was such a user.
    pub(crate) fn delete(&mut self, user: &str) -> bool {
        let before = self.events.len();
        self.events.retain(|event| event.user != user);
        self.events.len() < before
    }

    pub(crate) fn view(&self) -> View {
        let mut view = View::new();
        for event in self.events.iter().filter(|event| self.hidden_before.is_none_or(|hidden| event.ts >= hidden)) {
            let text = |(name, value): &(String, Value)| {
                let column_type = self.columns.iter().find(|(known, _)| known == name)?.1;
                Some((name.clone(), format!("{:?}", widened(value, column_type))))
            };
            let properties = event.properties.iter().filter_map(text).collect();
            let row = (event.ts, event.name.clone(), event.id.clone(), properties);
            view.entry(event.user.clone()).or_default().push(row);
        }
        // Stable: events of one time keep their order of arrival.
        view.values_mut().for_each(|rows| rows.sort_by_key(|row| row.0));
        view
    }
}

fn widened(value: &Value, to: ColumnType) -> Value {
    match (value, to) {
        (Value::BigInt(value), ColumnType::Double) => Value::Double(*value as f64),
        (Value::BigInt(value), ColumnType::Text) => Value::Text(value.to_string()),
        (Value::Double(value), ColumnType::Text) => Value::Text(value.to_string()),
        (Value::Boolean(value), ColumnType::Text) => Value::Text(value.to_string()),
        _ => value.clone(),
    }
}

/// Everything that a snapshot shows.
pub(crate) fn view(snapshot: &Snapshot) -> trodden_engine::error::Result<View> {
    let mut view = View::new();
    for shard in &snapshot.shards {
        let mut users: BTreeMap<u32, Vec<_>> = BTreeMap::new();
        for live in &shard.segments {
            for index in 0..live.segment.blocks().len() {
                let block = live.segment.block(index);
                let mut rows = block.read(0..block.rows())?;
                for (name, column) in &mut rows.properties {
                    let wanted = snapshot.schema.column(name).expect("a column of the schema").column_type;
                    *column = widen(column.clone(), wanted)?;
                }
                for row in 0..rows.len() {
                    let (ordinal, ts) = (rows.ordinals[row], rows.ts[row]);
                    if live.hidden.contains(ordinal) || ts < snapshot.hidden_before_us {
                        continue;
                    }
                    let present = rows.properties.iter().map(|(name, column)| (name, column.get(row)));
                    let properties = present.filter(|(_, value)| *value != Value::Null);
                    users.entry(ordinal).or_default().push((
                        ts,
                        rows.event.get(row).expect("an event has a name").to_string(),
                        rows.event_id.get(row).map(String::from),
                        properties.map(|(name, value)| (name.clone(), format!("{value:?}"))).collect(),
                    ));
                }
            }
        }
        for (ordinal, mut rows) in users {
            rows.sort_by_key(|row| row.0);
            let id = shard.user_id(ordinal)?.unwrap_or_else(|| panic!("rows of user {ordinal} without an id"));
            assert_eq!(snapshot.ordinal_of(&id)?.map(|(_, ordinal)| ordinal), Some(ordinal), "{id}");
            assert!(view.insert(id, rows).is_none(), "a user has two ordinals");
        }
    }
    Ok(view)
}

/// The types of the columns and all events, as one number.
pub(crate) fn digest(columns: &[(String, ColumnType)], view: &View) -> u64 {
    let mut hasher = DefaultHasher::new();
    (columns, view).hash(&mut hasher);
    hasher.finish()
}

/// The digest of a table.
pub(crate) fn digest_of(table: &Table) -> trodden_engine::error::Result<u64> {
    let snapshot = table.snapshot();
    let columns: Vec<_> = snapshot.schema.columns.iter().map(|c| (c.name.clone(), c.column_type)).collect();
    Ok(digest(&columns, &view(&snapshot)?))
}
