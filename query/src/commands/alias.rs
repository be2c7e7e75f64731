//! `ALIAS`, `UNALIAS` and `SHOW ALIASES`.

use super::blocking;
use crate::error::{Error, Result};
use crate::result::QueryResult;
use crate::run::Runner;
use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{Expr, ObjectName, Spanned};
use std::sync::Arc;
use trodden_engine::aliases::{Alias, Aliases};

/// `ALIAS source TO target ON table`: how many aliases there are more.
pub(super) async fn alias(
    runner: &Runner<'_>,
    (source, target): (&Expr, &Expr),
    table: &ObjectName,
) -> Result<QueryResult> {
    let table = runner.shared.catalog.table(table)?;
    let (from, to) = (user_id(runner, source)?, user_id(runner, target)?);
    let is_new = blocking(move || Ok(table.alias(&from, &to)?)).await.map_err(|error| error.at(source.span()))?;
    super::counts(&runner.statement, "ALIAS", &[("aliases_made", i64::from(is_new))])
}

/// `UNALIAS source ON table`.
pub(super) async fn unalias(runner: &Runner<'_>, source: &Expr, table: &ObjectName) -> Result<QueryResult> {
    let table = runner.shared.catalog.table(table)?;
    let id = user_id(runner, source)?;
    blocking(move || Ok(table.unalias(&id)?)).await.map_err(|error| error.at(source.span()))?;
    Ok(QueryResult::done(Arc::clone(&runner.statement), "UNALIAS"))
}

/// `SHOW ALIASES [ON table]`: each alias, the person at the end of its chain, and whether it can still be taken back.
pub(super) fn show(runner: &Runner<'_>, table: Option<&ObjectName>) -> Result<QueryResult> {
    let catalog = &runner.shared.catalog;
    let tables = match table {
        Some(name) => vec![catalog.table(name)?],
        None => catalog.engine.tables().iter().filter_map(|name| catalog.engine.table(name).ok()).collect(),
    };
    let tables: Vec<(String, Arc<Aliases>)> =
        tables.iter().map(|table| (table.name().to_string(), table.aliases())).collect();
    let rows: Vec<(&str, &Aliases, &Alias)> = tables
        .iter()
        .flat_map(|(name, aliases)| aliases.iter().map(move |alias| (name.as_str(), aliases.as_ref(), alias)))
        .collect();
    let batch = RecordBatch::try_from_iter(alias_columns(&rows)).map_err(DataFusionError::from)?;
    Ok(QueryResult::batch(batch, Arc::clone(&runner.statement), "SHOW ALIASES"))
}

pub(super) fn alias_columns(rows: &[(&str, &Aliases, &Alias)]) -> Vec<(&'static str, ArrayRef)> {
    let texts = |text: &dyn for<'a> Fn(&(&'a str, &'a Aliases, &'a Alias)) -> &'a str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(text)))
    };
    vec![
        ("table_name", texts(&|row| row.0)),
        ("alias", texts(&|row| &row.2.source.id)),
        ("target", texts(&|row| &row.2.target.id)),
        ("person", texts(&|row| row.1.resolve(&row.2.source.id))),
        ("joined", Arc::new(rows.iter().map(|row| Some(row.2.joined)).collect::<BooleanArray>())),
    ]
}

/// The id of a user: a text or what can be one, or a parameter.
fn user_id(runner: &Runner<'_>, expr: &Expr) -> Result<String> {
    let wrong = || {
        Error::invalid(format!("'{expr}' is not the id of a user"))
            .with_hint("write ids as texts: ALIAS 'anon-1' TO 'u42' ON events")
            .at(expr.span())
    };
    let value = match expr {
        // A word without quotes is no column here, and no text either.
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => return Err(wrong()),
        _ => runner.constant(expr).map_err(|error| error.at(expr.span()))?,
    };
    match value.cast_to(&DataType::Utf8)? {
        ScalarValue::Utf8(Some(id)) => Ok(id),
        _ => Err(wrong()),
    }
}
