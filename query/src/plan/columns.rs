//! Single values put together to columns.

use crate::error::Result;
use datafusion::arrow::array::{ArrayRef, new_empty_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::scalar::ScalarValue;
use trodden_engine::types::Value;

/// Values of one type as a column.
pub(crate) fn column_of(values: impl IntoIterator<Item = ScalarValue>, data_type: &DataType) -> Result<ArrayRef> {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return Ok(new_empty_array(data_type));
    }
    let column = ScalarValue::iter_to_array(values)?;
    Ok(cast(&column, data_type).map_err(DataFusionError::from)?)
}

/// A value of the engine as one of DataFusion; NULL keeps the type of its column.
pub(crate) fn scalar(value: Value, data_type: &DataType) -> ScalarValue {
    match value {
        Value::Null => ScalarValue::try_from(data_type).unwrap_or(ScalarValue::Null),
        Value::Boolean(v) => ScalarValue::Boolean(Some(v)),
        Value::BigInt(v) => ScalarValue::Int64(Some(v)),
        Value::Double(v) => ScalarValue::Float64(Some(v)),
        Value::Text(v) => ScalarValue::Utf8View(Some(v)),
        Value::Timestamp(v) => ScalarValue::TimestampMicrosecond(Some(v), Some("UTC".into())),
    }
}
