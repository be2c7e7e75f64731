//! Which aggregations ask for counts by day, or by day and name.

use super::table::{DailyTable, Measure};
use crate::plan::peel::Peeled;
use crate::table::translate::Translator;
use chrono_tz::Tz;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::{Aggregate, Cast, Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use std::sync::Arc;
use trodden_engine::scan::covers_days;

/// Puts counts by day in place of aggregations that ask for nothing else.
#[derive(Debug)]
pub(crate) struct DailyRule;

impl OptimizerRule for DailyRule {
    fn name(&self) -> &str {
        "counts_by_day"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        match counts(aggregate)? {
            Some(counts) => Ok(Transformed::yes(counts)),
            None => Ok(Transformed::no(plan)),
        }
    }
}

/// The plan of counts by day that gives the same as an aggregation; `None` where there is none.
fn counts(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let Some(peeled) = Peeled::of(&aggregate.input)? else { return Ok(None) };
    let exprs = aggregate.group_expr.iter().chain(&aggregate.aggr_expr);
    let mut measures = Vec::with_capacity(aggregate.schema.fields().len());
    for expr in exprs {
        let rebased = peeled.rebase_all(expr, aggregate.input.schema())?;
        let Some(measure) = rebased.as_ref().and_then(measure_of) else { return Ok(None) };
        measures.push(measure);
    }
    if !are_counts_by_day(&measures, aggregate.group_expr.len()) {
        return Ok(None);
    }
    let table = peeled.table.get();
    let props = ExecutionProps::new();
    let condition =
        Translator { table: table.snapshot.id, schema: &table.schema, props: &props }.conjunction(&peeled.filters)?;
    // Days of SQL are those of UTC.
    let is_utc = table.snapshot.options.tz().is_ok_and(|tz| tz == Tz::UTC);
    let covers = || covers_days(&table.snapshot, &condition.filter, condition.time, false);
    if !is_utc || !covers().map_err(crate::error::Error::from)? {
        return Ok(None);
    }
    let types = aggregate.schema.fields().iter().map(|field| field.data_type().clone());
    let columns = measures.into_iter().zip(types).collect();
    let counts = Arc::new(DailyTable::new(table.snapshot.clone(), condition, columns));
    let scan = LogicalPlanBuilder::scan(counts.name(), provider_as_source(counts), None)?;
    let names = scan.schema().columns();
    let named = names.into_iter().zip(aggregate.schema.iter()).map(|(column, (qualifier, field))| {
        Expr::Column(column).alias_qualified(qualifier.cloned(), field.name().clone())
    });
    Ok(Some(scan.project(named.collect::<Vec<_>>())?.build()?))
}

/// Whether an aggregation, of which so many columns are groups, is by day, or day and name, and counts nothing but users and
/// events.
fn are_counts_by_day(measures: &[Measure], groups: usize) -> bool {
    let (groups, counts) = measures.split_at(groups);
    groups.contains(&Measure::Day)
        && groups.iter().all(|group| matches!(group, Measure::Day | Measure::Name))
        && counts.iter().all(|count| matches!(count, Measure::Users | Measure::Events))
}

/// What an expression over the columns of the table is.
fn measure_of(expr: &Expr) -> Option<Measure> {
    match expr.clone().unalias_nested().data {
        Expr::Column(column) => (column.name == "event").then_some(Measure::Name),
        Expr::AggregateFunction(count) if is_plain_count(&count) => {
            let counted = count.params.args.first()?;
            let is = |name: &str| matches!(counted, Expr::Column(column) if column.name == name);
            if count.params.distinct {
                return is("user_id").then_some(Measure::Users);
            }
            // These are never NULL.
            let never_null = matches!(counted, Expr::Literal(value, _) if !value.is_null())
                || ["user_id", "ts", "event"].into_iter().any(is);
            never_null.then_some(Measure::Events)
        }
        other => day_column(&other).filter(|column| column.name == "ts").map(|_| Measure::Day),
    }
}

fn is_plain_count(call: &AggregateFunction) -> bool {
    let plain = call.params.filter.is_none() && call.params.order_by.is_empty();
    call.func.name() == "count" && plain && call.params.args.len() == 1
}

/// The column of which an expression is the day: a cast to DATE, or `date_trunc('day', …)`.
fn day_column(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Cast(Cast { expr, field }) if *field.data_type() == DataType::Date32 => match expr.as_ref() {
            Expr::Column(column) => Some(column),
            other => truncated(other),
        },
        other => truncated(other),
    }
}

fn truncated(expr: &Expr) -> Option<&Column> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    let [Expr::Literal(unit, _), Expr::Column(column)] = args.as_slice() else { return None };
    let is_day = unit.try_as_str().flatten().is_some_and(|unit| unit.eq_ignore_ascii_case("day"));
    (func.name() == "date_trunc" && is_day).then_some(column)
}
