//! The error of a whole number that does not fit into its type.

use crate::error::{Error, ErrorKind};
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;

/// The sum of values of this type does not fit into it.
pub(super) fn of_sum(data_type: &DataType) -> DataFusionError {
    let name = name_of(data_type);
    error(data_type, format!("the sum of {name} values is outside of the range of {name}"))
}

/// The error of a kernel over numbers of this type, in the words of SQL where it is one of overflow.
pub(super) fn of_kernel(error_of_kernel: DataFusionError, data_type: &DataType) -> DataFusionError {
    let DataFusionError::ArrowError(inner, _) = &error_of_kernel else { return error_of_kernel };
    let ArrowError::ArithmeticOverflow(text) = inner.as_ref() else { return error_of_kernel };
    let operation = text.strip_prefix("Overflow happened on: ").unwrap_or(text);
    error(data_type, format!("{} overflow in {operation}", name_of(data_type)))
}

fn error(data_type: &DataType, message: String) -> DataFusionError {
    let hint = match data_type {
        DataType::Int64 | DataType::UInt64 => "cast to DOUBLE or DECIMAL(38, 0) first",
        _ => "cast to BIGINT first",
    };
    Error::new(ErrorKind::Execution, message).with_hint(hint).into()
}

fn name_of(data_type: &DataType) -> String {
    match data_type {
        DataType::Int64 => "BIGINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::UInt64 => "BIGINT UNSIGNED".into(),
        DataType::UInt32 => "INT UNSIGNED".into(),
        DataType::UInt16 => "SMALLINT UNSIGNED".into(),
        DataType::UInt8 => "TINYINT UNSIGNED".into(),
        other => other.to_string(),
    }
}
