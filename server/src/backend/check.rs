//! `check`: what is broken in a database, also in one that cannot be opened.

use super::not_opened;
use crate::failure::Outcome;
use std::path::Path;
use trodden_query::engine::check::{Finding, check_closed};
use trodden_query::engine::error::{Error, ErrorKind};
use trodden_query::engine::{Engine, EngineOptions};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Tables looked at. `None`: the database could not be opened, and its files were looked at each for itself.
    pub tables: Option<u64>,
    /// What is broken, a line each.
    pub findings: Vec<String>,
}

/// Verifies every checksum and every invariant of the database in the directory `path`.
///
/// # Errors
/// Nothing is there, it is of another format, another process has it, or it cannot be opened though every file is sound.
pub fn check(path: &Path) -> Outcome<Checked> {
    let options = EngineOptions { create_if_missing: false, ..EngineOptions::default() };
    match Engine::open(path, options) {
        Ok(engine) => {
            let findings = engine.check().iter().map(ToString::to_string).collect();
            Ok(Checked { tables: Some(engine.tables().len() as u64), findings })
        }
        Err(error) => check_unopened(path, error),
    }
}

/// The first file that stands in the way of opening may not be the only one that is broken.
fn check_unopened(path: &Path, error: Error) -> Outcome<Checked> {
    let elsewhere = [ErrorKind::Locked, ErrorKind::UnsupportedFormat, ErrorKind::InvalidInput, ErrorKind::ReadOnly];
    let found = if elsewhere.contains(&error.kind()) { Vec::new() } else { check_closed(path).unwrap_or_default() };
    if found.is_empty() {
        return Err(not_opened(path, &error.into()));
    }
    let is_told = |finding: &Finding| {
        let first = finding.problem.split(" (hint: ").next().unwrap_or(&finding.problem);
        error.message().contains(first)
    };
    let mut findings: Vec<String> = found.iter().map(ToString::to_string).collect();
    if !found.iter().any(is_told) {
        findings.push(format!("opening: {error}"));
    }
    Ok(Checked { tables: None, findings })
}
