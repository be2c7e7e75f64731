//! `INSERT INTO`: the columns of a query become events. Types are kept, so that the table grows and widens as for any
//! other event; only text is read as the type of its column.

use super::column_of_table;
use crate::error::{Error, Result};
use crate::plan::catalog::normalised;
use crate::result::QueryResult;
use crate::run::Runner;
use crate::table::schema::{table_schema, timestamp_type};
use crate::table::sink::EventSink;
use datafusion::arrow::datatypes::DataType;
use datafusion::datasource::sink::DataSink;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::physical_plan::execute_stream;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{Ident, Insert, ObjectName, Spanned, Statement as Ast, TableObject};
use std::sync::Arc;
use trodden_engine::table::Table;

/// Run an `INSERT`.
///
/// # Errors
/// What is wrong with it, at its place, and what the disk says.
pub(crate) async fn run(runner: Runner<'_>, insert: &Insert) -> Result<QueryResult> {
    let source = source(&runner, insert)?;
    // Before types are chosen: those of the values decide.
    let plan = runner.with_parameters(source.plan)?;
    fill(runner, source.table, plan, source.columns).await
}

/// What an `INSERT` reads, and what it fills.
pub(crate) struct Source {
    table: Arc<Table>,
    pub(crate) plan: LogicalPlan,
    columns: Option<Vec<(String, DataType)>>,
}

/// Plan the rows of an `INSERT`.
///
/// # Errors
/// What is wrong with it, at its place.
pub(crate) fn source(runner: &Runner<'_>, insert: &Insert) -> Result<Source> {
    refuse_extras(insert)?;
    let TableObject::TableName(name) = &insert.table else {
        return Err(Error::unsupported("INSERT INTO needs the name of a table"));
    };
    let table = runner.shared.catalog.table(name)?;
    let mut columns = Vec::with_capacity(insert.columns.len());
    for column in &insert.columns {
        let (name, data_type) = column_of_table(&table, last_ident(column)?)?;
        if columns.iter().any(|(other, _)| *other == name) {
            return Err(Error::invalid(format!("column '{name}' is listed twice")).at(column.span()));
        }
        columns.push((name, data_type));
    }
    let Some(query) = &insert.source else {
        return Err(Error::invalid("INSERT needs VALUES or a query").at(name.span()));
    };
    let source = DfStatement::Statement(Box::new(Ast::Query(query.clone())));
    let plan = runner.logical(&source)?;
    let columns = match columns.is_empty() {
        true => None,
        false => Some(columns),
    };
    Ok(Source { table, plan, columns })
}

fn last_ident(name: &ObjectName) -> Result<&Ident> {
    let ident = name.0.last().and_then(|part| part.as_ident());
    ident.ok_or_else(|| Error::invalid(format!("'{name}' is no column")).at(name.span()))
}

fn refuse_extras(insert: &Insert) -> Result<()> {
    let refused = |what: &str| {
        Err(Error::unsupported(format!("INSERT … {what} is not offered"))
            .with_hint("events are added, never changed; the same event_id is stored once"))
    };
    if insert.on.is_some() || insert.or.is_some() || insert.replace_into || insert.overwrite {
        return refused("ON CONFLICT or REPLACE");
    }
    if insert.returning.is_some() {
        return refused("RETURNING");
    }
    Ok(())
}

/// Append the rows of `plan` to `table`. `columns`: what its columns are; `None`: all columns of the table in order, or,
/// where it has names of the table, those.
///
/// # Errors
/// A count of columns that does not fit, a value that is no time, and what the disk says.
pub(crate) async fn fill(
    runner: Runner<'_>,
    table: Arc<Table>,
    plan: LogicalPlan,
    columns: Option<Vec<(String, DataType)>>,
) -> Result<QueryResult> {
    let plan = typed(&table, plan, columns)?;
    let physical = runner.physical(plan).await?;
    let sink = EventSink::new(Arc::clone(&table), table_schema(&table.schema()));
    let context = runner.task_context();
    let rows = execute_stream(physical, Arc::clone(&context))?;
    let accepted = sink.write_all(rows, &context).await?;
    super::counts(&runner.statement, "INSERT", &[("count", i64::try_from(accepted).unwrap_or(i64::MAX))])
}

/// The plan with the names and the types that are stored.
fn typed(table: &Table, plan: LogicalPlan, columns: Option<Vec<(String, DataType)>>) -> Result<LogicalPlan> {
    let columns = match columns {
        Some(columns) => columns,
        None => implied_columns(table, &plan)?,
    };
    let found = plan.schema().fields().len();
    if found != columns.len() {
        return Err(Error::invalid(format!("{} columns are filled, but there are {found} values", columns.len()))
            .with_hint("name the columns: INSERT INTO t (user_id, ts, event, …)"));
    }
    let sources = plan.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)));
    let sources: Vec<_> = sources.collect();
    let exprs = sources.into_iter().zip(&columns).map(|((qualifier, field), (name, wanted))| {
        let column = Expr::Column(datafusion::common::Column::new(qualifier, field.name()));
        let typed = match stored_type(field.data_type(), wanted) {
            Some(data_type) => cast(column, data_type),
            None => column,
        };
        typed.alias(name)
    });
    let exprs: Vec<Expr> = exprs.collect();
    Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
}

impl Source {
    /// Whether its columns fit the table, as far as that shows before it is run.
    ///
    /// # Errors
    /// Those of running it that do not depend on rows.
    pub(crate) fn check(self) -> Result<()> {
        typed(&self.table, self.plan, self.columns).map(drop)
    }
}

/// Without a list of columns a query may name them itself (`SELECT user_id, ts, event, …`); `VALUES` cannot.
fn implied_columns(table: &Table, plan: &LogicalPlan) -> Result<Vec<(String, DataType)>> {
    let names: Vec<&str> = plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let schema = table_schema(&table.schema());
    if ["user_id", "ts", "event"].iter().all(|needed| names.contains(needed)) {
        let typed = |name: &&str| {
            let known = schema.field_with_name(name).map(|field| field.data_type().clone());
            let own = || plan.schema().field_with_unqualified_name(name).map(|field| field.data_type().clone());
            Ok((normalised(&Ident::with_quote('"', *name)), known.or_else(|_| own())?))
        };
        return names.iter().map(typed).collect();
    }
    Ok(schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect())
}

/// The type to convert a value to before it is stored; `None`: it is stored as it is.
pub(crate) fn stored_type(source: &DataType, wanted: &DataType) -> Option<DataType> {
    let text = matches!(source, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8);
    match (source, wanted) {
        (source, wanted) if source == wanted => None,
        (_, DataType::Timestamp(..)) if text || source.is_temporal() => Some(timestamp_type()),
        (_, wanted) if text && !matches!(wanted, DataType::Utf8View) => Some(wanted.clone()),
        _ if text => None,
        (DataType::Null, _) => Some(wanted.clone()),
        (DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..), _) => Some(DataType::Float64),
        (DataType::Decimal256(..) | DataType::Float16 | DataType::Float32, _) => Some(DataType::Float64),
        (DataType::UInt64, _) => Some(DataType::Int64),
        (DataType::Date32 | DataType::Date64, _) => Some(timestamp_type()),
        (DataType::Timestamp(..), _) => Some(timestamp_type()),
        (DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::Map(..), _) => {
            Some(DataType::Utf8)
        }
        (source, _) if source.is_integer() => Some(DataType::Int64),
        _ => None,
    }
}
