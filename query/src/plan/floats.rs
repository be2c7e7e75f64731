//! Doubles as groups see them: -0.0 is 0.0, and there is one NaN. Comparing finds them equal (or, for NaN, alike), and so
//! they must not make groups of their own, nor may it show which of them was met first.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, lit};
use std::sync::Arc;

/// The column with its doubles as groups see them; any other column as it is.
pub(crate) fn of_column(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => {
            let plain = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(plain))
        }
        DataType::Float32 => {
            let plain = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(plain))
        }
        _ => Arc::clone(column),
    }
}

/// The expression over columns whose -0.0 is 0.0: what it makes of them is then the same whether it is computed for
/// every row or once for a group of rows.
pub(crate) fn of_columns_in(expr: &Expr, schema: &DFSchema) -> Result<Expr> {
    let plain = expr.clone().transform_up(|expr| {
        if !matches!(expr, Expr::Column(_)) {
            return Ok(Transformed::no(expr));
        }
        let zero = match expr.get_type(schema)? {
            DataType::Float64 => lit(0.0_f64),
            DataType::Float32 => lit(0.0_f32),
            _ => return Ok(Transformed::no(expr)),
        };
        let sum = BinaryExpr::new(Box::new(expr), Operator::Plus, Box::new(zero));
        Ok(Transformed::yes(Expr::BinaryExpr(sum)))
    })?;
    Ok(plain.data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::Float64Array;

    #[test]
    fn there_is_one_zero_and_one_nan() {
        let column: ArrayRef =
            Arc::new(Float64Array::from(vec![Some(-0.0), Some(0.0), Some(-f64::NAN), None, Some(1.5)]));
        let plain = of_column(&column);
        let bits: Vec<Option<u64>> = plain.as_primitive::<Float64Type>().iter().map(|v| v.map(f64::to_bits)).collect();
        let expected =
            [Some(0.0), Some(0.0), Some(f64::NAN), None, Some(1.5)].map(|v: Option<f64>| v.map(f64::to_bits));
        assert_eq!(bits, expected);
    }
}
