//! `CREATE RULE`, `DROP RULE`, `SHOW RULES`.

use super::blocking;
use crate::database::Statement;
use crate::error::{Error, Result};
use crate::plan::catalog::normalised;
use crate::result::QueryResult;
use crate::rules::{Listed, NewRule};
use crate::run::Runner;
use crate::sql::rules::RuleCommand;
use crate::warnings::Warning;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::common::DataFusionError;
use datafusion::sql::sqlparser::ast::ObjectName;
use std::sync::Arc;
use trodden_engine::Table;

/// Run a statement about rules.
///
/// # Errors
/// What is wrong with it, at its place, and what the disk says.
pub(super) async fn run(runner: Runner<'_>, command: &RuleCommand, statement: &Statement) -> Result<QueryResult> {
    let catalog = &runner.shared.catalog;
    match command {
        RuleCommand::Create { .. } => create(runner, command, statement).await,
        RuleCommand::Drop { name, table, if_exists } => {
            let (table, book, if_exists) = (catalog.table(table)?, Arc::clone(&runner.shared.rules), *if_exists);
            let (rule, span) = (normalised(name), name.span);
            let dropped = blocking(move || book.drop_rule(&table, &rule, if_exists)).await;
            dropped.map_err(|error| error.at(span))?;
            Ok(QueryResult::done(runner.statement, "DROP RULE"))
        }
        RuleCommand::Show { table } => show(&runner, table.as_ref()),
    }
}

async fn create(runner: Runner<'_>, command: &RuleCommand, statement: &Statement) -> Result<QueryResult> {
    let RuleCommand::Create { name, table, or_replace, action, condition } = command else {
        return Err(Error::internal("no CREATE RULE"));
    };
    if statement.raw.parameters > 0 {
        return Err(Error::invalid("a rule has no parameters").with_hint("write the value out").at(name.span));
    }
    let (table, book) = (runner.shared.catalog.table(table)?, Arc::clone(&runner.shared.rules));
    let (rule, or_replace, action, condition) = (normalised(name), *or_replace, action.clone(), condition.clone());
    let text = statement.text().to_string();
    let made = blocking(move || {
        let condition = condition.as_ref();
        book.create(&table, NewRule { name: &rule, or_replace, action: &action, condition, statement: &text })
    });
    let warning = made.await.map_err(|error| if error.span().is_some() { error } else { error.at(name.span) })?;
    if let Some(message) = warning {
        let hint = "until it has, the rule finds no value there".to_string();
        runner.statement.warn(Warning { message, hint: Some(hint) });
    }
    Ok(QueryResult::done(runner.statement, "CREATE RULE"))
}

/// `SHOW RULES`: a row for each rule, in the order in which they run.
fn show(runner: &Runner<'_>, table: Option<&ObjectName>) -> Result<QueryResult> {
    let catalog = &runner.shared.catalog;
    let tables: Vec<Arc<Table>> = match table {
        Some(name) => vec![catalog.table(name)?],
        None => catalog.engine.tables().iter().filter_map(|name| catalog.engine.table(name).ok()).collect(),
    };
    let sets: Vec<_> = tables.iter().map(|table| runner.shared.rules.of(table)).collect();
    let rules: Vec<Listed> = sets.iter().flat_map(|set| set.listed()).collect();
    let batch = RecordBatch::try_from_iter(rule_columns(&rules)).map_err(DataFusionError::from)?;
    Ok(QueryResult::batch(batch, Arc::clone(&runner.statement), "SHOW RULES"))
}

pub(super) fn rule_columns(rules: &[Listed]) -> Vec<(&'static str, ArrayRef)> {
    let texts = |text: &dyn for<'a> Fn(&'a Listed) -> &'a String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rules.iter().map(text)))
    };
    vec![
        ("name", texts(&|rule| &rule.name)),
        ("table_name", texts(&|rule| &rule.table)),
        ("position", Arc::new(rules.iter().map(|rule| Some(rule.position)).collect::<Int64Array>())),
        ("definition", texts(&|rule| &rule.definition)),
    ]
}
