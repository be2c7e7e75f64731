//! Batches of events straight from their bytes to columns, without an object for each event and each value.
//!
//! What clients send is read by [`read`]: each property has values of one type, and each event has a property once. Anything
//! else, damaged bytes included, is left to prost and [`columns`], which know all of what protobuf allows.

use super::columns::columns;
use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, NullArray};
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;
use trodden_proto::v1::EventBatch as WireBatch;
use trodden_query::engine::EventBatch;

/// Where a batch is to go, and how many events it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) table: String,
    pub(super) events: usize,
}

/// The outline of a batch, without reading its events.
///
/// # Errors
/// The bytes are no batch.
pub(super) fn outline(bytes: &[u8]) -> Result<Outline, prost::DecodeError> {
    let quick = || {
        let (mut reader, mut outline) = (Reader(bytes), Outline { table: String::new(), events: 0 });
        while let Some((field, value)) = reader.field()? {
            match (field, value) {
                (1, Field::Bytes(table)) => outline.table = text(table)?.to_owned(),
                (2, Field::Bytes(_)) => outline.events += 1,
                _ => return None,
            }
        }
        Some(outline)
    };
    match quick() {
        Some(outline) => Ok(outline),
        None => WireBatch::decode(bytes).map(|batch| Outline { table: batch.table, events: batch.events.len() }),
    }
}

/// The columns of the batch of these bytes.
///
/// # Errors
/// The bytes are no batch.
pub fn decode(bytes: &[u8]) -> Result<EventBatch, prost::DecodeError> {
    match read(bytes) {
        Some(batch) => Ok(batch),
        None => WireBatch::decode(bytes).map(|batch| columns(&batch)),
    }
}

/// The columns of a batch as clients send it; `None` for any other.
fn read(bytes: &[u8]) -> Option<EventBatch> {
    let (mut reader, mut rows) = (Reader(bytes), Rows::default());
    while let Some((field, value)) = reader.field()? {
        match (field, value) {
            (1, Field::Bytes(table)) => drop(text(table)?),
            (2, Field::Bytes(event)) => rows.event(event)?,
            _ => return None,
        }
    }
    Some(rows.finish())
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// What stands behind a number of a field.
enum Field<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
}

/// Bytes of a protobuf message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next field: `Some(None)` at the end, `None` for what is damaged or of a kind that no field here has.
    #[allow(clippy::option_option, reason = "the end is no damage")]
    fn field(&mut self) -> Option<Option<(u64, Field<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                let (value, rest) = self.0.split_first_chunk::<8>()?;
                self.0 = rest;
                Field::Fixed64(*value)
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (value, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Field::Bytes(value)
            }
            _ => return None,
        };
        Some(Some((key >> 3, value)))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for (at, &byte) in self.0.iter().enumerate().take(10) {
            // Bits that a number of 64 bits has no room for: prost knows what to say.
            if at == 9 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Some(value);
            }
        }
        None
    }
}

/// The events that were read.
#[derive(Default)]
struct Rows {
    users: StringBuilder,
    times: Vec<i64>,
    events: StringBuilder,
    ids: Option<StringBuilder>,
    columns: Vec<Column>,
    by_name: HashMap<String, usize>,
}

/// A property: values of the events up to the last one that has it.
struct Column {
    name: String,
    values: Values,
    /// Events that it has a value or NULL for.
    rows: usize,
}

enum Values {
    /// No value yet.
    Null,
    Boolean(BooleanBuilder),
    BigInt(Int64Builder),
    Double(Float64Builder),
    Text(StringBuilder),
    Timestamp(TimestampMicrosecondBuilder),
}

enum Value<'a> {
    Null,
    Boolean(bool),
    BigInt(i64),
    Double(f64),
    Text(&'a str),
    Timestamp(i64),
}

impl Rows {
    fn event(&mut self, bytes: &[u8]) -> Option<()> {
        let (mut reader, mut next) = (Reader(bytes), 0);
        let (mut user, mut ts, mut name, mut id) = ("", 0, "", None);
        while let Some((field, value)) = reader.field()? {
            match (field, value) {
                (1, Field::Bytes(value)) => user = text(value)?,
                (2, Field::Fixed64(value)) => ts = i64::from_le_bytes(value),
                (3, Field::Bytes(value)) => name = text(value)?,
                (4, Field::Bytes(value)) => id = Some(text(value)?),
                (5, Field::Bytes(entry)) => next = self.property(entry, next)? + 1,
                _ => return None,
            }
        }
        let row = self.times.len();
        self.users.append_value(user);
        self.times.push(ts);
        self.events.append_value(name);
        match (&mut self.ids, id) {
            (Some(ids), id) => ids.append_option(id),
            (None, None) => {}
            (None, Some(id)) => {
                let mut ids = StringBuilder::new();
                ids.append_nulls(row);
                ids.append_value(id);
                self.ids = Some(ids);
            }
        }
        Some(())
    }

    /// Take a property of the event that is being read. `guess`: its column, if events have their properties in one order.
    fn property(&mut self, entry: &[u8], guess: usize) -> Option<usize> {
        let (mut reader, mut name, mut value) = (Reader(entry), "", Value::Null);
        while let Some((field, found)) = reader.field()? {
            match (field, found) {
                (1, Field::Bytes(found)) => name = text(found)?,
                (2, Field::Bytes(found)) => value = Value::read(found)?,
                _ => return None,
            }
        }
        let index = match self.columns.get(guess) {
            Some(column) if column.name == name => guess,
            _ => self.column(name),
        };
        self.columns[index].push(value, self.times.len())?;
        Some(index)
    }

    fn column(&mut self, name: &str) -> usize {
        if let Some(&index) = self.by_name.get(name) {
            return index;
        }
        let index = self.columns.len();
        self.by_name.insert(name.to_owned(), index);
        self.columns.push(Column { name: name.to_owned(), values: Values::Null, rows: 0 });
        index
    }

    fn finish(mut self) -> EventBatch {
        let rows = self.times.len();
        self.columns.sort_by(|one, other| one.name.cmp(&other.name));
        EventBatch {
            user_id: self.users.finish(),
            ts: self.times.into(),
            event: self.events.finish(),
            event_id: self.ids.map(|mut ids| ids.finish()),
            properties: self.columns.into_iter().map(|column| column.finish(rows)).collect(),
        }
    }
}

impl<'a> Value<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (mut reader, mut value) = (Reader(bytes), Self::Null);
        while let Some((field, found)) = reader.field()? {
            value = match (field, found) {
                (1, Field::Varint(found)) => Self::Boolean(found != 0),
                // Zigzag: the sign is the lowest bit.
                (2, Field::Varint(found)) => Self::BigInt((found >> 1) as i64 ^ -((found & 1) as i64)),
                (3, Field::Fixed64(found)) => Self::Double(f64::from_le_bytes(found)),
                (4, Field::Bytes(found)) => Self::Text(text(found)?),
                (5, Field::Fixed64(found)) => Self::Timestamp(i64::from_le_bytes(found)),
                _ => return None,
            };
        }
        Some(value)
    }
}

impl Column {
    /// Take the value of event `row`. `None` where it has one already, or the others are of another type.
    fn push(&mut self, value: Value<'_>, row: usize) -> Option<()> {
        if self.rows > row {
            return None;
        }
        let value = match (value, &self.values) {
            (Value::Null, _) => {
                self.pad(row + 1);
                return Some(());
            }
            (value, Values::Null) => {
                self.values = Values::of(&value);
                self.rows = 0;
                value
            }
            (value, _) => value,
        };
        self.pad(row);
        match (&mut self.values, value) {
            (Values::Boolean(values), Value::Boolean(value)) => values.append_value(value),
            (Values::BigInt(values), Value::BigInt(value)) => values.append_value(value),
            (Values::Double(values), Value::Double(value)) => values.append_value(value),
            (Values::Text(values), Value::Text(value)) => values.append_value(value),
            (Values::Timestamp(values), Value::Timestamp(value)) => values.append_value(value),
            _ => return None,
        }
        self.rows = row + 1;
        Some(())
    }

    /// Add NULLs until there are `rows`.
    fn pad(&mut self, rows: usize) {
        let missing = rows - self.rows;
        match &mut self.values {
            Values::Null => {}
            Values::Boolean(values) => values.append_nulls(missing),
            Values::BigInt(values) => values.append_nulls(missing),
            Values::Double(values) => values.append_nulls(missing),
            Values::Text(values) => values.append_nulls(missing),
            Values::Timestamp(values) => values.append_nulls(missing),
        }
        self.rows = rows;
    }

    fn finish(mut self, rows: usize) -> (String, ArrayRef) {
        self.pad(rows);
        let array: ArrayRef = match self.values {
            Values::Null => Arc::new(NullArray::new(rows)),
            Values::Boolean(mut values) => Arc::new(values.finish()),
            Values::BigInt(mut values) => Arc::new(values.finish()),
            Values::Double(mut values) => Arc::new(values.finish()),
            Values::Text(mut values) => Arc::new(values.finish()),
            Values::Timestamp(mut values) => Arc::new(values.finish().with_timezone("UTC")),
        };
        (self.name, array)
    }
}

impl Values {
    fn of(value: &Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(_) => Self::Boolean(BooleanBuilder::new()),
            Value::BigInt(_) => Self::BigInt(Int64Builder::new()),
            Value::Double(_) => Self::Double(Float64Builder::new()),
            Value::Text(_) => Self::Text(StringBuilder::new()),
            Value::Timestamp(_) => Self::Timestamp(TimestampMicrosecondBuilder::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use trodden_proto::v1::{Event, Value as WireValue, value::Kind};

    fn value(any_type: bool, name: u8) -> BoxedStrategy<WireValue> {
        let of = |kind: u8| match kind % 5 {
            0 => any::<bool>().prop_map(Kind::Boolean).boxed(),
            1 => any::<i64>().prop_map(Kind::Bigint).boxed(),
            2 => any::<f64>().prop_map(Kind::Double).boxed(),
            3 => "[a-zä]{0,5}".prop_map(Kind::Text).boxed(),
            _ => any::<i64>().prop_map(Kind::TimestampUs).boxed(),
        };
        let kind = if any_type { (0..5_u8).prop_flat_map(of).boxed() } else { of(name) };
        proptest::option::weighted(0.9, kind).prop_map(|kind| WireValue { kind }).boxed()
    }

    fn event(any_type: bool) -> impl Strategy<Value = Event> {
        let properties = proptest::collection::btree_set(0..8_u8, 0..6).prop_flat_map(move |names| {
            let values = names.into_iter().map(|name| value(any_type, name).prop_map(move |value| (name, value)));
            values.collect::<Vec<_>>()
        });
        let ids = proptest::option::weighted(0.3, "[a-z]{1,3}");
        ("[a-cü]{0,3}", any::<i64>(), "[a-c]{0,3}", ids, properties).prop_map(
            |(user_id, ts_us, event, event_id, properties)| {
                let properties = properties.into_iter().map(|(name, value)| (format!("p{name}"), value));
                Event { user_id, ts_us, event, event_id, properties: properties.collect::<BTreeMap<_, _>>() }
            },
        )
    }

    fn batch(any_type: bool) -> impl Strategy<Value = WireBatch> {
        proptest::collection::vec(event(any_type), 0..20).prop_map(|events| WireBatch { table: "t".into(), events })
    }

    /// Compared as text: NaN is NaN.
    fn words(batch: &EventBatch) -> String {
        format!("{batch:?}")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_clients_send_is_read_as_prost_reads_it(batch in batch(false)) {
            let bytes = batch.encode_to_vec();
            let read = read(&bytes).expect("it is as clients send it");
            prop_assert_eq!(words(&read), words(&columns(&batch)));
            let expected = Outline { table: "t".into(), events: batch.events.len() };
            prop_assert_eq!(outline(&bytes).unwrap(), expected);
        }

        #[test]
        fn values_of_several_types_are_widened(batch in batch(true)) {
            prop_assert_eq!(words(&decode(&batch.encode_to_vec()).unwrap()), words(&columns(&batch)));
        }

        #[test]
        fn damaged_bytes_are_read_as_prost_reads_them(
            batch in batch(false),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            end in any::<prop::sample::Index>(),
            is_cut in any::<bool>(),
        ) {
            let mut bytes = batch.encode_to_vec();
            for (at, byte) in changes {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            if is_cut {
                bytes.truncate(end.index(bytes.len() + 1));
            }
            match (WireBatch::decode(bytes.as_slice()), decode(&bytes)) {
                (Ok(expected), Ok(found)) => {
                    prop_assert_eq!(words(&found), words(&columns(&expected)));
                    prop_assert_eq!(outline(&bytes).unwrap().events, expected.events.len());
                }
                (expected, found) => prop_assert_eq!(expected.is_err(), found.is_err()),
            }
        }
    }
}
