//! The order of a relation's own: the `ORDER BY` at its end. DataFusion drops such an order where nothing asks for it, and
//! rows that come from several threads have none. So the keys of the sort are carried as columns of the relation, and the
//! operator makes the order again from them.

use datafusion::arrow::compute::SortOptions;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, LogicalPlanBuilder, Projection, Sort, SubqueryAlias};
use std::sync::Arc;

/// A key of the order: a column of the relation and its direction.
#[derive(Debug, Clone)]
pub(crate) struct OrderKey {
    pub(crate) column: Column,
    pub(crate) options: SortOptions,
}

/// `plan` with the keys of its own order as further columns at its end; `None` where it has no order of its own.
pub(crate) fn with_order(plan: &LogicalPlan) -> Result<Option<(LogicalPlan, Vec<OrderKey>)>> {
    match plan {
        LogicalPlan::Sort(sort) => of_sort(sort).map(Some),
        LogicalPlan::SubqueryAlias(alias) => {
            let Some((input, keys)) = with_order(&alias.input)? else { return Ok(None) };
            let name = alias.alias.clone();
            let under_name =
                |key: OrderKey| OrderKey { column: Column::new(Some(name.clone()), key.column.name), ..key };
            let keys = keys.into_iter().map(under_name).collect();
            let plan = SubqueryAlias::try_new(Arc::new(input), name)?;
            Ok(Some((LogicalPlan::SubqueryAlias(plan), keys)))
        }
        LogicalPlan::Projection(projection) => {
            let Some((input, keys)) = with_order(&projection.input)? else { return Ok(None) };
            let carried = keys.iter().map(|key| Expr::Column(key.column.clone()));
            let exprs = projection.expr.iter().cloned().chain(carried).collect();
            Ok(Some((LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?), keys)))
        }
        LogicalPlan::Filter(filter) => {
            let Some((input, keys)) = with_order(&filter.input)? else { return Ok(None) };
            let plan = Filter::try_new(filter.predicate.clone(), Arc::new(input))?;
            Ok(Some((LogicalPlan::Filter(plan), keys)))
        }
        LogicalPlan::Limit(limit) => {
            let Some((input, keys)) = with_order(&limit.input)? else { return Ok(None) };
            let mut limit = limit.clone();
            limit.input = Arc::new(input);
            Ok(Some((LogicalPlan::Limit(limit), keys)))
        }
        _ => Ok(None),
    }
}

/// A sort whose keys are columns. It stays: a limit above it needs it.
fn of_sort(sort: &Sort) -> Result<(LogicalPlan, Vec<OrderKey>)> {
    let columns = sort.input.schema().columns().into_iter().map(Expr::Column);
    let name = |i: usize| format!("__order_{i}");
    let keys = sort.expr.iter().enumerate().map(|(i, key)| key.expr.clone().alias(name(i)));
    let input = LogicalPlanBuilder::from(sort.input.as_ref().clone()).project(columns.chain(keys))?.build()?;
    let column = |i: usize| Column::new_unqualified(name(i));
    let sorts = sort.expr.iter().enumerate().map(|(i, key)| Expr::Column(column(i)).sort(key.asc, key.nulls_first));
    let plan = Sort { expr: sorts.collect(), input: Arc::new(input), fetch: sort.fetch };
    let keys = sort.expr.iter().enumerate().map(|(i, key)| OrderKey {
        column: column(i),
        options: SortOptions { descending: !key.asc, nulls_first: key.nulls_first },
    });
    Ok((LogicalPlan::Sort(plan), keys.collect()))
}
