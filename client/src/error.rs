//! Why an event or a batch was refused.

use std::fmt;

/// Why an event or a batch was refused. The batch is left as it was before the call.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that must not be empty is empty.
    #[error("{field} is empty")]
    Empty {
        /// Which name.
        field: Field,
    },
    /// A text is longer than the limits allow.
    #[error("{field} has {bytes} bytes, and {bytes_max} are allowed")]
    TooLong {
        /// Which text.
        field: Field,
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        bytes_max: usize,
    },
    /// A time before year 1 or after year 9999.
    #[error("{field} is {ts_us} µs since 1970, outside the years 1 to 9999; is it in another unit than microseconds?")]
    TimeOutOfRange {
        /// Which time.
        field: Field,
        /// The time.
        ts_us: i64,
    },
    /// A property has the name of one of the four fixed columns.
    #[error("property '{name}' has the name of a fixed column; give it another name")]
    ReservedName {
        /// The name.
        name: String,
    },
    /// An event has more properties than the limits allow.
    #[error("the event has {properties} properties, and {properties_max} are allowed")]
    TooManyProperties {
        /// How many it has.
        properties: usize,
        /// The most allowed.
        properties_max: usize,
    },
    /// The batch has no room for this event: send what it holds, then push the event again.
    #[error("the batch is full ({events} events, {bytes} bytes); send it, then push the event again")]
    Full {
        /// Events in the batch.
        events: usize,
        /// Encoded size of the batch.
        bytes: usize,
    },
    /// One event alone is larger than a batch may be.
    #[error("the event has {bytes} bytes encoded, more than a whole batch may have ({bytes_max})")]
    EventTooLarge {
        /// Encoded size of the event.
        bytes: usize,
        /// Encoded size that a batch may have.
        bytes_max: usize,
    },
    /// The bytes are no batch of events.
    #[error("the bytes are no event batch: {0}")]
    Malformed(String),
    /// An event of a decoded batch was refused.
    #[error("event {index}: {source}")]
    At {
        /// Position in the batch, from 0.
        index: usize,
        /// Why.
        source: Box<Error>,
    },
}

/// The part of an event or a batch that an [`Error`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// Name of the table.
    Table,
    /// `user_id`.
    UserId,
    /// `ts`.
    Time,
    /// `event`.
    EventName,
    /// `event_id`.
    EventId,
    /// Name of a property.
    PropertyName,
    /// Value of the property called so.
    Property(String),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table => f.write_str("the table's name"),
            Self::UserId => f.write_str("user_id"),
            Self::Time => f.write_str("ts"),
            Self::EventName => f.write_str("event"),
            Self::EventId => f.write_str("event_id"),
            Self::PropertyName => f.write_str("a property's name"),
            Self::Property(name) => write!(f, "property '{name}'"),
        }
    }
}
