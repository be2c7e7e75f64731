//! How a table's schema grows: unknown columns are added, conflicting types widen, no value is lost.

use super::MAX_COLUMNS;
use crate::error::{Error, ErrorKind, Result};
use crate::types::{ColumnDef, ColumnType, EXACT_DOUBLE_MAX, FIXED_COLUMNS, Schema};
use std::collections::HashMap;

/// Smallest and largest value of a BIGINT column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BigIntRange {
    /// Smallest.
    pub(crate) min: i64,
    /// Largest.
    pub(crate) max: i64,
}

impl BigIntRange {
    fn is_exact_as_double(self) -> bool {
        -EXACT_DOUBLE_MAX <= self.min && self.max <= EXACT_DOUBLE_MAX
    }

    /// The range of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// The ranges of the BIGINT columns of a table, by name. They only grow: a deleted value still counts.
pub(crate) type BigIntRanges = HashMap<String, BigIntRange>;

/// A column of a batch: name, type, whether it has any value, and its range if it is BIGINT and has one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub(crate) name: &'a str,
    pub(crate) column_type: ColumnType,
    pub(crate) has_values: bool,
    pub(crate) range: Option<BigIntRange>,
}

/// The schema that holds what `schema` held and `incoming` too; `ranges` is brought up to date.
///
/// # Errors
/// `InvalidInput` for a name that cannot be a column's, and for any change where `strict`. Nothing is changed then.
pub(crate) fn grow<'a>(
    schema: &Schema,
    ranges: &mut BigIntRanges,
    incoming: impl Iterator<Item = Incoming<'a>> + Clone,
    strict: bool,
) -> Result<Schema> {
    let mut grown = schema.clone();
    for column in incoming.clone() {
        match grown.index_of(column.name) {
            None if strict => {
                return Err(Error::invalid(format!("the table is strict and has no column '{}'", column.name))
                    .with_hint("add it with ALTER TABLE … ADD COLUMN, or leave it out"));
            }
            None => {
                check_new_column(&grown, column.name)?;
                grown.columns.push(ColumnDef { name: column.name.to_string(), column_type: column.column_type });
            }
            Some(at) if column.has_values => {
                let held = grown.columns[at].column_type;
                let exact = |range: Option<BigIntRange>| range.is_none_or(BigIntRange::is_exact_as_double);
                let both_exact =
                    exact(column.range) && (held != ColumnType::BigInt || exact(ranges.get(column.name).copied()));
                let wide = held.widen(column.column_type, both_exact);
                if wide != held && strict {
                    let (held, given) = (held.sql_name(), column.column_type.sql_name());
                    let message =
                        format!("column '{}' is {held} and the table is strict; the batch has {given}", column.name);
                    return Err(Error::invalid(message).with_hint("convert the values before sending them"));
                }
                grown.columns[at].column_type = wide;
            }
            Some(_) => {}
        }
    }
    for column in incoming {
        if let Some(range) = column.range {
            let known = ranges.entry(column.name.to_string()).or_insert(range);
            *known = known.and(range);
        }
    }
    Ok(grown)
}

/// Whether `schema` can take a new column called `name`. Names are case-sensitive, but two that differ only by case
/// would be one to most of SQL, so the second is refused.
///
/// # Errors
/// `InvalidInput` for an empty or reserved name and for one that differs only by case, `AlreadyExists` for one that is
/// there, `ResourceLimit` for one column too many.
pub(crate) fn check_new_column(schema: &Schema, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid("a column needs a name"));
    }
    if let Some(fixed) = FIXED_COLUMNS.iter().find(|fixed| fixed.eq_ignore_ascii_case(name)) {
        return Err(Error::invalid(format!("'{name}' cannot be a property: every table has a column '{fixed}'"))
            .with_hint("give the property another name"));
    }
    if schema.column(name).is_some() {
        return Err(Error::new(ErrorKind::AlreadyExists, format!("there is a column '{name}' already")));
    }
    let lower = name.to_lowercase();
    if let Some(other) = schema.columns.iter().find(|column| column.name.to_lowercase() == lower) {
        return Err(Error::invalid(format!("column '{name}' differs only by case from column '{}'", other.name))
            .with_hint(format!("write it '{}', or give it another name", other.name)));
    }
    if schema.columns.len() >= MAX_COLUMNS {
        return Err(Error::new(
            ErrorKind::ResourceLimit,
            format!("a table has at most {MAX_COLUMNS} property columns"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incoming(name: &str, column_type: ColumnType, range: Option<(i64, i64)>) -> Incoming<'_> {
        Incoming { name, column_type, has_values: true, range: range.map(|(min, max)| BigIntRange { min, max }) }
    }

    fn grown(steps: Vec<Incoming<'_>>) -> ColumnType {
        let (mut schema, mut ranges) = (Schema::default(), BigIntRanges::new());
        for step in steps {
            schema = grow(&schema, &mut ranges, [step].into_iter(), false).unwrap();
        }
        schema.columns[0].column_type
    }

    #[test]
    fn integers_become_double_only_where_exact() {
        use ColumnType::{BigInt, Double, Text, Timestamp};
        let limit = 1 << 53;
        assert_eq!(grown(vec![incoming("a", BigInt, Some((-limit, limit))), incoming("a", Double, None)]), Double);
        assert_eq!(grown(vec![incoming("a", BigInt, Some((0, limit + 1))), incoming("a", Double, None)]), Text);
        assert_eq!(grown(vec![incoming("a", Double, None), incoming("a", BigInt, Some((0, limit)))]), Double);
        assert_eq!(grown(vec![incoming("a", Double, None), incoming("a", BigInt, Some((-limit - 1, 0)))]), Text);
        assert_eq!(grown(vec![incoming("a", BigInt, Some((0, 1))), incoming("a", Timestamp, None)]), Text);
        // An inexact value that came while the column was BIGINT counts, whenever the DOUBLE comes.
        let steps = vec![
            incoming("a", BigInt, Some((0, limit + 1))),
            incoming("a", BigInt, Some((0, 1))),
            incoming("a", Double, None),
        ];
        assert_eq!(grown(steps), Text);
    }

    #[test]
    fn a_column_without_values_widens_nothing() {
        let (schema, mut ranges) = (Schema::default(), BigIntRanges::new());
        let first = [incoming("a", ColumnType::BigInt, None)];
        let schema = grow(&schema, &mut ranges, first.into_iter(), false).unwrap();
        let empty = [Incoming { has_values: false, ..incoming("a", ColumnType::Text, None) }];
        let grown = grow(&schema, &mut ranges, empty.into_iter(), true).unwrap();
        assert_eq!(grown.columns[0].column_type, ColumnType::BigInt);
    }

    #[test]
    fn strict_tables_and_bad_names_refuse() {
        let held = Schema { columns: vec![ColumnDef { name: "Plan".into(), column_type: ColumnType::BigInt }] };
        let kind = |name: &'static str, column_type, strict| {
            let step = [incoming(name, column_type, None)];
            grow(&held, &mut BigIntRanges::new(), step.into_iter(), strict).map_err(|e| e.kind())
        };
        assert_eq!(kind("x", ColumnType::Text, true), Err(ErrorKind::InvalidInput));
        assert_eq!(kind("Plan", ColumnType::Text, true), Err(ErrorKind::InvalidInput));
        assert!(kind("Plan", ColumnType::BigInt, true).is_ok());
        for name in ["", "ts", "User_ID", "plan"] {
            assert_eq!(kind(name, ColumnType::Text, false), Err(ErrorKind::InvalidInput), "{name}");
        }
        assert_eq!(check_new_column(&held, "Plan").unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
}
