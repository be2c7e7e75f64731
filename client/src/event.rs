//! One event as a program writes it down.

use std::collections::BTreeMap;
use trodden_proto::v1 as wire;

/// The value of a property.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// No value.
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// BIGINT.
    BigInt(i64),
    /// DOUBLE.
    Double(f64),
    /// TEXT.
    Text(String),
    /// TIMESTAMP, in microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::BigInt(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::BigInt(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<Value> for wire::Value {
    fn from(value: Value) -> Self {
        use wire::value::Kind;
        let kind = match value {
            Value::Null => None,
            Value::Boolean(value) => Some(Kind::Boolean(value)),
            Value::BigInt(value) => Some(Kind::Bigint(value)),
            Value::Double(value) => Some(Kind::Double(value)),
            Value::Text(value) => Some(Kind::Text(value)),
            Value::Timestamp(value) => Some(Kind::TimestampUs(value)),
        };
        Self { kind }
    }
}

impl From<wire::Value> for Value {
    fn from(value: wire::Value) -> Self {
        use wire::value::Kind;
        match value.kind {
            None => Self::Null,
            Some(Kind::Boolean(value)) => Self::Boolean(value),
            Some(Kind::Bigint(value)) => Self::BigInt(value),
            Some(Kind::Double(value)) => Self::Double(value),
            Some(Kind::Text(value)) => Self::Text(value),
            Some(Kind::TimestampUs(value)) => Self::Timestamp(value),
        }
    }
}

/// What one user did at one time. Checked when it is pushed into a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// As it is sent, so that nothing has to be moved for that.
    wire: wire::Event,
}

impl Event {
    /// `user_id` did `event` at `ts_us`, in microseconds since 1970-01-01T00:00:00Z.
    pub fn new(user_id: impl Into<String>, ts_us: i64, event: impl Into<String>) -> Self {
        let (user_id, event) = (user_id.into(), event.into());
        Self { wire: wire::Event { user_id, ts_us, event, event_id: None, properties: BTreeMap::new() } }
    }

    /// Names the event, so that a second delivery of it is not a second event.
    #[must_use]
    pub fn id(mut self, event_id: impl Into<String>) -> Self {
        self.wire.event_id = Some(event_id.into());
        self
    }

    /// Sets a property; a second value of the same name replaces the first.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.wire.properties.insert(name.into(), value.into().into());
        self
    }
}

impl From<Event> for wire::Event {
    fn from(event: Event) -> Self {
        event.wire
    }
}

impl From<wire::Event> for Event {
    fn from(wire: wire::Event) -> Self {
        Self { wire }
    }
}
