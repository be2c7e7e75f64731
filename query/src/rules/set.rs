//! The rules of one table.

use super::compile::Rule;
use super::definition::Kept;
use crate::error::{Error, ErrorKind, Result};
use std::sync::{Arc, Weak};
use trodden_engine::Engine;
use trodden_engine::types::Schema;

/// The rules of one table, in their order, as they were when it was asked for.
#[derive(Debug, Clone)]
pub struct RuleSet {
    pub(super) table: String,
    /// Not held: who keeps a set does not keep the database open.
    engine: Weak<Engine>,
    pub(super) entries: Vec<Entry>,
}

/// A rule, and what it does; or why that is not known.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) kept: Kept,
    pub(super) rule: std::result::Result<Arc<Rule>, String>,
}

/// A row of `SHOW RULES`.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) table: String,
    pub(crate) position: i64,
    pub(crate) definition: String,
}

impl RuleSet {
    pub(super) fn new(table: &str, engine: &Arc<Engine>, entries: Vec<Entry>) -> Self {
        Self { table: table.to_string(), engine: Arc::downgrade(engine), entries }
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Names of the rules, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.kept.name.as_str())
    }

    pub(super) fn position_of(&self, name: &str) -> Option<usize> {
        self.names().position(|known| known == name)
    }

    pub(crate) fn listed(&self) -> impl Iterator<Item = Listed> {
        (1..).zip(&self.entries).map(|(position, Entry { kept, .. })| Listed {
            name: kept.name.clone(),
            table: kept.table.clone(),
            position,
            definition: kept.statement.clone(),
        })
    }

    /// The columns that the table has now.
    pub(super) fn schema(&self) -> Schema {
        let table = self.engine.upgrade().and_then(|engine| engine.table(&self.table).ok());
        table.map(|table| table.schema()).unwrap_or_default()
    }

    /// The rules, ready to be applied.
    ///
    /// # Errors
    /// `UnsupportedFormat` where one cannot be read: nothing may pass that it would have changed.
    pub(super) fn readable(&self) -> Result<impl Iterator<Item = &Arc<Rule>>> {
        for Entry { kept, rule } in &self.entries {
            if let Err(error) = rule {
                let message = format!("rule '{}' of table '{}' cannot be read: {error}", kept.name, self.table);
                return Err(Error::new(ErrorKind::UnsupportedFormat, message)
                    .with_hint("make it anew with CREATE OR REPLACE RULE, or drop it with DROP RULE"));
            }
        }
        Ok(self.entries.iter().filter_map(|entry| entry.rule.as_ref().ok()))
    }
}
