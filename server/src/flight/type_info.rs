//! The types of SQL as ODBC and JDBC know them.

use super::metadata::built;
use arrow_array::RecordBatch;
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};
use std::sync::OnceLock;
use tonic::Status;

/// The types, or the one with a number of ODBC.
///
/// # Errors
/// None in practice: those of putting a batch together.
pub(super) fn answer(data_type: Option<i32>) -> Result<RecordBatch, Status> {
    static ALL: OnceLock<XdbcTypeInfoData> = OnceLock::new();
    let all = match ALL.get() {
        Some(all) => all,
        None => {
            let made = built(all_types().build())?;
            ALL.get_or_init(|| made)
        }
    };
    built(all.record_batch(data_type))
}

/// Those of columns, and those that a CAST or an aggregate gives.
fn all_types() -> XdbcTypeInfoDataBuilder {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    builder.append(plain("BOOLEAN", XdbcDataType::XdbcBit, 1));
    for (name, data_type, digits) in [
        ("BIGINT", XdbcDataType::XdbcBigint, 19),
        ("INTEGER", XdbcDataType::XdbcInteger, 10),
        ("SMALLINT", XdbcDataType::XdbcSmallint, 5),
    ] {
        builder.append(number(name, data_type, digits, 10));
    }
    builder.append(number("DOUBLE", XdbcDataType::XdbcDouble, 53, 2));
    builder.append(XdbcTypeInfo {
        create_params: Some(vec!["precision".into(), "scale".into()]),
        fixed_prec_scale: true,
        minimum_scale: Some(0),
        maximum_scale: Some(38),
        ..number("DECIMAL", XdbcDataType::XdbcDecimal, 38, 10)
    });
    builder.append(XdbcTypeInfo { case_sensitive: true, ..quoted("TEXT", XdbcDataType::XdbcVarchar, 1 << 30) });
    builder.append(XdbcTypeInfo {
        literal_prefix: Some("DATE '".into()),
        sql_data_type: XdbcDataType::XdbcDatetime,
        datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeYear),
        ..quoted("DATE", XdbcDataType::XdbcDate, 10)
    });
    builder.append(XdbcTypeInfo {
        literal_prefix: Some("TIMESTAMP '".into()),
        minimum_scale: Some(6),
        maximum_scale: Some(6),
        sql_data_type: XdbcDataType::XdbcDatetime,
        datetime_subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
        ..quoted("TIMESTAMP", XdbcDataType::XdbcTimestamp, 26)
    });
    builder
}

fn plain(name: &str, data_type: XdbcDataType, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        type_name: name.into(),
        local_type_name: Some(name.into()),
        data_type,
        sql_data_type: data_type,
        column_size: Some(size),
        nullable: Nullable::NullabilityNullable,
        searchable: Searchable::Full,
        ..XdbcTypeInfo::default()
    }
}

fn number(name: &str, data_type: XdbcDataType, digits: i32, radix: i32) -> XdbcTypeInfo {
    XdbcTypeInfo {
        unsigned_attribute: Some(false),
        auto_increment: Some(false),
        num_prec_radix: Some(radix),
        ..plain(name, data_type, digits)
    }
}

fn quoted(name: &str, data_type: XdbcDataType, size: i32) -> XdbcTypeInfo {
    XdbcTypeInfo { literal_prefix: Some("'".into()), literal_suffix: Some("'".into()), ..plain(name, data_type, size) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use trodden_query::arrow::array::AsArray;

    #[test]
    fn a_type_is_found_by_its_number() {
        assert_eq!(answer(None).unwrap().num_rows(), 9);
        let found = answer(Some(XdbcDataType::XdbcVarchar as i32)).unwrap();
        assert_eq!(found.column(0).as_string::<i32>().value(0), "TEXT");
        assert_eq!(answer(Some(4_711)).unwrap().num_rows(), 0);
    }

    #[test]
    fn every_name_is_one_of_sql() {
        let database = trodden_query::Database::in_memory(trodden_query::Options::default()).unwrap();
        let names = answer(None).unwrap();
        for name in names.column(0).as_string::<i32>().iter().flatten() {
            database
                .query_blocking(&format!("SELECT CAST(NULL AS {name})"))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!(names.column(0).null_count() == 0);
    }
}
