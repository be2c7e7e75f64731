//! `+`, `-` and `*` of whole numbers that fail where DataFusion's wrap around.
//!
//! Each of them becomes a call of a function before DataFusion looks at the plan, so that constants are computed by it too.
//! `a + b - c` is one call: statements may have a thousand operators in a row, and a call inside a call costs much more than an
//! operator inside an operator does. So a `/` or `%` that follows is part of it, though DataFusion's would do. Nobody sees the
//! function but in `EXPLAIN`: columns are called as before.

use super::overflow;
use crate::error::Error;
use datafusion::arrow::compute::kernels::numeric::{add, div, mul, neg, rem, sub};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::binary::BinaryTypeCoercer;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;
use std::sync::Arc;

/// Puts checked arithmetic in place of DataFusion's.
#[derive(Debug)]
pub(super) struct CheckedArithmetic;

impl FunctionRewrite for CheckedArithmetic {
    fn name(&self) -> &str {
        "checked_arithmetic"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        rewritten(expr, schema)
    }
}

/// The expression with checked arithmetic, for those that are computed outside of a plan.
///
/// # Errors
/// None in practice: those of walking through an expression.
pub(crate) fn checked(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    expr.transform_up(|expr| rewritten(expr, schema)).map(|changed| changed.data)
}

/// One expression, whose parts are done.
fn rewritten(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match (whole_type(&expr, schema), expr) {
        (Some(data_type), Expr::BinaryExpr(BinaryExpr { left, op, right })) => {
            Transformed::yes(chained(*left, op, *right, data_type))
        }
        (Some(data_type), Expr::Negative(inner)) => {
            Transformed::yes(Checked::new(Does::Negate, data_type).call(vec![*inner]))
        }
        (_, expr) => Transformed::no(expr),
    })
}

/// The type that arithmetic over whole numbers is computed in; `None` where `expr` is something else.
fn whole_type(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let is_meant = match op {
                Operator::Plus | Operator::Minus | Operator::Multiply => true,
                Operator::Divide | Operator::Modulo => done(left).is_some(),
                _ => false,
            };
            if !is_meant {
                return None;
            }
            let (left, right) = (type_of(left, schema)?, type_of(right, schema)?);
            if !left.is_integer() || !right.is_integer() {
                return None;
            }
            BinaryTypeCoercer::new(&left, op, &right).get_result_type().ok().filter(DataType::is_integer)
        }
        Expr::Negative(inner) => type_of(inner, schema).filter(DataType::is_signed_integer),
        _ => None,
    }
}

/// The type of an expression, where it is known.
fn type_of(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    match done(expr) {
        Some(done) => Some(done.data_type.clone()),
        None => expr.get_type(schema).ok(),
    }
}

/// The function that an expression calls already.
fn done(expr: &Expr) -> Option<&Checked> {
    match expr {
        Expr::ScalarFunction(call) => Checked::of(call),
        _ => None,
    }
}

/// `left operator right`, as part of the call that `left` is where that is possible.
fn chained(left: Expr, operator: Operator, right: Expr, data_type: DataType) -> Expr {
    let (mut args, mut operators) = match left {
        Expr::ScalarFunction(call) => match Checked::of(&call).and_then(|before| before.chain(&data_type)) {
            Some(operators) => (call.args, operators),
            None => (vec![Expr::ScalarFunction(call)], Vec::new()),
        },
        other => (vec![other], Vec::new()),
    };
    args.push(right);
    operators.push(operator);
    Checked::new(Does::Chain(operators), data_type).call(args)
}

/// What a call computes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Does {
    Negate,
    /// Operators between one more arguments, from left to right.
    Chain(Vec<Operator>),
}

/// Arithmetic over whole numbers of one type, as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    does: Does,
    /// That of all arguments and of the result.
    data_type: DataType,
    name: String,
    signature: Signature,
}

impl Checked {
    fn new(does: Does, data_type: DataType) -> Self {
        let name = match &does {
            Does::Negate => "-".to_string(),
            Does::Chain(operators) => operators.iter().map(ToString::to_string).collect(),
        };
        Self { does, data_type, name, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn of(call: &ScalarFunction) -> Option<&Self> {
        let inner: &dyn std::any::Any = call.func.inner().as_ref();
        inner.downcast_ref::<Self>()
    }

    /// The operators, where those of the same type may follow.
    fn chain(&self, data_type: &DataType) -> Option<Vec<Operator>> {
        match &self.does {
            Does::Chain(operators) if self.data_type == *data_type => Some(operators.clone()),
            _ => None,
        }
    }

    fn call(self, args: Vec<Expr>) -> Expr {
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(self)), args))
    }

    fn computed(&self, args: &[ColumnarValue]) -> Result<ColumnarValue> {
        let (first, others) = args.split_first().ok_or_else(|| Error::internal("arithmetic without an argument"))?;
        match &self.does {
            Does::Negate => negated(first),
            Does::Chain(operators) => {
                let mut result = first.clone();
                for (operator, other) in operators.iter().zip(others) {
                    result = match operator {
                        Operator::Plus => apply(&result, other, add)?,
                        Operator::Minus => apply(&result, other, sub)?,
                        Operator::Multiply => apply(&result, other, mul)?,
                        Operator::Divide => apply(&result, other, div)?,
                        _ => apply(&result, other, rem)?,
                    };
                }
                Ok(result)
            }
        }
    }
}

fn negated(value: &ColumnarValue) -> Result<ColumnarValue> {
    Ok(match value {
        ColumnarValue::Array(values) => ColumnarValue::Array(neg(values)?),
        ColumnarValue::Scalar(value) => {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&neg(&value.to_array()?)?, 0)?)
        }
    })
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        &self.name
    }

    /// As DataFusion calls columns of operators.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let mut names = args.iter().map(|arg| arg.schema_name().to_string());
        let first = names.next().unwrap_or_default();
        Ok(match &self.does {
            Does::Negate => format!("(- {first})"),
            Does::Chain(operators) => operators.iter().zip(names).fold(first, |mut all, (operator, name)| {
                all.push_str(&format!(" {operator} {name}"));
                all
            }),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(vec![self.data_type.clone(); arg_types.len()])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.data_type.clone(), is_nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // A NULL that the optimizer put in may have no type.
        if args.args.iter().any(|arg| arg.data_type() == DataType::Null) {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from(&self.data_type)?));
        }
        self.computed(&args.args).map_err(|error| overflow::of_kernel(error, &self.data_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{Schema, TimeUnit};
    use datafusion::logical_expr::{cast, col, lit};

    fn schema() -> DFSchema {
        let fields =
            [("x", DataType::Int64), ("d", DataType::Float64), ("t", DataType::Timestamp(TimeUnit::Second, None))];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
        DFSchema::try_from(Schema::new(fields.to_vec())).unwrap()
    }

    #[test]
    fn whole_numbers_are_checked_and_columns_are_called_as_before() {
        let narrow = || cast(col("x"), DataType::Int32);
        for (expr, is_checked) in [
            (col("x") + lit(1_i64), true),
            (lit(1_i64) - col("x") * narrow(), true),
            (narrow() + lit(1_i32) + col("x") - (col("x") - lit(2_i64)), true),
            (Expr::Negative(Box::new(col("x") - lit(1_i64))), true),
            (col("x") + col("d"), false),
            (col("d") * lit(2_i64), false),
            (col("x") / lit(2_i64), false),
            (col("x") + lit(ScalarValue::Null), false),
            (Expr::Negative(Box::new(col("d"))), false),
            (col("t") - col("t"), false),
        ] {
            let changed = checked(expr.clone(), &schema()).unwrap();
            assert_eq!(matches!(changed, Expr::ScalarFunction(_)), is_checked, "{expr}");
            assert_eq!(changed.schema_name().to_string(), expr.schema_name().to_string());
            assert_eq!(changed.get_type(&schema()).unwrap(), expr.get_type(&schema()).unwrap(), "{expr}");
            assert_eq!(changed.nullable(&schema()).unwrap(), expr.nullable(&schema()).unwrap(), "{expr}");
        }
    }

    #[test]
    fn a_chain_is_one_call() {
        let sum = (0..50_i64).fold(col("x"), |sum, number| (sum - lit(number)) / lit(3_i64));
        let Expr::ScalarFunction(call) = checked(sum, &schema()).unwrap() else { panic!("no call") };
        assert_eq!(call.args.len(), 101);
        assert!(call.args[1..].iter().all(|arg| matches!(arg, Expr::Literal(..))));
    }
}
