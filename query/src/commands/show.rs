//! `SHOW TABLES`, `SHOW RECOMMENDERS` and `DESCRIBE`.

use super::blocking;
use crate::error::Result;
use crate::plan::catalog::plain_name;
use crate::plan::context::StatementContext;
use crate::plan::recommend::{LiveModel, LiveState};
use crate::result::QueryResult;
use crate::run::Runner;
use crate::table::count::visible_rows;
use crate::table::schema::sql_name;
use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::Schema;
use datafusion::common::{DataFusionError, TableReference};
use datafusion::logical_expr::planner::ContextProvider;
use datafusion::sql::sqlparser::ast::{ObjectName, Spanned};
use std::sync::Arc;
use trodden_engine::engine::profiles_name;

/// `SHOW TABLES`: names, kinds, and how many events a query would find.
pub(super) async fn tables(runner: &Runner<'_>) -> Result<QueryResult> {
    let catalog = Arc::clone(&runner.shared.catalog);
    let views = catalog.views.read().clone();
    let names = catalog.names();
    let kinds: Vec<_> = names.iter().map(|name| if views.contains_key(name) { "VIEW" } else { "TABLE" }).collect();
    let tables: Vec<_> = names.iter().map(|name| catalog.engine.table(name).ok()).collect();
    let events = blocking(move || {
        let mut events = Vec::with_capacity(tables.len());
        for table in tables {
            let rows = table.map(|table| visible_rows(&table.snapshot())).transpose()?;
            events.push(rows.and_then(|rows| i64::try_from(rows).ok()));
        }
        Ok(Int64Array::from(events))
    });
    let columns = table_columns(&names, &kinds, events.await?);
    let batch = RecordBatch::try_from_iter(columns).map_err(DataFusionError::from)?;
    Ok(QueryResult::batch(batch, Arc::clone(&runner.statement), "SHOW TABLES"))
}

pub(super) fn table_columns(names: &[String], kinds: &[&str], events: Int64Array) -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("table_name", Arc::new(StringArray::from_iter_values(names))),
        ("table_type", Arc::new(StringArray::from_iter_values(kinds))),
        ("events", Arc::new(events)),
    ]
}

/// `SHOW RECOMMENDERS`: what is kept in memory for RECOMMEND, a row for each model, and one for a state without any.
pub(super) fn recommenders(runner: &Runner<'_>) -> Result<QueryResult> {
    let columns = recommender_columns(&runner.shared.live.list(), runner.shared.options.live.limit_bytes);
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)));
    let batch = batch.map_err(DataFusionError::from)?;
    Ok(QueryResult::batch(batch, Arc::clone(&runner.statement), "SHOW RECOMMENDERS"))
}

pub(super) fn recommender_columns(states: &[LiveState], limit_bytes: usize) -> Vec<(&'static str, ArrayRef)> {
    let rows: Vec<(&LiveState, Option<&LiveModel>)> = states
        .iter()
        .flat_map(|state| {
            let none = state.models.is_empty().then_some((state, None));
            state.models.iter().map(move |model| (state, Some(model))).chain(none)
        })
        .collect();
    let texts = |text: &dyn Fn(&LiveState) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(state, _)| text(state))))
    };
    let numbers = |number: &dyn Fn(&LiveState) -> usize| -> ArrayRef {
        Arc::new(rows.iter().map(|(state, _)| i64::try_from(number(state)).ok()).collect::<Int64Array>())
    };
    vec![
        ("table_name", texts(&|state| state.table.clone())),
        ("source", texts(&|state| state.source.clone())),
        ("interactions", numbers(&|state| state.interactions)),
        ("items", numbers(&|state| state.items)),
        ("memory_bytes", numbers(&|state| state.memory_bytes)),
        ("limit_bytes", numbers(&|_| limit_bytes)),
        ("last_question", texts(&|state| state.brought.clone())),
        ("model", Arc::new(rows.iter().map(|(_, model)| model.map(|model| model.using)).collect::<StringArray>())),
        (
            "model_age_s",
            Arc::new(
                rows.iter().map(|(_, model)| model.map(|model| model.age.as_secs_f64())).collect::<Float64Array>(),
            ),
        ),
    ]
}

/// `DESCRIBE`: the columns of a table or a view, as a query finds them.
pub(super) fn columns(runner: &Runner<'_>, name: &ObjectName) -> Result<QueryResult> {
    let catalog = &runner.shared.catalog;
    let plain = plain_name(name)?;
    let profiles = || catalog.profiles_of(&plain).map(|table| profiles_name(&table));
    let found = catalog.resolve(&plain).or_else(profiles);
    let found = found.ok_or_else(|| catalog.no_such_table(&plain).at(name.span()))?;
    let context = StatementContext::new(&runner.state, &runner.names);
    let schema = context.get_table_source(TableReference::bare(found))?.schema();
    let batch = RecordBatch::try_from_iter(described(&schema)).map_err(DataFusionError::from)?;
    Ok(QueryResult::batch(batch, Arc::clone(&runner.statement), "DESCRIBE"))
}

pub(super) fn described(schema: &Schema) -> Vec<(&'static str, ArrayRef)> {
    let fields = || schema.fields().iter();
    vec![
        ("column_name", Arc::new(fields().map(|field| Some(field.name().as_str())).collect::<StringArray>())),
        ("data_type", Arc::new(fields().map(|field| Some(sql_name(field.data_type()))).collect::<StringArray>())),
        ("nullable", Arc::new(fields().map(|field| Some(field.is_nullable())).collect::<BooleanArray>())),
    ]
}
