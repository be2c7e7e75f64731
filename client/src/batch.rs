//! A batch of checked events, and its bytes.

use crate::error::{Error, Field};
use crate::event::Event;
use crate::limits::{Limits, TS_MAX_US, TS_MIN_US};
use prost::Message;
use trodden_proto::v1 as wire;

/// Names of the columns that every event table has; no property can be called so.
const FIXED_COLUMNS: [&str; 4] = ["user_id", "ts", "event", "event_id"];

/// Collects events of one table into a batch that obeys the limits.
#[derive(Debug, Clone)]
pub struct EventBatchBuilder {
    limits: Limits,
    batch: wire::EventBatch,
    bytes: usize,
}

impl EventBatchBuilder {
    /// An empty batch for `table`, with the default limits.
    ///
    /// # Errors
    /// If the name is empty or too long.
    pub fn new(table: impl Into<String>) -> Result<Self, Error> {
        Self::with_limits(table, Limits::default())
    }

    /// An empty batch for `table`.
    ///
    /// # Errors
    /// If the name is empty or too long.
    pub fn with_limits(table: impl Into<String>, limits: Limits) -> Result<Self, Error> {
        let batch = wire::EventBatch { table: table.into(), events: Vec::new() };
        check_name(Field::Table, &batch.table, &limits)?;
        let bytes = batch.encoded_len();
        Ok(Self { limits, batch, bytes })
    }

    /// Adds an event at the end.
    ///
    /// # Errors
    /// [`Error::Full`] if the batch must be sent first; any other error if the event can never be stored. The batch is
    /// as before in both cases.
    pub fn push(&mut self, event: Event) -> Result<(), Error> {
        let event = wire::Event::from(event);
        check_event(&event, &self.limits)?;
        let bytes = encoded_bytes(&event);
        if bytes > self.limits.batch_bytes_max {
            return Err(Error::EventTooLarge { bytes, bytes_max: self.limits.batch_bytes_max });
        }
        if self.len() >= self.limits.events_max || self.bytes + bytes > self.limits.batch_bytes_max {
            return Err(Error::Full { events: self.len(), bytes: self.bytes });
        }
        self.bytes += bytes;
        self.batch.events.push(event);
        Ok(())
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.batch.events.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.batch.events.is_empty()
    }

    /// Size of the batch when encoded, in bytes.
    pub fn encoded_len(&self) -> usize {
        self.bytes
    }

    /// The batch as the wire type.
    pub fn build(self) -> wire::EventBatch {
        self.batch
    }

    /// The batch as bytes. The same events give the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.batch.encode_to_vec()
    }
}

/// Reads a batch from bytes and checks it as strictly as it was checked when it was built, with the default limits.
///
/// # Errors
/// [`Error::Malformed`] if the bytes are no batch, else what is wrong with which event. Never panics.
pub fn decode(bytes: &[u8]) -> Result<wire::EventBatch, Error> {
    let limits = Limits::default();
    let batch = wire::EventBatch::decode(bytes).map_err(|error| Error::Malformed(error.to_string()))?;
    check_name(Field::Table, &batch.table, &limits)?;
    if batch.events.len() > limits.events_max || bytes.len() > limits.batch_bytes_max {
        return Err(Error::Full { events: batch.events.len(), bytes: bytes.len() });
    }
    for (index, event) in batch.events.iter().enumerate() {
        check_event(event, &limits).map_err(|source| Error::At { index, source: source.into() })?;
    }
    Ok(batch)
}

/// What one more event adds to the encoded batch: the event, its length and a tag of one byte.
fn encoded_bytes(event: &wire::Event) -> usize {
    let bytes = event.encoded_len();
    1 + prost::length_delimiter_len(bytes) + bytes
}

/// Whether `event` can be stored at all; its size in a batch, in bytes.
pub(crate) fn check(event: &wire::Event, limits: &Limits) -> Result<usize, Error> {
    check_event(event, limits)?;
    let bytes = encoded_bytes(event);
    match bytes > limits.batch_bytes_max {
        true => Err(Error::EventTooLarge { bytes, bytes_max: limits.batch_bytes_max }),
        false => Ok(bytes),
    }
}

/// Whether a table can be called `name`.
pub(crate) fn check_table(name: &str, limits: &Limits) -> Result<(), Error> {
    check_name(Field::Table, name, limits)
}

fn check_event(event: &wire::Event, limits: &Limits) -> Result<(), Error> {
    check_name(Field::UserId, &event.user_id, limits)?;
    check_name(Field::EventName, &event.event, limits)?;
    if let Some(id) = &event.event_id {
        check_name(Field::EventId, id, limits)?;
    }
    check_time(Field::Time, event.ts_us)?;
    let properties = event.properties.len();
    if properties > limits.properties_max {
        return Err(Error::TooManyProperties { properties, properties_max: limits.properties_max });
    }
    event.properties.iter().try_for_each(|(name, value)| check_property(name, value, limits))
}

fn check_property(name: &str, value: &wire::Value, limits: &Limits) -> Result<(), Error> {
    use wire::value::Kind;
    check_name(Field::PropertyName, name, limits)?;
    if FIXED_COLUMNS.contains(&name) {
        return Err(Error::ReservedName { name: name.into() });
    }
    match &value.kind {
        Some(Kind::Text(text)) => check_length(Field::Property(name.into()), text, limits.text_bytes_max),
        Some(Kind::TimestampUs(ts_us)) => check_time(Field::Property(name.into()), *ts_us),
        _ => Ok(()),
    }
}

fn check_name(field: Field, name: &str, limits: &Limits) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::Empty { field });
    }
    check_length(field, name, limits.name_bytes_max)
}

fn check_length(field: Field, text: &str, bytes_max: usize) -> Result<(), Error> {
    if text.len() > bytes_max {
        return Err(Error::TooLong { field, bytes: text.len(), bytes_max });
    }
    Ok(())
}

fn check_time(field: Field, ts_us: i64) -> Result<(), Error> {
    if !(TS_MIN_US..=TS_MAX_US).contains(&ts_us) {
        return Err(Error::TimeOutOfRange { field, ts_us });
    }
    Ok(())
}
