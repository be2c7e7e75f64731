//! Why a delivery was not stored, told by what the sender can do about it.

use trodden_query::{Error, ErrorKind};

/// After a failure of the disk, or while an import has the table, senders come again so much later.
const RETRY_S: u64 = 5;

/// Why a delivery was not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The key may not do this.
    NotAllowed(String),
    /// The request can never be stored.
    Invalid(String),
    /// Too much at one time: come again after so many seconds.
    TooMuch {
        /// What there is too much of.
        reason: String,
        /// Seconds to wait.
        retry_s: u64,
    },
    /// The database cannot take anything now: keep it, and come again after so many seconds.
    Unavailable {
        /// What is wrong.
        reason: String,
        /// Seconds to wait.
        retry_s: u64,
    },
}

impl Refusal {
    pub(super) fn not_allowed(reason: String) -> Self {
        Self::NotAllowed(reason)
    }

    pub(super) fn too_fast(retry_s: u64) -> Self {
        let reason = "this key sends more events a second than limits.events_per_second".to_string();
        Self::TooMuch { reason, retry_s }
    }

    /// Of an error about the table itself.
    pub(super) fn of_table(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::AlreadyExists => Self::Invalid(super::told(error)),
            _ => Self::of_storage(error),
        }
    }

    /// Of an error that is not about what was sent.
    pub(super) fn of_storage(error: &Error) -> Self {
        tracing::warn!(kind = ?error.kind(), %error, "events could not be stored, and their senders were told to keep them");
        Self::Unavailable { reason: super::told(error), retry_s: RETRY_S }
    }
}
