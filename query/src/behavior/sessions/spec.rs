//! The arguments of sessions.

use crate::behavior::bucket::Bucket;
use crate::behavior::path::Sessions;
use chrono_tz::Tz;
use trodden_engine::error::{Error, Result};

/// The arguments of sessions, apart from the condition of what is left out, which the caller has turned into masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionsSpec {
    /// What divides a user's events into sessions.
    pub sessions: Sessions,
    /// Whether equal neighbours are one stop.
    pub collapse: bool,
    /// Rows of the summary by the start of sessions.
    pub bucket: Option<Bucket>,
    /// Time zone of buckets.
    pub time_zone: Tz,
}

impl Default for SessionsSpec {
    fn default() -> Self {
        Self { sessions: Sessions::default(), collapse: true, bucket: None, time_zone: Tz::UTC }
    }
}

impl SessionsSpec {
    /// Checks every argument.
    ///
    /// # Errors
    /// `InvalidInput` that names the argument, what is wrong with it and what it takes.
    pub fn validate(&self) -> Result<()> {
        match self.sessions {
            Sessions::GapUs(gap_us) if gap_us <= 0 => Err(Error::invalid("session: the gap must be longer than zero")
                .with_hint("a new session starts after a gap longer than this; NULL makes one session a user")),
            _ => match self.bucket {
                Some(Bucket::IntervalUs(width_us)) if width_us <= 0 => {
                    Err(Error::invalid("bucket: the interval must be longer than zero")
                        .with_hint("for example bucket => 'day' or bucket => INTERVAL '6' HOUR"))
                }
                _ => Ok(()),
            },
        }
    }

    /// The start of the bucket of a session that starts at `start_us`; 0 without buckets.
    pub fn bucket_us(&self, start_us: i64) -> i64 {
        self.bucket.map_or(0, |bucket| bucket.start_us(start_us, self.time_zone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_argument_is_named() {
        SessionsSpec::default().validate().unwrap();
        let spec = SessionsSpec { sessions: Sessions::GapUs(0), ..SessionsSpec::default() };
        let error = spec.validate().unwrap_err();
        assert!(error.message().starts_with("session: the gap must be longer than zero"), "{error}");
        let spec = SessionsSpec { bucket: Some(Bucket::IntervalUs(0)), ..SessionsSpec::default() };
        let error = spec.validate().unwrap_err();
        assert!(error.message().starts_with("bucket: the interval must be longer than zero"), "{error}");
        assert!(error.hint().is_some());
    }
}
