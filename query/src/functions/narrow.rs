//! A total of 128 bits as the whole number that SQL calls it, as a function in a plan.

use super::whole::{TOTAL, Whole, narrow};
use crate::error::Error;
use datafusion::arrow::array::{AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Int64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// The total that `expr` gives, in a type of 64 bits.
pub(super) fn narrow_to(expr: Expr, data_type: DataType) -> Expr {
    let function = Narrowed { data_type, signature: Signature::exact(vec![TOTAL], Volatility::Immutable) };
    Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), vec![expr]))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Narrowed {
    data_type: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Narrowed {
    fn name(&self) -> &str {
        "narrowed"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match self.data_type {
            DataType::UInt64 => in_type::<UInt64Type>(&args.args),
            _ => in_type::<Int64Type>(&args.args),
        }
    }
}

fn in_type<T: Whole>(args: &[ColumnarValue]) -> Result<ColumnarValue> {
    match args {
        [ColumnarValue::Array(totals)] => {
            let totals = totals.as_primitive::<Decimal128Type>();
            let values = totals.iter().map(|total| total.map(narrow::<T>).transpose());
            Ok(ColumnarValue::Array(Arc::new(values.collect::<Result<PrimitiveArray<T>>>()?)))
        }
        [ColumnarValue::Scalar(ScalarValue::Decimal128(total, ..))] => {
            let value = total.map(narrow::<T>).transpose()?;
            Ok(ColumnarValue::Scalar(ScalarValue::new_primitive::<T>(value, &T::DATA_TYPE)?))
        }
        _ => Err(Error::internal("a total that is none").into()),
    }
}
