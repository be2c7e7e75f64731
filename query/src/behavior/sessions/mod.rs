//! SESSIONS: a user's events divided into visits: when each began and ended, how it was entered and left, and how long its
//! stops took.
//!
//! ```text
//! nodes, masks, times  ->  SessionsKernel  ->  sessions  ->  SummaryPartial (merge, …)  ->  SummaryRow
//!                          per user        ->  stops     ->  StopsPartial   (merge, …)  ->  StopRow
//! ```
//!
//! What divides events into sessions, and which are left out, is that of [`super::path`].

mod kernel;
mod spec;
mod stops;
mod summary;

pub use kernel::{Session, SessionsKernel, Stop};
pub use spec::SessionsSpec;
pub use stops::{StopRow, StopsPartial};
pub use summary::{SummaryPartial, SummaryRow};
