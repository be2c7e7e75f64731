//! `check`: what is broken in a database, also in one that cannot be opened.

use super::not_opened;
use crate::failure::Outcome;
use std::path::Path;
use trodden_query::engine::{Engine, EngineOptions};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Tables looked at.
    pub tables: u64,
    /// What is broken, a line each.
    pub findings: Vec<String>,
    /// Whether the database can be opened for all that.
    pub opens: bool,
}

/// Verifies every checksum and every invariant of the database in the directory `path`.
///
/// # Errors
/// Nothing is there, it is of another format, another process has it, or it cannot be opened though every file is sound.
pub fn check(path: &Path) -> Outcome<Checked> {
    let failed = |error: trodden_query::engine::error::Error| not_opened(path, &error.into());
    // First without opening: what is broken keeps a database from being opened, and an opening changes files.
    let examined = Engine::examine(path).map_err(failed)?;
    if !examined.findings.is_empty() {
        let findings = examined.findings.iter().map(ToString::to_string).collect();
        return Ok(Checked { tables: examined.tables, findings, opens: examined.opens });
    }
    let options = EngineOptions { create_if_missing: false, ..EngineOptions::default() };
    let engine = Engine::open(path, options).map_err(failed)?;
    let findings = engine.check().iter().map(ToString::to_string).collect();
    Ok(Checked { tables: engine.tables().len() as u64, findings, opens: true })
}
