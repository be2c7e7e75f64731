//! The clock of the server: the one place in which it reads the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time of day.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// Microseconds since 1970.
    #[allow(clippy::disallowed_methods, reason = "only the binary reads the clock")]
    pub fn now_us(self) -> i64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX)
    }
}
