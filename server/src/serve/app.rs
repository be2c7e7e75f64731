//! What every door of the server works on.

use super::clock::Clock;
use super::queries::Queries;
use crate::access::Access;
use crate::config::Config;
use crate::door::{Budget, Rates};
use std::sync::Arc;
use trodden_query::engine::Table;
use trodden_query::engine::types::{Schema, TableOptions};
use trodden_query::{Database, ErrorKind, Result};

/// What every door of the server works on.
#[derive(Debug)]
pub struct App {
    /// The database.
    pub database: Database,
    /// Who may do what.
    pub access: Access,
    /// Statements, on threads of their own.
    pub queries: Queries,
    /// Bytes of events under way, of all doors.
    pub budget: Budget,
    /// How fast one key may send, through all doors.
    pub rates: Rates,
    /// The configuration.
    pub config: Arc<Config>,
    /// The time of day.
    pub clock: Clock,
    /// When the server started, in microseconds since 1970.
    pub started_us: i64,
}

impl App {
    /// What a server that starts now works on.
    pub fn new(database: Database, access: Access, queries: Queries, config: Arc<Config>, clock: Clock) -> Self {
        let budget = Budget::new(config.limits.ingest_bytes.bytes());
        let rates = Rates::new(config.limits.events_per_second);
        Self { database, access, queries, budget, rates, config, clock, started_us: clock.now_us() }
    }

    /// The table for events called `name`, made when it is absent. Waits for the disk.
    ///
    /// # Errors
    /// `InvalidInput` for a name that no table can have, and for that of a view; what the disk says.
    pub fn event_table(&self, name: &str) -> Result<Arc<Table>> {
        if let Some(table) = self.database.find_table(name)? {
            return Ok(table);
        }
        match self.database.create_table(name, Schema::default(), TableOptions::default()) {
            Ok(table) => {
                tracing::info!(table = name, "a table was made for events that named it");
                Ok(table)
            }
            // Another request was first.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.database.find_table(name)?.ok_or(error),
            Err(error) => Err(error),
        }
    }
}
