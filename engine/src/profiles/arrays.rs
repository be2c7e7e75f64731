//! Values of profiles as arrays of Arrow.

use super::UPDATED_AT;
use super::latest::{LatestColumn, UpdatedAt};
use crate::error::{Error, Result};
use crate::scan::batch::arrow_type;
use crate::table::ShardSnapshot;
use crate::types::{ColumnType, Schema};
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewArray, TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::{DataType, Field};
use std::sync::Arc;

/// The field of a column of profiles; `None` where they have no such column. `schema` is without what profiles hide.
pub(super) fn field(schema: &Schema, name: &str) -> Option<Field> {
    Some(match name {
        "user_id" => Field::new(name, DataType::Utf8View, false),
        UPDATED_AT => Field::new(name, arrow_type(ColumnType::Timestamp), false),
        _ => Field::new(name, arrow_type(schema.column(name)?.column_type), true),
    })
}

/// The values of a column for some users.
pub(super) fn values(column: &LatestColumn, users: &[u32]) -> ArrayRef {
    let cells = || users.iter().map(|&user| column.cell(user));
    match column.column_type {
        ColumnType::Boolean => Arc::new(cells().map(|cell| cell.map(|value| value != 0)).collect::<BooleanArray>()),
        ColumnType::BigInt => Arc::new(cells().collect::<Int64Array>()),
        ColumnType::Double => {
            Arc::new(cells().map(|cell| cell.map(|bits| f64::from_bits(bits as u64))).collect::<Float64Array>())
        }
        ColumnType::Timestamp => Arc::new(cells().collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        ColumnType::Text => match column.texts() {
            Some(texts) => {
                let texts = cells().map(|cell| cell.map(|code| texts.get(code as u32)));
                Arc::new(texts.collect::<StringViewArray>())
            }
            None => new_null_array(&DataType::Utf8View, users.len()),
        },
    }
}

/// When some users were last updated.
pub(super) fn updated_at(updated: &UpdatedAt, users: &[u32]) -> ArrayRef {
    let times: Vec<i64> = users.iter().map(|&user| updated.0[user as usize]).collect();
    Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
}

/// The ids of some users of a shard.
pub(super) fn user_ids(shard: &ShardSnapshot, users: &[u32]) -> Result<StringViewArray> {
    let missing = |user: u32| Error::corrupt(format!("user {user} has a profile but no id"));
    let ids = users.iter().map(|&user| shard.user_id(user)?.map(Some).ok_or_else(|| missing(user)));
    ids.collect::<Result<StringViewArray>>()
}
