//! `CREATE TAG`, `REFRESH TAG`, `DROP TAG`, `SHOW TAGS`.

use super::{blocking, counts};
use crate::database::Statement;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::catalog::normalised;
use crate::result::QueryResult;
use crate::run::Runner;
use crate::sql::duration::format_us;
use crate::sql::tags::{TagCommand, TagSource};
use crate::table::schema::timestamp_type;
use crate::tags::compute::{Computed, compute};
use crate::tags::definition::Definition;
use crate::tags::no_such_tag;
use crate::tags::refresh::{Refreshed, refresh};
use crate::warnings::Warning;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Spanned};
use std::sync::Arc;
use std::time::Instant;
use trodden_engine::error::Result as EngineResult;
use trodden_engine::members::Members;
use trodden_engine::table::Table;
use trodden_engine::tags::{Over, Tag, TagChange, TagInfo, TagMembers};

/// Run a statement about tags.
///
/// # Errors
/// What is wrong with it, at its place, and what the disk says.
pub(super) async fn run(runner: Runner<'_>, command: &TagCommand, statement: &Statement) -> Result<QueryResult> {
    match command {
        TagCommand::Create { .. } => create(runner, command, statement.text()).await,
        TagCommand::Refresh { name, table } => refreshed(runner, name.as_ref(), table).await,
        TagCommand::Drop { name, table, if_exists } => drop_tag(runner, name, table, *if_exists).await,
        TagCommand::Show { table } => show(runner, table.as_ref()).await,
    }
}

async fn create(runner: Runner<'_>, command: &TagCommand, text: &str) -> Result<QueryResult> {
    let TagCommand::Create { name, table, or_replace, if_not_exists, source, every_us } = command else {
        return Err(Error::internal("no CREATE TAG"));
    };
    let table = runner.shared.catalog.table(table)?;
    let tag = normalised(name);
    if table.snapshot().tags().get(&tag).is_some() && !or_replace {
        if *if_not_exists {
            return Ok(QueryResult::done(runner.statement, "CREATE TAG"));
        }
        return Err(Error::new(ErrorKind::AlreadyExists, format!("there is a tag '{tag}' already"))
            .with_hint("write CREATE OR REPLACE TAG, or DROP TAG first")
            .at(name.span));
    }
    let started = Instant::now();
    let (computed, definition) = match source {
        TagSource::Query(query) => {
            let pinned = runner.names.pinned(table.name())?;
            let computed = compute(&runner, &pinned, query, None).await;
            let at_query = |error: Error| if error.span().is_some() { error } else { error.at(query.span()) };
            (computed.map_err(at_query)?, text.to_string())
        }
        TagSource::List(users) => (listed(&table, users).await?, Definition::text_of_list(users.len())),
    };
    let info = TagInfo {
        name: tag,
        definition,
        basis: computed.basis,
        every_us: *every_us,
        refreshed_at_us: runner.clock_us(),
        position: 0,
        arrivals: Vec::new(),
        hidden_before_us: 0,
        cost_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        incremental: false,
    };
    let users = i64::try_from(computed.members.users().len()).unwrap_or(i64::MAX);
    let over = if *or_replace { Over::Anything } else { Over::Nothing };
    let change = TagChange::Set { info: info.as_of(&computed.snapshot), members: computed.members, over };
    let made = blocking(move || Ok(table.change_tags(vec![change])?)).await;
    made.map_err(|error| error.at(name.span))?;
    if every_us.is_some() {
        runner.shared.tag_keeper.start();
    }
    counts(&runner.statement, "CREATE TAG", &[("users", users)])
}

/// The users of a list. Those whom the table does not know yet get to be known.
async fn listed(table: &Arc<Table>, users: &[String]) -> Result<Computed> {
    let (table, users) = (Arc::clone(table), users.to_vec());
    blocking(move || {
        let ids: Vec<&str> = users.iter().map(String::as_str).collect();
        let places = table.introduce(&ids)?;
        let snapshot = table.snapshot();
        let places = places.into_iter().map(|(shard, ordinal)| (usize::from(shard), ordinal));
        let members = TagMembers::Plain(Members::of_places(snapshot.shards.len(), places));
        Ok(Computed { members, snapshot, basis: String::new(), incremental: false })
    })
    .await
}

async fn refreshed(runner: Runner<'_>, name: Option<&Ident>, table: &ObjectName) -> Result<QueryResult> {
    let table = runner.shared.catalog.table(table)?;
    let tags = table.snapshot().tags();
    let Some(name) = name else {
        let all: Vec<String> = tags.names().map(String::from).collect();
        let rows = refresh(&runner, &table, &all).await?;
        for row in &rows {
            if let Some(message) = &row.error {
                runner.statement.warn(Warning { message: message.clone(), hint: None });
            }
        }
        return answer(&runner, "REFRESH TAGS", refresh_columns(&rows));
    };
    let tag = normalised(name);
    let Some(found) = tags.get(&tag) else { return Err(no_such_tag(&tag, table.name(), &tags).at(name.span)) };
    if matches!(Definition::read(&found.info().definition), Ok(Definition::List)) {
        return Err(Error::invalid(format!("tag '{tag}' is a list of users, which stays as it is"))
            .with_hint("make it anew: CREATE OR REPLACE TAG … FROM (…)")
            .at(name.span));
    }
    let rows = refresh(&runner, &table, &[tag]).await?;
    if let Some(message) = rows.iter().find_map(|row| row.error.clone()) {
        return Err(Error::new(ErrorKind::Execution, message).at(name.span));
    }
    answer(&runner, "REFRESH TAG", refresh_columns(&rows))
}

pub(super) fn refresh_columns(rows: &[Refreshed]) -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("table_name", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.table)))),
        ("tag", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.tag)))),
        ("users", Arc::new(rows.iter().map(|row| row.users).collect::<Int64Array>())),
        ("cost_ms", Arc::new(rows.iter().map(|row| row.cost_ms).collect::<Int64Array>())),
        ("incremental", Arc::new(rows.iter().map(|row| row.incremental).collect::<BooleanArray>())),
        ("error", Arc::new(rows.iter().map(|row| row.error.as_deref()).collect::<StringArray>())),
    ]
}

async fn drop_tag(runner: Runner<'_>, name: &Ident, table: &ObjectName, if_exists: bool) -> Result<QueryResult> {
    let table = runner.shared.catalog.table(table)?;
    let (tag, tags) = (normalised(name), table.snapshot().tags());
    let change = TagChange::Drop(tag.clone());
    let drops = Arc::clone(&table);
    let made = blocking(move || Ok(drops.change_tags(vec![change])?)).await?;
    match made.contains(&true) || if_exists {
        true => Ok(QueryResult::done(runner.statement, "DROP TAG")),
        false => Err(no_such_tag(&tag, table.name(), &tags).at(name.span)),
    }
}

/// `SHOW TAGS`: a row for each tag.
async fn show(runner: Runner<'_>, table: Option<&ObjectName>) -> Result<QueryResult> {
    let catalog = &runner.shared.catalog;
    let tables: Vec<Arc<Table>> = match table {
        Some(name) => vec![catalog.table(name)?],
        None => catalog.engine.tables().iter().filter_map(|name| catalog.engine.table(name).ok()).collect(),
    };
    let mut rows: Vec<(String, Tag, Option<String>)> = Vec::new();
    for table in tables {
        let snapshot = table.snapshot();
        for tag in snapshot.tags().iter() {
            let failure = runner.shared.refreshing.failure(snapshot.id, &tag);
            rows.push((table.name().to_string(), tag, failure.map(|failure| failure.message)));
        }
    }
    let now_us = runner.clock_us();
    let columns = blocking(move || Ok(tag_columns(&rows, now_us)?)).await?;
    answer(&runner, "SHOW TAGS", columns)
}

pub(super) fn tag_columns(
    rows: &[(String, Tag, Option<String>)],
    now_us: i64,
) -> EngineResult<Vec<(&'static str, ArrayRef)>> {
    let infos = || rows.iter().map(|(_, tag, _)| tag.info());
    let number = |number: u64| i64::try_from(number).ok();
    let users = rows.iter().map(|(_, tag, _)| Ok(number(tag.len()?))).collect::<EngineResult<Int64Array>>()?;
    let values = rows.iter().map(|(_, tag, _)| tag.by_value().then(|| tag.values().count() as i64));
    let bytes = rows.iter().map(|(_, tag, _)| number(tag.bytes()));
    let refreshed = TimestampMicrosecondArray::from_iter_values(infos().map(|info| info.refreshed_at_us));
    let age = infos().map(|info| now_us.saturating_sub(info.refreshed_at_us) as f64 / 1e6);
    let every = infos().map(|info| info.every_us.map(format_us));
    Ok(vec![
        ("table_name", Arc::new(StringArray::from_iter_values(rows.iter().map(|(table, ..)| table)))),
        ("tag", Arc::new(StringArray::from_iter_values(infos().map(|info| &info.name)))),
        ("values", Arc::new(values.collect::<Int64Array>())),
        ("users", Arc::new(users)),
        ("bytes", Arc::new(bytes.collect::<Int64Array>())),
        ("refreshed_at", Arc::new(refreshed.with_data_type(timestamp_type()))),
        ("age_s", Arc::new(Float64Array::from_iter_values(age))),
        ("cost_ms", Arc::new(infos().map(|info| number(info.cost_ms)).collect::<Int64Array>())),
        ("incremental", Arc::new(infos().map(|info| Some(info.incremental)).collect::<BooleanArray>())),
        ("every", Arc::new(every.collect::<StringArray>())),
        (
            "definition",
            Arc::new(infos().map(|info| Some(Definition::shown(&info.definition))).collect::<StringArray>()),
        ),
        ("error", Arc::new(rows.iter().map(|(.., error)| error.as_deref()).collect::<StringArray>())),
    ])
}

fn answer(runner: &Runner<'_>, tag: &'static str, columns: Vec<(&'static str, ArrayRef)>) -> Result<QueryResult> {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).map_err(DataFusionError::from)?;
    Ok(QueryResult::batch(batch, Arc::clone(&runner.statement), tag))
}
