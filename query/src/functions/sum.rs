//! `SUM` that is exact over whole numbers: the total has 128 bits until it is told, so that neither the order of rows nor threads
//! decide whether it fits. Over any other type it is DataFusion's.

use super::total::{DistinctTotal, Total};
use super::totals::Totals;
use super::whole::TOTAL;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, Expr, GroupsAccumulator, Operator, ReversedUDAF, SetMonotonicity,
    Signature, StatisticsArgs,
};

/// `SUM`, which says of itself what DataFusion's does.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ExactSum(Sum);

/// Whether the sum is one of whole numbers: arguments that are narrower are widened before.
fn is_whole(sum: &DataType) -> bool {
    matches!(sum, DataType::Int64 | DataType::UInt64)
}

/// The total of one group or window of whole numbers; `None` for other sums.
fn total(args: &AccumulatorArgs<'_>) -> Option<Box<dyn Accumulator>> {
    Some(match (args.return_type(), args.is_distinct) {
        (DataType::Int64, false) => Box::new(Total::<Int64Type>::new()),
        (DataType::Int64, true) => Box::new(DistinctTotal::<Int64Type>::new()),
        (DataType::UInt64, false) => Box::new(Total::<UInt64Type>::new()),
        (DataType::UInt64, true) => Box::new(DistinctTotal::<UInt64Type>::new()),
        _ => return None,
    })
}

impl AggregateUDFImpl for ExactSum {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn aliases(&self) -> &[String] {
        self.0.aliases()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.0.return_type(arg_types)
    }

    fn is_nullable(&self) -> bool {
        self.0.is_nullable()
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match total(&args) {
            Some(total) => Ok(total),
            None => self.0.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        if args.is_distinct || !is_whole(args.return_type()) {
            return self.0.state_fields(args);
        }
        Ok(vec![Field::new(format_state_name(args.name, "sum"), TOTAL, true).into()])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.0.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        match args.return_type().clone() {
            DataType::Int64 => Ok(Box::new(Totals::<Int64Type>::new())),
            DataType::UInt64 => Ok(Box::new(Totals::<UInt64Type>::new())),
            _ => self.0.create_groups_accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        match total(&args) {
            Some(total) => Ok(total),
            None => self.0.create_sliding_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.0.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.0.reverse_expr()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.0.set_monotonicity(data_type)
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.0.default_value(data_type)
    }

    /// `sum(x + 1)` as `sum(x) + 1 * count(x)`: not of whole numbers, since either part may not fit where the sum does.
    fn simplify_expr_op_literal(
        &self,
        agg_function: &AggregateFunction,
        arg: &Expr,
        op: Operator,
        lit: &Expr,
        arg_is_left: bool,
    ) -> Result<Option<Expr>> {
        match lit {
            Expr::Literal(value, _) if value.data_type().is_integer() => Ok(None),
            _ => self.0.simplify_expr_op_literal(agg_function, arg, op, lit, arg_is_left),
        }
    }

    /// Nothing tells whether a sum in the statistics of a column of whole numbers wrapped around.
    fn value_from_stats(&self, statistics_args: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        if is_whole(statistics_args.return_type) { None } else { self.0.value_from_stats(statistics_args) }
    }
}
