//! `SUM` beside an aggregate of DISTINCT values. DataFusion takes such an aggregation apart: it groups by the values too, and
//! sums the sums of these groups, of which none may need to fit. So they are sums of decimals here.

use super::narrow::narrow_to;
use super::whole::TOTAL;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::optimizer::single_distinct_to_groupby::SingleDistinctToGroupBy;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use std::sync::Arc;

/// DataFusion's rule, which sums whole numbers exactly.
#[derive(Debug, Default)]
pub(crate) struct DistinctBesideSums(SingleDistinctToGroupBy);

impl OptimizerRule for DistinctBesideSums {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return self.0.rewrite(plan, config) };
        let sums = aggregate.aggr_expr.iter().map(|expr| whole_sum(expr, aggregate)).collect::<Result<Vec<_>>>()?;
        if sums.iter().all(Option::is_none) || !aggregate.aggr_expr.iter().any(is_distinct) {
            return self.0.rewrite(plan, config);
        }
        // Where a column of the answer would have no name of its own, it stays as it is.
        let Ok(wide) = in_decimals(aggregate) else { return Ok(Transformed::no(plan)) };
        let apart = self.0.rewrite(LogicalPlan::Aggregate(wide), config)?;
        if !apart.transformed {
            return Ok(Transformed::no(plan));
        }
        narrowed(apart.data, aggregate, &sums).map(Transformed::yes)
    }
}

/// The type of an aggregate that is a sum of whole numbers, and not of DISTINCT ones; `None` for others.
fn whole_sum(expr: &Expr, aggregate: &Aggregate) -> Result<Option<DataType>> {
    match expr {
        Expr::AggregateFunction(AggregateFunction { func, params }) if func.name() == "sum" && !params.distinct => {
            let data_type = expr.get_type(aggregate.input.schema())?;
            Ok(Some(data_type).filter(DataType::is_integer))
        }
        _ => Ok(None),
    }
}

fn is_distinct(expr: &Expr) -> bool {
    matches!(expr, Expr::AggregateFunction(call) if call.params.distinct)
}

/// The aggregation with its sums of whole numbers in decimals.
fn in_decimals(aggregate: &Aggregate) -> Result<Aggregate> {
    let wide = |expr: &Expr| -> Result<Expr> {
        let mut expr = expr.clone();
        if let (Some(_), Expr::AggregateFunction(sum)) = (whole_sum(&expr, aggregate)?, &mut expr) {
            for arg in &mut sum.params.args {
                *arg = cast(arg.clone(), TOTAL);
            }
        }
        Ok(expr)
    };
    let exprs = aggregate.aggr_expr.iter().map(wide).collect::<Result<Vec<_>>>()?;
    Aggregate::try_new(Arc::clone(&aggregate.input), aggregate.group_expr.clone(), exprs)
}

/// The plan with the columns of `aggregate`, where `sums` has the types of those of its aggregates that are decimals now.
fn narrowed(plan: LogicalPlan, aggregate: &Aggregate, sums: &[Option<DataType>]) -> Result<LogicalPlan> {
    let groups = aggregate.schema.fields().len() - sums.len();
    let types = std::iter::repeat_n(None, groups).chain(sums.iter().cloned());
    let columns = plan.schema().columns().into_iter().map(Expr::Column).zip(types);
    let exprs: Vec<Expr> = columns
        .zip(aggregate.schema.iter())
        .map(|((column, data_type), (qualifier, field))| {
            let column = match data_type {
                Some(data_type) => narrow_to(column, data_type),
                None => column,
            };
            column.alias_qualified(qualifier.cloned(), field.name().clone())
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}
