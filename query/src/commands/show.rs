//! `SHOW TABLES` and `DESCRIBE`.

use super::blocking;
use crate::error::Result;
use crate::plan::catalog::plain_name;
use crate::plan::context::StatementContext;
use crate::result::QueryResult;
use crate::run::Runner;
use crate::table::count::visible_rows;
use crate::table::schema::sql_name;
use datafusion::arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use datafusion::common::{DataFusionError, TableReference};
use datafusion::logical_expr::planner::ContextProvider;
use datafusion::sql::sqlparser::ast::{ObjectName, Spanned};
use std::sync::Arc;

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
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("table_name", Arc::new(StringArray::from_iter_values(&names))),
        ("table_type", Arc::new(StringArray::from_iter_values(kinds))),
        ("events", Arc::new(events.await?)),
    ];
    let batch = RecordBatch::try_from_iter(columns).map_err(DataFusionError::from)?;
    Ok(QueryResult::batch(batch, Arc::clone(&runner.statement), "SHOW TABLES"))
}

/// `DESCRIBE`: the columns of a table or a view, as a query finds them.
pub(super) fn columns(runner: &Runner<'_>, name: &ObjectName) -> Result<QueryResult> {
    let catalog = &runner.shared.catalog;
    let plain = plain_name(name)?;
    let found = catalog.resolve(&plain).ok_or_else(|| catalog.no_such_table(&plain).at(name.span()))?;
    let context = StatementContext::new(&runner.state, &runner.names);
    let schema = context.get_table_source(TableReference::bare(found))?.schema();
    let fields = || schema.fields().iter();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("column_name", Arc::new(fields().map(|field| Some(field.name().as_str())).collect::<StringArray>())),
        ("data_type", Arc::new(fields().map(|field| Some(sql_name(field.data_type()))).collect::<StringArray>())),
        ("nullable", Arc::new(fields().map(|field| Some(field.is_nullable())).collect::<BooleanArray>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).map_err(DataFusionError::from)?;
    Ok(QueryResult::batch(batch, Arc::clone(&runner.statement), "DESCRIBE"))
}
