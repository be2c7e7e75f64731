//! Which aggregations look at no cohort: sums of users over all cohorts, of periods and groups. The cohorts of a group are then
//! counted as one, and there are few rows to add up.

use super::{Emit, Retention};
use crate::plan::node::OperatorNode;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, Extension, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use std::sync::Arc;

/// Lets RETENTION merge the cohorts that an aggregation would add up.
#[derive(Debug)]
pub(crate) struct MergedCohorts;

impl OptimizerRule for MergedCohorts {
    fn name(&self) -> &str {
        "merged_cohorts"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Aggregate(mut aggregate) if looks_at_no_cohort(&aggregate) => {
                aggregate.input = Arc::new(merged(aggregate.input.as_ref().clone())?);
                Ok(Transformed::yes(LogicalPlan::Aggregate(aggregate)))
            }
            plan => Ok(Transformed::no(plan)),
        }
    }
}

/// What a column of RETENTION's answer is, as far as it is the same for the cohorts of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A `by` column or the period.
    Group,
    /// A number of users.
    Users,
}

/// Whether an aggregation is over cohorts that are told apart so far, and gives the same where they are one.
fn looks_at_no_cohort(aggregate: &Aggregate) -> bool {
    let part = |expr: &Expr| match expr.clone().unalias_nested().data {
        Expr::Column(column) => part_of(&aggregate.input, &column),
        _ => None,
    };
    let is_sum = |expr: &Expr| match expr.clone().unalias_nested().data {
        Expr::AggregateFunction(AggregateFunction { func, params }) if func.name() == "sum" => {
            let is_plain = !params.distinct && params.filter.is_none() && params.order_by.is_empty();
            matches!(params.args.as_slice(), [arg] if is_plain && part(arg) == Some(Part::Users))
        }
        _ => false,
    };
    let are_groups = aggregate.group_expr.iter().all(|expr| part(expr) == Some(Part::Group));
    are_groups && !aggregate.aggr_expr.is_empty() && aggregate.aggr_expr.iter().all(is_sum)
}

/// What a column of `plan` is, where `plan` only chooses columns of RETENTION, and rows by [`Part::Group`] columns.
fn part_of(plan: &LogicalPlan, column: &Column) -> Option<Part> {
    match plan {
        LogicalPlan::Extension(extension) => {
            let node = node_of(extension)?;
            let (at, by) = (place_of(plan.schema(), column)?, node.frame.by.len());
            let is_open = node.operator.emit == Emit::Matrix && !node.operator.merged;
            let part = match at {
                at if (1..=by).contains(&at) || at == by + 2 => Part::Group,
                at if at == by + 1 || at == by + 3 => Part::Users,
                _ => return None,
            };
            is_open.then_some(part)
        }
        LogicalPlan::Projection(projection) => {
            let expr = projection.expr.get(place_of(&projection.schema, column)?)?;
            match expr.clone().unalias_nested().data {
                Expr::Column(inner) => part_of(&projection.input, &inner),
                _ => None,
            }
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let at = place_of(&alias.schema, column)?;
            part_of(&alias.input, &alias.input.schema().columns()[at])
        }
        LogicalPlan::Filter(filter) => {
            let columns = filter.predicate.column_refs();
            let is_plain = !filter.predicate.is_volatile() && !has_subquery(&filter.predicate);
            let of_groups = columns.into_iter().all(|column| part_of(&filter.input, column) == Some(Part::Group));
            if is_plain && of_groups { part_of(&filter.input, column) } else { None }
        }
        _ => None,
    }
}

fn has_subquery(predicate: &Expr) -> bool {
    let is_subquery = |expr: &Expr| {
        matches!(expr, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_))
    };
    predicate.exists(|expr| Ok(is_subquery(expr))).unwrap_or(true)
}

fn place_of(schema: &DFSchema, column: &Column) -> Option<usize> {
    schema.maybe_index_of_column(column)
}

fn node_of(extension: &Extension) -> Option<&OperatorNode<Retention>> {
    extension.node.as_any().downcast_ref()
}

/// The plan with the first RETENTION on the way told to merge.
fn merged(plan: LogicalPlan) -> Result<LogicalPlan> {
    let changed = plan.transform_down(|plan| {
        let LogicalPlan::Extension(extension) = &plan else { return Ok(Transformed::no(plan)) };
        let Some(node) = node_of(extension) else { return Ok(Transformed::no(plan)) };
        let mut node = node.clone();
        node.operator = Arc::new(Retention { merged: true, ..node.operator.as_ref().clone() });
        let changed = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(Transformed::new(changed, true, TreeNodeRecursion::Stop))
    });
    changed.map(|changed| changed.data)
}
