//! Values of properties as the texts that the engine writes where a column becomes TEXT.

use crate::error::{Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::common::DataFusionError;
use trodden_engine::segment::{double_text, timestamp_text};

/// The same values in the one array type that each type of column has here.
///
/// # Errors
/// `Unsupported` for values that no table keeps.
pub(super) fn plain(name: &str, array: &ArrayRef) -> Result<ArrayRef> {
    let wanted = match array.data_type() {
        DataType::Dictionary(_, values) => plain_type(values),
        other => plain_type(other),
    };
    match wanted {
        Some(wanted) if wanted == *array.data_type() => Ok(array.clone()),
        Some(wanted) => Ok(cast(array, &wanted).map_err(DataFusionError::from)?),
        None => Err(Error::unsupported(format!(
            "property '{name}' has values of type {}, which no table keeps",
            array.data_type()
        ))
        .with_hint("send BOOLEAN, whole numbers, floating point, text or timestamps, or leave it away")),
    }
}

fn plain_type(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Boolean | DataType::Null | DataType::Timestamp(TimeUnit::Microsecond, _) => data_type.clone(),
        DataType::UInt64 => return None,
        other if other.is_integer() => DataType::Int64,
        DataType::Float32 | DataType::Float64 => DataType::Float64,
        _ => return None,
    })
}

/// The values as texts.
///
/// # Errors
/// `Unsupported` for values that no table keeps.
pub(super) fn texts(name: &str, array: &ArrayRef) -> Result<StringArray> {
    let plain = plain(name, array)?;
    Ok(match plain.data_type() {
        DataType::Utf8 => plain.as_string::<i32>().clone(),
        DataType::Boolean => plain.as_boolean().iter().map(|value| value.map(|value| value.to_string())).collect(),
        DataType::Int64 => {
            plain.as_primitive::<Int64Type>().iter().map(|value| value.map(|value| value.to_string())).collect()
        }
        DataType::Float64 => plain.as_primitive::<Float64Type>().iter().map(|value| value.map(double_text)).collect(),
        DataType::Timestamp(..) => {
            plain.as_primitive::<TimestampMicrosecondType>().iter().map(|value| value.map(timestamp_text)).collect()
        }
        _ => StringArray::new_null(plain.len()),
    })
}
