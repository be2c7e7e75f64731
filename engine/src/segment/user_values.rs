//! Which value of a property each user of a segment has: the bitmaps of values, turned so that it is found by user.

use super::first_days::unknown_user;
use super::reader::Segment;
use crate::error::Result;
use crate::types::ColumnType;
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Values of users that a segment keeps, in bytes, or those of one property if they are more.
const BYTES_MAX: usize = 4 << 20;

/// The user has no event here.
pub const NO_EVENT: u16 = 0;
/// NULL in all events.
pub const NULL_VALUE: u16 = 1;
/// The events differ.
pub const VALUES_DIFFER: u16 = 2;
/// A value of the dictionary is this, and its code.
pub const FIRST_VALUE: u16 = 3;

impl Segment {
    /// For each ordinal up to the last one that the segment has or introduces, the value that all events of the user have in
    /// a property of texts: [`NO_EVENT`], [`NULL_VALUE`], [`VALUES_DIFFER`], or its code in the dictionary, [`FIRST_VALUE`]
    /// being added. `None` if the property has no bitmaps of values here. Kept for the next call.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn values_by_user(&self, column: &str) -> Result<Option<Arc<Vec<u16>>>> {
        if let Some(known) = self.user_values.lock().get(&column.into()) {
            return Ok(Some(known));
        }
        let is_text = self.schema().column(column).is_some_and(|column| column.column_type == ColumnType::Text);
        let Some(nulls) = self.null_users(column)?.filter(|_| is_text) else { return Ok(None) };
        let mut values = vec![NO_EVENT; self.ordinals_end()? as usize];
        add(&mut values, &nulls, NULL_VALUE)?;
        let texts = self.dictionary(column)?.unwrap_or_default();
        for (code, value) in (0..texts.len() as u32).zip(FIRST_VALUE..) {
            let Some(users) = self.value_users(column, code)? else { return Ok(None) };
            add(&mut values, &users, value)?;
        }
        let values = Arc::new(values);
        self.user_values.lock().keep(column.into(), &values, BYTES_MAX);
        Ok(Some(values))
    }
}

/// Add a value of users.
fn add(values: &mut [u16], users: &RoaringBitmap, value: u16) -> Result<()> {
    for user in users {
        let known = values.get_mut(user as usize).ok_or_else(unknown_user)?;
        *known = if *known == NO_EVENT { value } else { VALUES_DIFFER };
    }
    Ok(())
}
