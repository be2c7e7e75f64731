//! Columns of an event table in the types of Arrow, and the names of types in SQL.

use crate::error::{Error, Result};
use datafusion::arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use datafusion::sql::sqlparser::ast;
use std::sync::Arc;
use trodden_engine::types::{ColumnType, Schema};

/// The Arrow type of times: microseconds, UTC.
pub(crate) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The Arrow type of a property column.
pub(crate) fn arrow_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::BigInt => DataType::Int64,
        ColumnType::Double => DataType::Float64,
        ColumnType::Text => DataType::Utf8View,
        ColumnType::Timestamp => timestamp_type(),
    }
}

/// The columns of a table: the fixed ones, then its properties.
pub(crate) fn table_schema(schema: &Schema) -> SchemaRef {
    let mut fields = vec![
        Field::new("user_id", DataType::Utf8View, false),
        Field::new("ts", timestamp_type(), false),
        Field::new("event", DataType::Utf8View, false),
        Field::new("event_id", DataType::Utf8View, true),
    ];
    fields.extend(schema.columns.iter().map(|column| Field::new(&column.name, arrow_type(column.column_type), true)));
    Arc::new(ArrowSchema::new(fields))
}

/// The column type that a type of SQL stands for.
///
/// # Errors
/// `Unsupported` for a type that no column has.
pub(crate) fn column_type(data_type: &ast::DataType, column: &ast::Ident) -> Result<ColumnType> {
    use ast::DataType as Sql;
    Ok(match data_type {
        Sql::Boolean | Sql::Bool => ColumnType::Boolean,
        Sql::BigInt(_) | Sql::Int(_) | Sql::Integer(_) | Sql::SmallInt(_) | Sql::TinyInt(_) => ColumnType::BigInt,
        Sql::Int8(_) | Sql::Int64 | Sql::Int32 | Sql::Int16 | Sql::Int2(_) | Sql::Int4(_) => ColumnType::BigInt,
        Sql::Double(_) | Sql::DoublePrecision | Sql::Float(_) | Sql::Real => ColumnType::Double,
        Sql::Float8 | Sql::Float4 | Sql::Float64 | Sql::Float32 => ColumnType::Double,
        Sql::Text | Sql::String(_) | Sql::Varchar(_) | Sql::Char(_) | Sql::CharVarying(_) => ColumnType::Text,
        Sql::Timestamp(..) | Sql::Datetime(_) => ColumnType::Timestamp,
        Sql::Numeric(_) | Sql::Decimal(_) => {
            return Err(Error::unsupported(format!("column '{}' cannot be {data_type}", column.value))
                .with_hint("use BIGINT for whole numbers such as cents, or DOUBLE")
                .at(column.span));
        }
        other => {
            return Err(Error::unsupported(format!("column '{}' cannot be {other}", column.value))
                .with_hint("the types are BOOLEAN, BIGINT, DOUBLE, TEXT and TIMESTAMP")
                .at(column.span));
        }
    })
}

/// The column type that keeps values of an Arrow type.
pub(crate) fn column_type_of(data_type: &DataType) -> Option<ColumnType> {
    Some(match data_type {
        DataType::Boolean => ColumnType::Boolean,
        data_type if data_type.is_integer() => ColumnType::BigInt,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => ColumnType::Double,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => ColumnType::Text,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => ColumnType::Timestamp,
        DataType::Dictionary(_, value) => return column_type_of(value),
        _ => return None,
    })
}

/// The name of a type in SQL, as `DESCRIBE` shows it.
pub(crate) fn sql_name(data_type: &DataType) -> String {
    match (column_type_of(data_type), data_type) {
        (_, DataType::Date32 | DataType::Date64) => "DATE".into(),
        (Some(column_type), _) => column_type.sql_name().into(),
        (None, DataType::List(item)) => format!("{}[]", sql_name(item.data_type())),
        (None, other) => other.to_string(),
    }
}
