//! Retention in time: rows past it are hidden before the first statement of an opened database, and then at least every
//! hour that something is asked. The clock is that of the statement, what `now()` says in it.

use crate::commands::blocking;
use crate::run::Runner;
use crate::warnings::Warning;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The line is not moved more often: each move writes the manifest of a table.
const EVERY_US: i64 = 3_600_000_000;

/// When the lines were last moved.
#[derive(Debug)]
pub(crate) struct RetentionClock(AtomicI64);

impl Default for RetentionClock {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl RetentionClock {
    /// Whether it is time again. Of several statements that ask at once, one is told so.
    fn is_due(&self, now_us: i64) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        let due = last == i64::MIN || now_us.saturating_sub(last) >= EVERY_US;
        due && self.0.compare_exchange(last, now_us, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Ask again at the next statement.
    fn again(&self) {
        self.0.store(i64::MIN, Ordering::Relaxed);
    }
}

impl Runner<'_> {
    /// Hide the rows past the retention of their tables, if it is time. A table that cannot be written, on a full disk
    /// or a read-only one, is a warning: what is asked can still be answered.
    pub(crate) async fn enforce_retention(&self) {
        let now = self.state.execution_props().query_execution_start_time;
        let Some(now_us) = now.map(|now| now.timestamp_micros()) else { return };
        if !self.shared.retention.is_due(now_us) {
            return;
        }
        let engine = Arc::clone(&self.shared.catalog.engine);
        let sweep = blocking(move || {
            let mut failed = Vec::new();
            for name in engine.tables() {
                // A table may be dropped meanwhile.
                let Ok(table) = engine.table(&name) else { continue };
                if let Err(error) = table.enforce_retention(now_us) {
                    failed.push(format!("rows past the retention of '{name}' could not be hidden: {error}"));
                }
            }
            Ok(failed)
        });
        let failed = sweep.await.unwrap_or_else(|error| vec![error.to_string()]);
        if !failed.is_empty() {
            self.shared.retention.again();
        }
        failed.into_iter().for_each(|message| self.statement.warn(Warning { message, hint: None }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_at_first_and_every_hour() {
        let clock = RetentionClock::default();
        let start = 1_772_323_200_000_000;
        assert!(clock.is_due(start));
        assert!(!clock.is_due(start));
        assert!(!clock.is_due(start + EVERY_US - 1));
        assert!(!clock.is_due(start - 10 * EVERY_US), "a clock that was put back moves nothing");
        assert!(clock.is_due(start + EVERY_US));
        assert!(!clock.is_due(start + EVERY_US));
        clock.again();
        assert!(clock.is_due(start + EVERY_US));
    }
}
