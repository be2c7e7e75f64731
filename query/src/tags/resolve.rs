//! Which table's tags does a call mean? Those of the only event table below it, or of the one that its column comes from;
//! `'table.tag'` says so where neither is clear.

use super::bind::{map_calls, tag_named};
use super::function::TagFunction;
use super::no_such_tag;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::catalog::Names;
use crate::plan::peel::{TableHandle, event_tables};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, LogicalPlan};
use datafusion::sql::parser::{CopyToSource, Statement as DfStatement};
use datafusion::sql::sqlparser::ast::{self, Expr as SqlExpr, Spanned, visit_expressions};
use datafusion::sql::sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

/// The plan with the table of every call of a function of tags.
///
/// # Errors
/// `NotFound` for a tag that is not there, `InvalidInput` where it is not clear which table's tags are meant.
pub(crate) fn resolve(plan: LogicalPlan, names: &Names) -> Result<LogicalPlan> {
    map_calls(plan, &|inputs, function, args| {
        if function.means.is_some() {
            return Ok(None);
        }
        Ok(Some(function.meaning(meant(inputs, function, args, names)?)))
    })
}

fn meant(inputs: &[LogicalPlan], function: &TagFunction, args: &[Expr], names: &Names) -> Result<(String, String)> {
    let who = check_arguments(inputs, function, args)?;
    let written = tag_named(args)?;
    let table = table_of(inputs, who);
    if let Some(table) = &table {
        let table = table.get();
        if table.snapshot.tags().get(written).is_some() {
            return Ok((table.snapshot.table.clone(), written.to_string()));
        }
    }
    if let Some((prefix, tag)) = written.split_once('.')
        && let Some(found) = names.catalog.resolve(prefix)
    {
        let tags = names.pinned(&found)?.snapshot.tags();
        return match tags.get(tag) {
            Some(_) => Ok((found, tag.to_string())),
            None => Err(no_such_tag(tag, &found, &tags)),
        };
    }
    match table {
        Some(table) => Err(no_such_tag(written, &table.get().snapshot.table, &table.get().snapshot.tags())),
        None => {
            let call = function.asks.in_capitals();
            let message = format!("which table's tags {call} means is not clear: '{who}' is of no single event table");
            Err(Error::invalid(message).with_hint(format!("name the table with the tag: '<table>.{written}'")))
        }
    }
}

/// The first argument, if the number of them is right and it is a text.
fn check_arguments<'a>(inputs: &[LogicalPlan], function: &TagFunction, args: &'a [Expr]) -> Result<&'a Expr> {
    let (call, shown) = (function.asks.in_capitals(), function.asks.shown());
    let is_right = (2..=function.asks.most_arguments()).contains(&args.len());
    let Some(who) = args.first().filter(|_| is_right) else {
        let message = format!("{call} does not have {} arguments", args.len());
        return Err(Error::invalid(message).with_hint(format!("write {shown}")));
    };
    let inputs: Vec<&LogicalPlan> = inputs.iter().collect();
    match who.get_type(&merge_schema(&inputs)) {
        Ok(given) if !matches!(given, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null) => {
            let message = format!("{call} looks for the id of a user, which is TEXT, not {given}");
            Err(Error::invalid(message).with_hint(format!("write {shown}, or convert it: CAST(… AS TEXT)")))
        }
        _ => Ok(who),
    }
}

/// The table whose users `who` names.
fn table_of(inputs: &[LogicalPlan], who: &Expr) -> Option<TableHandle> {
    if who.exists(|expr| Ok(matches!(expr, Expr::OuterReferenceColumn(..)))).unwrap_or(true) {
        // It is of no input here.
        return None;
    }
    let below: Vec<TableHandle> = inputs.iter().flat_map(event_tables).collect();
    if let Some(only) = only(below) {
        return Some(only);
    }
    let columns = who.column_refs();
    let column = columns.iter().next().filter(|_| columns.len() == 1)?;
    inputs.iter().find_map(|input| origin(input, column))
}

/// The table, if all of `tables` are one.
pub(crate) fn only(mut tables: Vec<TableHandle>) -> Option<TableHandle> {
    let first = tables.pop()?;
    let id = first.get().snapshot.id;
    tables.iter().all(|other| other.get().snapshot.id == id).then_some(first)
}

/// The event table that a column of `plan` comes from.
fn origin(plan: &LogicalPlan, column: &Column) -> Option<TableHandle> {
    let index = plan.schema().maybe_index_of_column(column)?;
    if let Some(only) = only(event_tables(plan)) {
        return Some(only);
    }
    let of_expr = |expr: &Expr, input: &LogicalPlan| match expr.clone().unalias_nested().data {
        Expr::Column(column) => origin(input, &column),
        _ => None,
    };
    match plan {
        LogicalPlan::Projection(projection) => of_expr(&projection.expr[index], &projection.input),
        LogicalPlan::Aggregate(aggregate) => of_expr(aggregate.group_expr.get(index)?, &aggregate.input),
        LogicalPlan::SubqueryAlias(alias) => {
            origin(&alias.input, &Column::from(alias.input.schema().qualified_field(index)))
        }
        LogicalPlan::Join(join) => [&join.left, &join.right].into_iter().find_map(|side| origin(side, column)),
        LogicalPlan::Distinct(Distinct::All(_))
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Repartition(_) => origin(plan.inputs().first()?, column),
        _ => None,
    }
}

/// The error at the first call that it may be about: the one whose tag it names, or any.
pub(crate) fn at_call(error: Error, statement: &DfStatement) -> Error {
    let is_about_tags = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput);
    if error.span().is_some() || !is_about_tags {
        return error;
    }
    let calls = calls(statement);
    let named = calls.iter().find(|(tag, _)| {
        let plain = tag.split_once('.').map_or(tag.as_str(), |(_, tag)| tag);
        [tag.as_str(), plain].iter().any(|name| error.message().contains(&format!("'{name}'")))
    });
    match named.or(calls.first()) {
        Some((_, span)) => error.at(*span),
        None => error,
    }
}

/// The tags that calls name, and where.
fn calls(statement: &DfStatement) -> Vec<(String, Span)> {
    let mut found = Vec::new();
    let mut visit = |expr: &SqlExpr| {
        if let SqlExpr::Function(call) = expr
            && let Some(place) = match call.name.to_string().to_lowercase().as_str() {
                "has_tag" | "tag_value" => Some(1),
                "tag" => Some(0),
                _ => None,
            }
            && let ast::FunctionArguments::List(list) = &call.args
            && let Some(ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(tag))) = list.args.get(place)
        {
            let text = match tag {
                SqlExpr::Value(value) => value.value.clone().into_string().unwrap_or_default(),
                other => other.to_string(),
            };
            found.push((text, tag.span()));
        }
        ControlFlow::<()>::Continue(())
    };
    match statement {
        DfStatement::Statement(ast) => drop(visit_expressions(&**ast, &mut visit)),
        DfStatement::Explain(explain) => return calls(&explain.statement),
        DfStatement::CopyTo(copy) => {
            if let CopyToSource::Query(query) = &copy.source {
                let _ = visit_expressions(&**query, &mut visit);
            }
        }
        _ => {}
    }
    found
}
