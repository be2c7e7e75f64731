//! Statements of trodden's own: tables, columns, views, deletion, maintenance.

mod alias;
mod answers;
pub(crate) mod copy;
pub(crate) mod insert;
mod options;
mod rules;
mod show;
mod tags;

pub(crate) use answers::columns_of_answer;

use crate::database::Statement;
use crate::error::{Error, ErrorKind, Result, no_such_column};
use crate::plan::catalog::{Catalog, View, normalised, plain_name};
use crate::plan::context::StatementContext;
use crate::profiles::upsert;
use crate::result::QueryResult;
use crate::run::Runner;
use crate::sql::statement::{Command, NamedOption};
use crate::table::schema::{arrow_type, column_type, column_type_of};
use crate::warnings::StatementState;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, BinaryOperator, Expr, Ident, ObjectName, Query, Spanned};
use std::sync::Arc;
use trodden_engine::table::Table;
use trodden_engine::types::{ColumnDef, FIXED_COLUMNS, Schema};

/// Run a statement of trodden's own.
///
/// # Errors
/// What is wrong with it, at its place, and what the disk says.
pub(crate) async fn run(runner: Runner<'_>, statement: &Statement) -> Result<QueryResult> {
    let catalog = Arc::clone(&runner.shared.catalog);
    let state = Arc::clone(&runner.statement);
    let done = |tag| Ok(QueryResult::done(Arc::clone(&state), tag));
    match &statement.command {
        Command::CreateTable { .. } => create_table(runner, statement).await,
        Command::DropTable { names, if_exists } => {
            drop_tables(&runner, names, *if_exists).await?;
            done("DROP TABLE")
        }
        Command::DropView { names, if_exists } => {
            drop_views(&catalog, names, *if_exists).await?;
            done("DROP VIEW")
        }
        Command::Upsert { table, columns, query } => upsert::run(runner, table, columns, query).await,
        Command::AddColumn { table, column, data_type, if_not_exists } => {
            add_column(catalog, table, define(column, data_type)?, *if_not_exists).await?;
            done("ALTER TABLE")
        }
        Command::SetOptions { table, options } => {
            set_options(&runner, table, options).await?;
            done("ALTER TABLE")
        }
        Command::Delete { table, condition } => delete(runner, table, condition.as_ref()).await,
        Command::CopyFrom { table, files, options } => copy::copy_from(runner, table, files, options).await,
        Command::CreateView { name, or_replace, if_not_exists, columns, query } => {
            let or = (*or_replace, *if_not_exists);
            if let Some((plain, view)) = create_view(&runner, name, or, columns, query)? {
                let text = statement.text().to_string();
                blocking(move || catalog.define_view(&plain, Some((view, &text)))).await?;
            }
            done("CREATE VIEW")
        }
        Command::Tag(command) => tags::run(runner, command, statement).await,
        Command::Rule(command) => rules::run(runner, command, statement).await,
        Command::ShowTables => show::tables(&runner).await,
        Command::ShowRecommenders => show::recommenders(&runner),
        Command::Alias { source, target, table } => alias::alias(&runner, (source, target), table).await,
        Command::Unalias { source, table } => alias::unalias(&runner, source, table).await,
        Command::ShowAliases(table) => alias::show(&runner, table.as_ref()),
        Command::Describe(name) => show::columns(&runner, name),
        Command::Optimize(name) => {
            let table = catalog.table(name)?;
            let state = Arc::clone(&state);
            blocking(move || Ok(table.compact_unless(true, &|| state.check_cancelled().is_err())?)).await?;
            done("OPTIMIZE")
        }
        Command::Flush(name) => {
            let table = catalog.table(name)?;
            blocking(move || Ok(table.flush()?)).await?;
            done("FLUSH")
        }
        Command::Relational(_) | Command::Prepare { .. } | Command::Execute { .. } | Command::Deallocate(_) => {
            Err(Error::internal("this statement is run elsewhere"))
        }
    }
}

/// Run what waits for the disk on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::internal(format!("the work broke off: {error}")))?
}

fn define(column: &Ident, data_type: &ast::DataType) -> Result<ColumnDef> {
    let name = normalised(column);
    if FIXED_COLUMNS.contains(&name.as_str()) {
        return Err(Error::new(ErrorKind::AlreadyExists, format!("every table has a column '{name}' already"))
            .with_hint("user_id, ts, event and event_id are always there")
            .at(column.span));
    }
    Ok(ColumnDef { name, column_type: column_type(data_type, column)? })
}

async fn create_table(runner: Runner<'_>, statement: &Statement) -> Result<QueryResult> {
    let Command::CreateTable { name, if_not_exists, columns, options, query } = &statement.command else {
        return Err(Error::internal("no CREATE TABLE"));
    };
    let catalog = Arc::clone(&runner.shared.catalog);
    let plain = plain_name(name)?;
    let there = catalog.resolve(&plain);
    let is_view = there.as_ref().is_some_and(|there| catalog.views.read().contains_key(there));
    if there.is_some() && !is_view && *if_not_exists {
        return Ok(QueryResult::done(runner.statement, "CREATE TABLE"));
    }
    if let Some(there) = there {
        let what = if is_view { "view" } else { "table" };
        return Err(Error::new(ErrorKind::AlreadyExists, format!("there is a {what} '{there}' already"))
            .with_hint("give another name, or write IF NOT EXISTS")
            .at(name.span()));
    }
    let mut schema = Schema { columns: declared_columns(columns)? };
    let table_options = options::table_options(options)?;
    let source = match query {
        Some(query) => {
            let plan = StatementContext::new(&runner.state, &runner.names).plan_query(query.clone())?;
            for field in plan.schema().fields() {
                let known = FIXED_COLUMNS.contains(&field.name().as_str()) || schema.column(field.name()).is_some();
                if !known && let Some(column_type) = column_type_of(field.data_type()) {
                    schema.columns.push(ColumnDef { name: field.name().clone(), column_type });
                }
            }
            Some(plan)
        }
        None => None,
    };
    let makes = Arc::clone(&catalog);
    let now_us = clock_us(&runner);
    let made = blocking(move || {
        let table = makes.create_table(&plain, schema, table_options)?;
        // So that what is already past the retention when it is put in is not seen.
        now_us.map_or(Ok(()), |now_us| table.enforce_retention(now_us))?;
        Ok(table)
    });
    let table = made.await.map_err(|error| error.at(name.span()))?;
    let Some(plan) = source else {
        return Ok(QueryResult::done(runner.statement, "CREATE TABLE"));
    };
    let filled = insert::fill(runner, Arc::clone(&table), plan, None).await;
    if filled.is_err() {
        // The statement made the table, so when it fails there is none. Why the query failed matters more than that its
        // table could not be removed.
        let _ = blocking(move || catalog_drop(&catalog, &table)).await;
    }
    filled
}

/// The property columns of `CREATE TABLE`. The fixed columns may stand there, with their own types.
fn declared_columns(columns: &[(Ident, ast::DataType)]) -> Result<Vec<ColumnDef>> {
    let mut defined: Vec<ColumnDef> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for (ident, data_type) in columns {
        let name = normalised(ident);
        if names.contains(&name) {
            return Err(Error::invalid(format!("column '{name}' is defined twice")).at(ident.span));
        }
        names.push(name.clone());
        if !FIXED_COLUMNS.contains(&name.as_str()) {
            defined.push(define(ident, data_type)?);
            continue;
        }
        let wanted = if name == "ts" { "TIMESTAMP" } else { "TEXT" };
        if column_type(data_type, ident)?.sql_name() != wanted {
            return Err(Error::invalid(format!("column '{name}' is {wanted} in every table, not {data_type}"))
                .with_hint(format!("write {name} {wanted}, or leave it away"))
                .at(ident.span));
        }
    }
    Ok(defined)
}

fn catalog_drop(catalog: &Catalog, table: &Arc<Table>) -> Result<()> {
    Ok(catalog.engine.drop_table(table.name())?)
}

async fn drop_tables(runner: &Runner<'_>, names: &[ObjectName], if_exists: bool) -> Result<()> {
    let catalog = &runner.shared.catalog;
    for name in names {
        if if_exists && catalog.resolve(&plain_name(name)?).is_none() {
            continue;
        }
        let (table, catalog, rules) = (catalog.table(name)?, Arc::clone(catalog), Arc::clone(&runner.shared.rules));
        blocking(move || {
            catalog_drop(&catalog, &table)?;
            rules.forget(&table);
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn drop_views(catalog: &Arc<Catalog>, names: &[ObjectName], if_exists: bool) -> Result<()> {
    for name in names {
        let plain = plain_name(name)?;
        if catalog.views.read().contains_key(&plain) {
            let catalog = Arc::clone(catalog);
            blocking(move || catalog.define_view(&plain, None)).await?;
        } else if !if_exists {
            return Err(Error::new(ErrorKind::NotFound, format!("no view is called '{plain}'")).at(name.span()));
        }
    }
    Ok(())
}

/// Add a column to an event table, or to the profiles of one.
async fn add_column(catalog: Arc<Catalog>, name: &ObjectName, column: ColumnDef, if_not_exists: bool) -> Result<()> {
    let is_there = |schema: Schema| if_not_exists && schema.column(&column.name).is_some();
    if catalog.is_profiles(name)? {
        let events = catalog.profiled(name)?;
        let profiles = blocking(move || Ok(catalog.engine.profiles(&events)?)).await?;
        if is_there(profiles.schema()) { Ok(()) } else { blocking(move || Ok(profiles.add_column(&column)?)).await }
    } else {
        let table = catalog.table(name)?;
        if is_there(table.schema()) { Ok(()) } else { blocking(move || Ok(table.add_column(&column)?)).await }
    }
}

async fn set_options(runner: &Runner<'_>, name: &ObjectName, options: &[NamedOption]) -> Result<()> {
    let table = runner.shared.catalog.table(name)?;
    let changes = options::alterable(options)?;
    let now_us = clock_us(runner);
    blocking(move || {
        if let Some(history) = changes.profile_history {
            table.set_profile_history(history)?;
        }
        let Some(retention_us) = changes.retention_us else { return Ok(()) };
        table.set_retention(retention_us)?;
        now_us.map_or(Ok(()), |now_us| Ok(table.enforce_retention(now_us)?))
    })
    .await
}

/// The clock of the statement: what `now()` says in it.
pub(crate) fn clock_us(runner: &Runner<'_>) -> Option<i64> {
    runner.state.execution_props().query_execution_start_time.map(|now| now.timestamp_micros())
}

/// `DELETE FROM t WHERE user_id = '…'`, or `user_id IN (…)`: whole users, nothing else.
async fn delete(runner: Runner<'_>, name: &ObjectName, condition: Option<&Expr>) -> Result<QueryResult> {
    let table = runner.shared.catalog.table(name)?;
    let refused = |span| {
        Error::unsupported("DELETE removes whole users: everything of them, for ever")
            .with_hint("write WHERE user_id = '…', or WHERE user_id IN ('…', '…'); retention drops old events")
            .at(span)
    };
    let Some(condition) = condition else { return Err(refused(name.span())) };
    let is_user = |expr: &Expr| matches!(expr, Expr::Identifier(ident) if normalised(ident) == "user_id");
    let values: Vec<&Expr> = match condition {
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } if is_user(left) => vec![&**right],
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } if is_user(right) => vec![&**left],
        Expr::InList { expr, list, negated: false } if is_user(expr) => list.iter().collect(),
        other => return Err(refused(other.span())),
    };
    let mut users = Vec::with_capacity(values.len());
    for value in values {
        let span = value.span();
        let constant = runner.constant(value).map_err(|_| refused(span))?;
        match constant.cast_to(&DataType::Utf8)? {
            ScalarValue::Utf8(Some(user)) => users.push((user, span)),
            _ => continue,
        }
    }
    let deleted = blocking(move || {
        let mut deleted = 0;
        for (user, span) in users {
            let is_deleted = table.delete_user(&user).map_err(|error| Error::from(error).at(span))?;
            deleted += i64::from(is_deleted);
        }
        Ok(deleted)
    })
    .await?;
    counts(&runner.statement, "DELETE", &[("users_deleted", deleted)])
}

/// A row of counts.
pub(crate) fn counts(state: &Arc<StatementState>, tag: &'static str, counts: &[(&str, i64)]) -> Result<QueryResult> {
    let columns = counts.iter().map(|(name, count)| (*name, Arc::new(Int64Array::from(vec![*count])) as ArrayRef));
    let batch = RecordBatch::try_from_iter(columns).map_err(DataFusionError::from)?;
    Ok(QueryResult::batch(batch, Arc::clone(state), tag))
}

/// The view that is to be kept; `None` where it is there already and may stay.
fn create_view(
    runner: &Runner<'_>,
    name: &ObjectName,
    (or_replace, if_not_exists): (bool, bool),
    columns: &[Ident],
    query: &Query,
) -> Result<Option<(String, View)>> {
    let catalog = &runner.shared.catalog;
    let plain = plain_name(name)?;
    let there = catalog.resolve(&plain);
    if let Some(table) = there.as_ref().filter(|there| !catalog.views.read().contains_key(*there)) {
        return Err(Error::new(ErrorKind::AlreadyExists, format!("there is a table '{table}' already")).at(name.span()));
    }
    // A view is replaced under the name that it has.
    let plain = there.clone().unwrap_or(plain);
    let there = there.is_some();
    if there && if_not_exists {
        return Ok(None);
    }
    if there && !or_replace {
        return Err(Error::new(ErrorKind::AlreadyExists, format!("there is a view '{plain}' already"))
            .with_hint("write CREATE OR REPLACE VIEW")
            .at(name.span()));
    }
    let plan = StatementContext::new(&runner.state, &runner.names).plan_query(Box::new(query.clone()))?;
    if !plan.get_parameter_names()?.is_empty() {
        return Err(Error::invalid("a view has no parameters").with_hint("use PREPARE for $1"));
    }
    let found = plan.schema().fields().len();
    if !columns.is_empty() && columns.len() != found {
        let message = format!("view '{plain}' names {} columns, but its query has {found}", columns.len());
        return Err(Error::invalid(message).at(name.span()));
    }
    Ok(Some((plain, View { columns: columns.to_vec(), query: Box::new(query.clone()) })))
}

/// The column of a table that an `INSERT` names.
pub(crate) fn column_of_table(table: &Table, column: &Ident) -> Result<(String, DataType)> {
    let schema = table.schema();
    let name = normalised(column);
    let properties = schema.columns.iter().map(|column| column.name.as_str());
    let all: Vec<&str> = FIXED_COLUMNS.into_iter().chain(properties).collect();
    let found = all.iter().find(|known| **known == name).or_else(|| {
        let unquoted = column.quote_style.is_none();
        all.iter().find(|known| unquoted && known.eq_ignore_ascii_case(&name))
    });
    let Some(found) = found else {
        return Err(no_such_column(&name, &all).at(column.span));
    };
    let data_type = match schema.column(found) {
        Some(column) => arrow_type(column.column_type),
        None if *found == "ts" => crate::table::schema::timestamp_type(),
        None => DataType::Utf8View,
    };
    Ok(((*found).to_string(), data_type))
}
