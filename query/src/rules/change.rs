//! Changing values of one column.

use super::text::{plain, texts};
use crate::error::Result;
use datafusion::arrow::array::{Array, ArrayRef, StringArray, make_array};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use std::sync::Arc;

/// A column after a change, and whose values are others.
pub(super) struct Changed {
    pub(super) values: ArrayRef,
    pub(super) rows: BooleanBuffer,
}

/// The text that a value becomes; `None`: it stays.
pub(super) type NewText<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Change the `chosen` texts of a column by `new_text`. `None` where all stay: the column keeps its type then.
///
/// # Errors
/// `Unsupported` for values that no table keeps.
pub(super) fn replaced(
    name: &str,
    values: &ArrayRef,
    chosen: &BooleanBuffer,
    new_text: &NewText<'_>,
) -> Result<Option<Changed>> {
    let old = texts(name, values)?;
    let mut changed = vec![false; old.len()];
    let mut new: Vec<Option<String>> = vec![None; old.len()];
    for row in chosen.set_indices().filter(|&row| old.is_valid(row)) {
        new[row] = new_text(old.value(row)).filter(|text| text != old.value(row));
        changed[row] = new[row].is_some();
    }
    if !changed.contains(&true) {
        return Ok(None);
    }
    let all = new.iter().zip(&old).map(|(new, old)| new.as_deref().or(old));
    Ok(Some(Changed { values: Arc::new(all.collect::<StringArray>()), rows: BooleanBuffer::from(changed) }))
}

/// Mask the `chosen` values of a column: what is no text becomes NULL.
///
/// # Errors
/// None in practice.
pub(super) fn masked(name: &str, values: &ArrayRef, chosen: &BooleanBuffer) -> Result<Option<Changed>> {
    // Whatever has no form as text is not stored either.
    let is_text = plain(name, values).is_ok_and(|plain| *plain.data_type() == DataType::Utf8);
    if is_text {
        return replaced(name, values, chosen, &|text| Some(mask(text)));
    }
    let Some(rows) = with_values(values, chosen) else { return Ok(None) };
    let data = values.to_data();
    if data.data_type() == &DataType::Null {
        return Ok(None);
    }
    let nulls = NullBuffer::union(data.nulls(), Some(&NullBuffer::new(!&rows)));
    let data = data.into_builder().nulls(nulls).build().map_err(DataFusionError::from)?;
    Ok(Some(Changed { values: make_array(data), rows }))
}

/// Those of the `chosen` rows that have a value; `None` where none has.
fn with_values(values: &ArrayRef, chosen: &BooleanBuffer) -> Option<BooleanBuffer> {
    let rows = match values.logical_nulls() {
        Some(nulls) => chosen & nulls.inner(),
        None => chosen.clone(),
    };
    (rows.count_set_bits() > 0).then_some(rows)
}

/// What is left of a text: its last two characters, if there are at least eight.
fn mask(text: &str) -> String {
    let last_two = text.char_indices().rev().nth(1).map_or(0, |(at, _)| at);
    match text.chars().nth(7) {
        Some(_) => format!("******{}", &text[last_two..]),
        None => "***".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_eight_characters_stay() {
        for (text, masked) in [
            ("+49 170 1234589", "******89"),
            ("12345678", "******78"),
            ("1234567", "***"),
            ("", "***"),
            ("ÄÖÜäöüßé", "******ßé"),
            ("ÄÖÜäöüß", "***"),
            ("***", "***"),
            ("******89", "******89"),
        ] {
            assert_eq!(mask(text), masked, "{text}");
        }
    }
}
