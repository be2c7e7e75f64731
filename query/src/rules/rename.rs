//! Values of one property that become those of another.

use super::name::Name;
use super::text::{plain, texts};
use crate::error::Result;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, new_null_array};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::zip::zip;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::DataFusionError;
use std::sync::Arc;
use trodden_engine::types::Schema;

/// Whole numbers up to here, in either direction, are the same as DOUBLE.
const EXACT_DOUBLE_MAX: u64 = 1 << 53;

/// Give the `chosen` events the values of `from` as those of `to`, in the spelling of the table of `schema`. Answers whose
/// events have one.
///
/// # Errors
/// `Unsupported` for values that no table keeps.
pub(super) fn rename(
    properties: &mut Vec<(String, ArrayRef)>,
    (from, to): (&Name, &Name),
    schema: &Schema,
    chosen: &BooleanBuffer,
) -> Result<BooleanBuffer> {
    let names = || properties.iter().map(|(name, _)| name.as_str());
    let held = || schema.columns.iter().map(|column| column.name.as_str());
    let target = match (to.find(names()), to.find(held())) {
        (Some(place), _) => properties[place].0.clone(),
        (None, Some(place)) => schema.columns[place].name.clone(),
        (None, None) => to.text.clone(),
    };
    let sources: Vec<String> = names().filter(|name| from.means(name) && *name != target).map(String::from).collect();
    let mut renamed = BooleanBuffer::new_unset(chosen.len());
    // The first of several is the one that stays.
    for source in sources.iter().rev() {
        let Some(place) = properties.iter().position(|(name, _)| name == source) else { continue };
        let values = plain(source, &properties[place].1)?;
        let taken = match values.logical_nulls() {
            Some(nulls) => chosen & nulls.inner(),
            None => chosen.clone(),
        };
        if taken.count_set_bits() == 0 {
            continue;
        }
        renamed = &renamed | &taken;
        let left = values.len() - values.logical_null_count() - taken.count_set_bits();
        if left == 0 {
            properties.remove(place);
        } else {
            let nothing = new_null_array(values.data_type(), values.len());
            properties[place].1 = merged(source, &taken, &nothing, &values)?;
        }
        match properties.iter().position(|(name, _)| *name == target) {
            Some(place) => {
                properties[place].1 = merged(&target, &taken, &values, &plain(&target, &properties[place].1)?)?;
            }
            None => {
                let nothing = new_null_array(values.data_type(), values.len());
                properties.push((target.clone(), merged(source, &taken, &values, &nothing)?));
            }
        }
    }
    Ok(renamed)
}

/// The values of `new` in the `taken` rows, and those of `old` in all others, in a type that holds both.
///
/// # Errors
/// `Unsupported` for values that no table keeps.
pub(super) fn merged(name: &str, taken: &BooleanBuffer, new: &ArrayRef, old: &ArrayRef) -> Result<ArrayRef> {
    let (new, old) = alike(name, new, old)?;
    let taken = BooleanArray::new(taken.clone(), None);
    Ok(zip(&taken, &new, &old).map_err(DataFusionError::from)?)
}

/// Two columns in one type, as the engine widens: whole numbers to DOUBLE where that is exact, everything else to TEXT.
fn alike(name: &str, a: &ArrayRef, b: &ArrayRef) -> Result<(ArrayRef, ArrayRef)> {
    let cast_to = |array: &ArrayRef, wanted: &DataType| -> Result<ArrayRef> {
        Ok(cast(array, wanted).map_err(DataFusionError::from)?)
    };
    match (a.data_type(), b.data_type()) {
        (of_a, of_b) if of_a == of_b => Ok((Arc::clone(a), Arc::clone(b))),
        (DataType::Null, of_b) => Ok((new_null_array(of_b, a.len()), Arc::clone(b))),
        (of_a, DataType::Null) => Ok((Arc::clone(a), new_null_array(of_a, b.len()))),
        (of_a @ DataType::Timestamp(..), DataType::Timestamp(..)) => Ok((Arc::clone(a), cast_to(b, of_a)?)),
        (DataType::Int64, DataType::Float64) if is_exact(a) => Ok((cast_to(a, &DataType::Float64)?, Arc::clone(b))),
        (DataType::Float64, DataType::Int64) if is_exact(b) => Ok((Arc::clone(a), cast_to(b, &DataType::Float64)?)),
        _ => Ok((Arc::new(texts(name, a)?), Arc::new(texts(name, b)?))),
    }
}

fn is_exact(numbers: &ArrayRef) -> bool {
    numbers.as_primitive::<Int64Type>().iter().flatten().all(|number| number.unsigned_abs() <= EXACT_DOUBLE_MAX)
}
