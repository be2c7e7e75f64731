//! Refreshing tags: of each one at a time, all that can be together written at once.

use super::bind::asks_for_tags;
use super::compute::compute;
use super::definition::Definition;
use crate::commands::blocking;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::context::StatementContext;
use crate::run::Runner;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;
use trodden_engine::table::Table;
use trodden_engine::tags::{Over, Tag, TagChange, TagInfo};

/// So many refreshed tags are written at once.
const WRITTEN_AT_ONCE: usize = 32;

/// A table's number, and a tag of it.
type Key = (u64, String);

/// What is refreshed just now, and what could not be.
#[derive(Debug, Default)]
pub(crate) struct Refreshing {
    running: Mutex<HashSet<Key>>,
    failures: Mutex<HashMap<Key, Failure>>,
}

/// Why the last refresh of a version of a tag failed, and when.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    version: u64,
    pub(crate) message: String,
    pub(crate) at_us: i64,
}

impl Refreshing {
    /// The right to refresh a tag, until it is dropped; `None` while somebody else has it.
    pub(crate) fn take(&self, table: u64, tag: &str) -> Option<Turn<'_>> {
        let key = (table, tag.to_string());
        self.running.lock().insert(key.clone()).then_some(Turn { refreshing: self, key })
    }

    /// Why the last refresh of this version failed.
    pub(crate) fn failure(&self, table: u64, tag: &Tag) -> Option<Failure> {
        let failures = self.failures.lock();
        let failure = failures.get(&(table, tag.info().name.clone()));
        failure.filter(|failure| failure.version == tag.version()).cloned()
    }

    fn note(&self, table: u64, tag: &Tag, failed: Option<(&Error, i64)>) {
        let key = (table, tag.info().name.clone());
        let mut failures = self.failures.lock();
        match failed {
            None => drop(failures.remove(&key)),
            Some((error, at_us)) => {
                let message = error.message().to_string();
                failures.insert(key, Failure { version: tag.version(), message, at_us });
            }
        }
    }
}

/// The right to refresh a tag.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    refreshing: &'a Refreshing,
    key: Key,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.refreshing.running.lock().remove(&self.key);
    }
}

/// What became of a tag.
#[derive(Debug)]
pub(crate) struct Refreshed {
    pub(crate) table: String,
    pub(crate) tag: String,
    pub(crate) users: Option<i64>,
    pub(crate) cost_ms: Option<i64>,
    pub(crate) incremental: Option<bool>,
    pub(crate) error: Option<String>,
}

/// A refresh that is not written yet.
struct Pending<'a> {
    tag: Tag,
    change: TagChange,
    row: Refreshed,
    _turn: Turn<'a>,
}

/// Refresh tags of a table, one after the other in the order given, each as of its own moment. What cannot be refreshed
/// keeps its members, and says why.
///
/// # Errors
/// `Cancelled`, and what the disk says.
pub(crate) async fn refresh(runner: &Runner<'_>, table: &Arc<Table>, tags: &[String]) -> Result<Vec<Refreshed>> {
    let mut done = Vec::with_capacity(tags.len());
    let mut pending = Vec::new();
    for name in tags {
        runner.statement.check_cancelled()?;
        // Whoever asks for another tag finds it as it was refreshed just before.
        if pending.len() >= WRITTEN_AT_ONCE || reads_tags(runner, table, name) {
            write(runner, table, std::mem::take(&mut pending), &mut done).await?;
        }
        match one(&runner.fresh(), table, name).await {
            Ok(Some(refreshed)) => pending.push(refreshed),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
            Err(error) => done.push(failed(table, name, &error)),
        }
    }
    write(runner, table, pending, &mut done).await?;
    Ok(done)
}

fn failed(table: &Table, tag: &str, error: &Error) -> Refreshed {
    Refreshed {
        table: table.name().to_string(),
        tag: tag.to_string(),
        users: None,
        cost_ms: None,
        incremental: None,
        error: Some(error.to_string()),
    }
}

/// Whether the definition of a tag asks for tags; what cannot be read does not.
fn reads_tags(runner: &Runner<'_>, table: &Table, name: &str) -> bool {
    let definition = table.snapshot().tags().get(name).map(|tag| tag.info().definition.clone());
    let Some(Ok(Definition::Query(query))) = definition.as_deref().map(Definition::read) else { return false };
    let planned = StatementContext::new(&runner.state, &runner.names).plan_query(query);
    planned.and_then(|plan| asks_for_tags(&plan)).unwrap_or(true)
}

/// Compute a tag anew. `None` for one that is not there any more, and for a list, which stays as it is.
async fn one<'a>(runner: &Runner<'a>, table: &Arc<Table>, name: &str) -> Result<Option<Pending<'a>>> {
    let refreshing = &runner.shared.refreshing;
    let pinned = runner.names.pinned(table.name())?;
    let (id, tags) = (pinned.snapshot.id, pinned.snapshot.tags());
    let Some(tag) = tags.get(name) else { return Ok(None) };
    let Some(turn) = refreshing.take(id, name) else {
        return Err(Error::new(ErrorKind::Locked, format!("tag '{name}' is being refreshed already")));
    };
    let now_us = runner.clock_us();
    let computed = async {
        let query = match Definition::read(&tag.info().definition)? {
            Definition::Query(query) => query,
            Definition::List => return Ok(None),
        };
        let started = Instant::now();
        let computed = compute(runner, &pinned, &query, Some(&tag)).await?;
        Ok(Some((computed, u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX))))
    };
    // The place of an error is one in the definition, and not in the statement that is run.
    let computed = computed.await.map_err(|error: Error| {
        let plain = Error::new(error.kind(), format!("tag '{name}': {}", error.message()));
        plain.with_hint_opt(error.hint().map(String::from))
    });
    refreshing.note(id, &tag, computed.as_ref().err().map(|error| (error, now_us)));
    let Some((computed, cost_ms)) = computed? else { return Ok(None) };
    let info = TagInfo {
        basis: computed.basis,
        refreshed_at_us: now_us,
        cost_ms,
        incremental: computed.incremental,
        ..tag.info().clone()
    };
    let row = Refreshed {
        table: table.name().to_string(),
        tag: name.to_string(),
        users: i64::try_from(computed.members.users().len()).ok(),
        cost_ms: i64::try_from(cost_ms).ok(),
        incremental: Some(computed.incremental),
        error: None,
    };
    let info = info.as_of(&computed.snapshot);
    let change = TagChange::Set { info, members: computed.members, over: Over::Version(tag.version()) };
    Ok(Some(Pending { tag, change, row, _turn: turn }))
}

/// Write refreshed tags, all at once. Those that were dropped or made anew meanwhile are left out.
async fn write(
    runner: &Runner<'_>,
    table: &Arc<Table>,
    pending: Vec<Pending<'_>>,
    done: &mut Vec<Refreshed>,
) -> Result<()> {
    if pending.is_empty() {
        return Ok(());
    }
    let (mut changes, mut rows, mut turns) = (Vec::new(), Vec::new(), Vec::new());
    for Pending { tag, change, row, _turn } in pending {
        changes.push(change);
        rows.push((row, tag));
        turns.push(_turn);
    }
    let id = table.snapshot().id;
    let writes = Arc::clone(table);
    match blocking(move || Ok(writes.change_tags(changes)?)).await {
        Ok(made) => {
            done.extend(rows.into_iter().zip(made).filter(|(_, made)| *made).map(|((row, _), _)| row));
            Ok(())
        }
        Err(error) => {
            let at_us = runner.clock_us();
            rows.iter().for_each(|(_, tag)| runner.shared.refreshing.note(id, tag, Some((&error, at_us))));
            Err(error)
        }
    }
}
