//! `UPSERT INTO NAME_users`: rows of a query update profiles.

use super::sink::ProfileSink;
use crate::commands::insert::stored_type;
use crate::commands::{clock_us, counts};
use crate::error::{Error, Result};
use crate::plan::catalog::normalised;
use crate::result::QueryResult;
use crate::run::Runner;
use crate::table::schema::{arrow_type, column_type_of, timestamp_type};
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::physical_plan::execute_stream;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query, Spanned, Statement as Ast};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::sync::Arc;
use trodden_engine::types::Schema;

/// Run an `UPSERT`.
///
/// # Errors
/// What is wrong with it, at its place, and what the disk says.
pub(crate) async fn run(
    runner: Runner<'_>,
    name: &ObjectName,
    columns: &[Ident],
    query: &Query,
) -> Result<QueryResult> {
    let catalog = &runner.shared.catalog;
    let events = catalog.profiled(name)?;
    let plan = runner.logical(&DfStatement::Statement(Box::new(Ast::Query(Box::new(query.clone())))))?;
    // Before types are chosen: those of the values decide.
    let plan = runner.with_parameters(plan)?;
    let known = events.profiles().map(|profiles| profiles.schema()).unwrap_or_default();
    let targets = targets(name, columns, &plan, &known)?;
    let plan = typed(plan, &targets, &known)?;
    let physical = runner.physical(plan).await?;
    let Some(now_us) = clock_us(&runner) else { return Err(Error::internal("a statement without a clock")) };
    let engine = Arc::clone(&catalog.engine);
    let sink = ProfileSink { engine, events, now_us, statement: Arc::clone(&runner.statement) };
    let stored = sink.write_all(execute_stream(physical, runner.task_context())?).await?;
    counts(&runner.statement, "UPSERT", &[("count", i64::try_from(stored).unwrap_or(i64::MAX))])
}

/// What each column of the query is: the names that are given, or its own.
fn targets(name: &ObjectName, columns: &[Ident], plan: &LogicalPlan, known: &Schema) -> Result<Vec<String>> {
    let found = plan.schema().fields().len();
    let own = || plan.schema().fields().iter().map(|field| Ident::with_quote('"', field.name())).collect();
    let given: Vec<Ident> = if columns.is_empty() { own() } else { columns.to_vec() };
    if given.len() != found {
        let message = format!("{} columns are filled, but there are {found} values", given.len());
        return Err(Error::invalid(message).with_hint("name as many columns as there are values").at(name.span()));
    }
    let mut targets: Vec<String> = Vec::with_capacity(found);
    for ident in &given {
        let target = target(ident, known);
        let at = if columns.is_empty() { name.span() } else { ident.span };
        refuse_reserved(&target, at)?;
        if targets.contains(&target) {
            return Err(Error::invalid(format!("column '{target}' is listed twice")).at(at));
        }
        targets.push(target);
    }
    if !targets.iter().any(|target| target == "user_id") {
        return Err(Error::invalid("an UPSERT needs the column user_id")
            .with_hint(format!("name the columns: UPSERT INTO {name} (user_id, …) VALUES …"))
            .at(name.span()));
    }
    Ok(targets)
}

/// The column that a name means: one that is there, or a new one.
fn target(ident: &Ident, known: &Schema) -> String {
    let name = normalised(ident);
    let own = known.columns.iter().map(|column| column.name.as_str());
    let all: Vec<&str> = ["user_id", "ts", "event_id"].into_iter().chain(own).collect();
    let unquoted = ident.quote_style.is_none();
    let alike = || all.iter().find(|known| unquoted && known.eq_ignore_ascii_case(&name));
    let found = all.iter().find(|known| **known == name).or_else(alike);
    found.map_or(name.clone(), |found| (*found).to_string())
}

fn refuse_reserved(target: &str, at: Span) -> Result<()> {
    let refused =
        |hint: &str| Err(Error::invalid(format!("a profile has no column '{target}' to set")).with_hint(hint).at(at));
    match target {
        "user_id" | "ts" | "event_id" => Ok(()),
        "updated_at" => refused("give the time of the update as ts, or leave it away to take that of the statement"),
        other if trodden_engine::profiles::is_reserved(other) => refused("choose another name"),
        _ => Ok(()),
    }
}

/// The query with the names of the columns, and the types in which they are stored.
fn typed(plan: LogicalPlan, targets: &[String], known: &Schema) -> Result<LogicalPlan> {
    let sources = plan.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)));
    let sources: Vec<_> = sources.collect();
    let exprs = sources.into_iter().zip(targets).map(|((qualifier, field), target)| {
        let column = Expr::Column(datafusion::common::Column::new(qualifier, field.name()));
        let wanted = wanted_type(target, field.data_type(), known);
        match stored_type(field.data_type(), &wanted) {
            Some(data_type) => cast(column, data_type).alias(target),
            None => column.alias(target),
        }
    });
    let exprs: Vec<Expr> = exprs.collect();
    Ok(LogicalPlanBuilder::from(plan).project(exprs)?.build()?)
}

fn wanted_type(target: &str, source: &DataType, known: &Schema) -> DataType {
    match (target, known.column(target)) {
        ("ts", _) => timestamp_type(),
        ("user_id" | "event_id", _) => DataType::Utf8View,
        (_, Some(column)) => arrow_type(column.column_type),
        // A new column whose values are all NULL gets its type from the first one.
        (_, None) if source.is_null() => DataType::Null,
        (_, None) => column_type_of(source).map_or(DataType::Utf8View, arrow_type),
    }
}
