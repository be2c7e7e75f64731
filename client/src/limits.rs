//! How large events and batches may be.

/// Earliest time of an event: 0001-01-01T00:00:00Z, in microseconds since 1970.
pub const TS_MIN_US: i64 = -62_135_596_800_000_000;
/// Latest time of an event: 9999-12-31T23:59:59.999999Z, in microseconds since 1970.
pub const TS_MAX_US: i64 = 253_402_300_799_999_999;

/// How large events and batches may be. The defaults keep a batch well below what one message of the wire may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events in a batch.
    pub events_max: usize,
    /// Encoded bytes of a batch.
    pub batch_bytes_max: usize,
    /// Bytes of `user_id`, `event`, `event_id`, and of the names of tables and properties.
    pub name_bytes_max: usize,
    /// Bytes of the text of one property.
    pub text_bytes_max: usize,
    /// Properties of an event.
    pub properties_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            events_max: 100_000,
            batch_bytes_max: 8 << 20,
            name_bytes_max: 4096,
            text_bytes_max: 1 << 20,
            properties_max: 1000,
        }
    }
}
