//! Updates of profiles, and the rows in which a table keeps them.

use crate::error::{Error, Result};
use crate::ingest::EventBatch;
use crate::types::FIXED_COLUMNS;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray, make_array};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use std::sync::Arc;

/// The event name of all rows of a table of profiles.
pub const PROFILE_EVENT: &str = "profile";
/// The column of a table of profiles that names the columns which an update unsets, as a JSON array of texts. A column that
/// is NULL and not named there is one that the update says nothing about.
pub const UNSET_COLUMN: &str = "$unset";
/// When a profile was last updated, where profiles are read.
pub const UPDATED_AT: &str = "updated_at";

/// A column of a batch of updates.
#[derive(Debug, Clone)]
pub struct ProfileColumn {
    /// Its name.
    pub name: String,
    /// A value an update, of a type that [`EventBatch::properties`] takes. NULL unsets the column.
    pub values: ArrayRef,
    /// Whether the update says anything about the column; `None`: every one does.
    pub sets: Option<BooleanArray>,
}

/// Updates of profiles, column by column. All arrays have the same length.
#[derive(Debug, Clone)]
pub struct ProfileBatch {
    /// Who. Neither NULL nor empty.
    pub user_id: StringArray,
    /// Since when the values hold, in microseconds since 1970. Not NULL.
    pub ts: Int64Array,
    /// An id by which the sender tells one update from another; NULL or absent: never a duplicate.
    pub event_id: Option<StringArray>,
    /// What is said.
    pub columns: Vec<ProfileColumn>,
}

/// Whether no property of a profile can have this name, because profiles or their updates have a column of this name.
pub fn is_reserved(name: &str) -> bool {
    let fixed = FIXED_COLUMNS.iter().chain([&UPDATED_AT, &UNSET_COLUMN]);
    fixed.into_iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

impl ProfileBatch {
    /// The rows of a table of profiles.
    ///
    /// # Errors
    /// `InvalidInput` for a reserved name and for columns of different lengths.
    pub fn into_events(self) -> Result<EventBatch> {
        let rows = self.user_id.len();
        let mut unset: Vec<Vec<&str>> = Vec::new();
        let mut properties = Vec::with_capacity(self.columns.len() + 1);
        for column in &self.columns {
            let (values, nulls) = column.checked(rows)?;
            if let Some(nulls) = nulls {
                unset.resize(rows, Vec::new());
                nulls.set_indices().for_each(|row| unset[row].push(&column.name));
            }
            // Without a value a column adds nothing, and must not bring its type.
            if values.logical_null_count() < rows {
                properties.push((column.name.clone(), values));
            }
        }
        if !unset.is_empty() {
            let texts: StringArray = unset.iter().map(|names| unset_text(names)).collect();
            properties.push((UNSET_COLUMN.to_string(), Arc::new(texts)));
        }
        Ok(EventBatch {
            event: StringArray::from_iter_values(std::iter::repeat_n(PROFILE_EVENT, rows)),
            user_id: self.user_id,
            ts: self.ts,
            event_id: self.event_id,
            properties,
        })
    }
}

impl ProfileColumn {
    /// The values to store, and the updates that unset the column, if any does.
    fn checked(&self, rows: usize) -> Result<(ArrayRef, Option<BooleanBuffer>)> {
        let name = &self.name;
        if is_reserved(name) {
            return Err(Error::invalid(format!("a profile cannot have a column '{name}' of its own"))
                .with_hint("choose another name: user_id, ts, event, event_id and updated_at have a meaning"));
        }
        let lengths = [Some(self.values.len()), self.sets.as_ref().map(Array::len)];
        if let Some(length) = lengths.into_iter().flatten().find(|&length| length != rows) {
            return Err(Error::invalid(format!("column '{name}' has {length} rows, user_id has {rows}")));
        }
        let nulls = self.values.logical_nulls().filter(|nulls| nulls.null_count() > 0).map(|nulls| !nulls.inner());
        let Some(sets) = &self.sets else { return Ok((Arc::clone(&self.values), nulls)) };
        // NULL says no more than false.
        let sets: BooleanBuffer = sets.iter().map(|sets| sets == Some(true)).collect();
        let unset = nulls.map(|nulls| &nulls & &sets).filter(|unset| unset.count_set_bits() > 0);
        if sets.count_set_bits() == rows || self.values.logical_null_count() == rows {
            return Ok((Arc::clone(&self.values), unset));
        }
        let data = self.values.to_data();
        let valid = NullBuffer::union(data.nulls(), Some(&NullBuffer::new(sets)));
        let silent = data.into_builder().nulls(valid).build();
        let silent = silent.map_err(|error| Error::invalid(format!("column '{name}': {error}")))?;
        Ok((make_array(silent), unset))
    }
}

/// The text that names unset columns; `None` where there is none.
pub(crate) fn unset_text<T: AsRef<str>>(names: &[T]) -> Option<String> {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    (!names.is_empty()).then(|| serde_json::to_string(&names).expect("texts are plain data"))
}

/// The columns that the text of a row names; none where it is not of this form.
pub(crate) fn unset_names(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_default()
}
