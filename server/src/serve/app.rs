//! What every door of the server works on.

use super::clock::Clock;
use super::queries::Queries;
use crate::access::Access;
use crate::config::Config;
use std::sync::Arc;
use trodden_query::Database;

/// What every door of the server works on.
#[derive(Debug)]
pub struct App {
    /// The database.
    pub database: Database,
    /// Who may do what.
    pub access: Access,
    /// Statements, on threads of their own.
    pub queries: Queries,
    /// The configuration.
    pub config: Arc<Config>,
    /// The time of day.
    pub clock: Clock,
    /// When the server started, in microseconds since 1970.
    pub started_us: i64,
}
