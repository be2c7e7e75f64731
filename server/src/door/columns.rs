//! Properties of events become columns: which name a path has in the table, and which type its values have together.

use crate::http::value::{Number, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use trodden_query::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use trodden_query::engine::ingest::MAX_COLUMNS;
use trodden_query::engine::types::{ColumnDef, ColumnType, EXACT_DOUBLE_MAX, Schema};
use trodden_query::import::parse_instant;

/// Values that one name may have in one row.
const SAME_NAME_MAX: usize = 20;

/// A value of a row; `None` where it says that there is none.
pub(super) type Cell<'a> = Option<Value<'a>>;

/// Columns of rows that come one after the other.
pub(super) struct Columns<'t, 'a> {
    /// The columns of the table, by their names in lower case, of which no two are equal.
    held: HashMap<String, &'t ColumnDef>,
    is_reserved: fn(&str) -> bool,
    /// Places of columns by the paths seen, and by their names in lower case.
    by_path: HashMap<String, usize>,
    by_name: HashMap<String, usize>,
    columns: Vec<Column<'a>>,
    /// Columns that the table does not have.
    new: usize,
}

/// A column of the batch.
pub(super) struct Column<'a> {
    /// Its name in the table.
    pub(super) name: String,
    /// The type that the table has for it.
    held: Option<ColumnType>,
    /// Rows with their values, in order, and the paths by which they came.
    pub(super) cells: Vec<(usize, Cow<'a, str>, Cell<'a>)>,
}

/// What is done with a second value for a column of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Second {
    /// It goes into a column of its own, so that none is lost.
    Kept,
    /// It takes the place of the first.
    Wins,
}

/// Where a value goes.
enum Place {
    /// Into this column, which has none of the row, or one that it takes the place of.
    Free(usize),
    /// It is there already.
    There,
}

impl<'t, 'a> Columns<'t, 'a> {
    /// For a table of `schema`, in which names of `is_reserved` cannot be properties.
    pub(super) fn new(schema: &'t Schema, is_reserved: fn(&str) -> bool) -> Self {
        let held = schema.columns.iter().map(|column| (column.name.to_lowercase(), column)).collect();
        let (by_path, by_name, columns) = Default::default();
        Self { held, is_reserved, by_path, by_name, columns, new: 0 }
    }

    /// Add the cells of a row, or none of them.
    ///
    /// # Errors
    /// The path that would be one column too many, or is there too often.
    pub(super) fn push_row(
        &mut self,
        row: usize,
        cells: impl IntoIterator<Item = (Cow<'a, str>, Cell<'a>)>,
        second: Second,
    ) -> Result<(), String> {
        for (path, cell) in cells {
            let place = match self.free_place(row, &path, &cell, second) {
                Some(Place::Free(place)) => place,
                Some(Place::There) => continue,
                None => {
                    self.take_back(row);
                    return Err(format!(
                        "property '{path}' has more than {SAME_NAME_MAX} values: send one, or an array"
                    ));
                }
            };
            if self.held.len() + self.new > MAX_COLUMNS && self.columns[place].held.is_none() {
                self.take_back(row);
                return Err(format!(
                    "property '{path}' would be one column too many: a table has at most {MAX_COLUMNS}. \
                     Put values that come under ever new names into one property"
                ));
            }
            let cells = &mut self.columns[place].cells;
            match cells.last_mut() {
                Some((last, own, old)) if *last == row => (*own, *old) = (path, cell),
                _ => cells.push((row, path, cell)),
            }
        }
        Ok(())
    }

    /// The column that a value of `path` goes to; `None` where there are too many of the name.
    fn free_place(&mut self, row: usize, path: &str, cell: &Cell<'a>, second: Second) -> Option<Place> {
        let mut place = self.place(path);
        for number in 2..=SAME_NAME_MAX + 1 {
            match self.columns[place].cells.last() {
                Some((last, own, old)) if *last == row => {
                    let is_same = *own == path;
                    if is_same && second == Second::Wins {
                        return Some(Place::Free(place));
                    }
                    if is_same && old == cell {
                        return Some(Place::There);
                    }
                }
                _ => return Some(Place::Free(place)),
            }
            place = self.named(&format!("{path}_{number}"));
        }
        None
    }

    fn take_back(&mut self, row: usize) {
        for column in &mut self.columns {
            column.cells.pop_if(|(own, ..)| *own == row);
        }
    }

    fn place(&mut self, path: &str) -> usize {
        if let Some(&place) = self.by_path.get(path) {
            return place;
        }
        let place = self.named(path);
        self.by_path.insert(path.to_string(), place);
        place
    }

    /// The column of a name. Names that differ only by case are one to most of SQL, so the spelling that was there first is
    /// taken.
    fn named(&mut self, path: &str) -> usize {
        let name = free_name(path, self.is_reserved);
        let lower = name.to_lowercase();
        if let Some(&place) = self.by_name.get(&lower) {
            return place;
        }
        let column = match self.held.get(&lower) {
            Some(held) => Column { name: held.name.clone(), held: Some(held.column_type), cells: Vec::new() },
            None => {
                self.new += 1;
                Column { name: name.into_owned(), held: None, cells: Vec::new() }
            }
        };
        self.columns.push(column);
        self.by_name.insert(lower, self.columns.len() - 1);
        self.columns.len() - 1
    }

    /// The columns that have cells.
    pub(super) fn finish(self) -> impl Iterator<Item = Column<'a>> {
        self.columns.into_iter().filter(|column| !column.cells.is_empty())
    }
}

/// The name of a property: its path, unless that is empty or means something else in every table.
pub(super) fn free_name(path: &str, is_reserved: fn(&str) -> bool) -> Cow<'_, str> {
    match path {
        "" => Cow::Borrowed("unnamed"),
        path if is_reserved(path) => Cow::Owned(format!("property_{path}")),
        path => Cow::Borrowed(path),
    }
}

impl Column<'_> {
    /// The values as an array of `rows` rows, of the narrowest type that holds them without loss, and that of the table where
    /// it does. `None` where no row has a value.
    pub(super) fn array(&self, rows: usize) -> Option<ArrayRef> {
        let kinds = Kinds::of(self)?;
        let array: ArrayRef = match kinds.column_type(self) {
            ColumnType::Boolean => Arc::new(self.collect::<bool, BooleanArray>(rows, |value| match value {
                Value::Boolean(value) => Some(*value),
                _ => None,
            })),
            ColumnType::BigInt => Arc::new(self.collect::<i64, Int64Array>(rows, |value| match number(value) {
                Some(Number::BigInt(value)) => Some(value),
                _ => None,
            })),
            ColumnType::Double => Arc::new(self.collect::<f64, Float64Array>(rows, |value| match number(value) {
                Some(Number::BigInt(value)) => Some(value as f64),
                Some(Number::Double(value)) => Some(value),
                _ => None,
            })),
            ColumnType::Timestamp => {
                Arc::new(self.collect::<i64, TimestampMicrosecondArray>(rows, |value| parse_instant(text(value))))
            }
            ColumnType::Text => {
                let mut texts = vec![None; rows];
                self.values().for_each(|(row, value)| texts[row] = Some(text(value)));
                Arc::new(StringArray::from(texts))
            }
        };
        Some(array)
    }

    fn collect<T: Copy, A: FromIterator<Option<T>>>(&self, rows: usize, read: impl Fn(&Value<'_>) -> Option<T>) -> A {
        let mut cells = vec![None; rows];
        self.values().for_each(|(row, value)| cells[row] = read(value));
        cells.into_iter().collect()
    }

    fn values(&self) -> impl Iterator<Item = (usize, &Value<'_>)> {
        self.cells.iter().filter_map(|(row, _, cell)| Some((*row, cell.as_ref()?)))
    }
}

/// What the values of a column are.
#[derive(Default)]
struct Kinds {
    booleans: bool,
    integers: bool,
    /// Whole numbers that DOUBLE does not hold exactly.
    inexact: bool,
    doubles: bool,
    texts: bool,
}

impl Kinds {
    fn of(column: &Column<'_>) -> Option<Self> {
        let mut kinds = Self::default();
        let mut any = false;
        for (_, value) in column.values() {
            any = true;
            match value {
                Value::Boolean(_) => kinds.booleans = true,
                Value::Text(_) => kinds.texts = true,
                Value::Number(text) => match Number::of(text) {
                    Number::BigInt(value) => {
                        kinds.integers = true;
                        kinds.inexact |= value.unsigned_abs() > EXACT_DOUBLE_MAX.unsigned_abs();
                    }
                    Number::Double(_) => kinds.doubles = true,
                    Number::Beyond => kinds.texts = true,
                },
            }
        }
        any.then_some(kinds)
    }

    fn column_type(&self, column: &Column<'_>) -> ColumnType {
        let are_times = || column.values().all(|(_, value)| parse_instant(text(value)).is_some());
        let numbers = self.integers || self.doubles;
        match column.held {
            Some(ColumnType::Text) => ColumnType::Text,
            // JSON has no times; where the table has one, what is a time is one.
            Some(ColumnType::Timestamp) if !self.booleans && are_times() => ColumnType::Timestamp,
            _ if self.texts || (self.booleans && numbers) => ColumnType::Text,
            _ if self.booleans => ColumnType::Boolean,
            held if self.doubles || held == Some(ColumnType::Double) => {
                if self.inexact {
                    if self.doubles { ColumnType::Text } else { ColumnType::BigInt }
                } else {
                    ColumnType::Double
                }
            }
            _ => ColumnType::BigInt,
        }
    }
}

fn number(value: &Value<'_>) -> Option<Number> {
    match value {
        Value::Number(text) => Some(Number::of(text)),
        _ => None,
    }
}

/// A value as text, as it was written.
fn text<'v>(value: &'v Value<'_>) -> &'v str {
    match value {
        Value::Boolean(true) => "true",
        Value::Boolean(false) => "false",
        Value::Number(text) => text,
        Value::Text(text) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trodden_query::engine::types::FIXED_COLUMNS;

    fn is_fixed(name: &str) -> bool {
        FIXED_COLUMNS.iter().any(|fixed| fixed.eq_ignore_ascii_case(name))
    }

    fn schema(columns: &[(&str, ColumnType)]) -> Schema {
        let def =
            |(name, column_type): &(&str, ColumnType)| ColumnDef { name: (*name).into(), column_type: *column_type };
        Schema { columns: columns.iter().map(def).collect() }
    }

    fn shown(held: &[(&str, ColumnType)], rows: &[&[(&'static str, Value<'static>)]]) -> Vec<String> {
        let schema = schema(held);
        let mut columns = Columns::new(&schema, is_fixed);
        for (row, cells) in rows.iter().enumerate() {
            let cells = cells.iter().map(|(path, value)| (Cow::Borrowed(*path), Some(value.clone())));
            columns.push_row(row, cells, Second::Kept).unwrap();
        }
        let show = |column: Column<'_>| {
            let array = column.array(rows.len()).unwrap();
            format!("{} {}", column.name, array.data_type())
        };
        columns.finish().map(show).collect()
    }

    #[test]
    fn types_hold_what_was_sent() {
        let n = Value::Number;
        let t = || Value::text("2026-03-01T10:00:00Z");
        assert_eq!(shown(&[], &[&[("a", n("1"))], &[("a", n("2.5"))]]), ["a Float64"]);
        assert_eq!(shown(&[], &[&[("a", n("9007199254740993"))], &[("a", n("2.5"))]]), ["a Utf8"]);
        assert_eq!(shown(&[], &[&[("a", n("1"))], &[("a", Value::Boolean(true))]]), ["a Utf8"]);
        assert_eq!(shown(&[], &[&[("a", n("9223372036854775808"))]]), ["a Utf8"]);
        assert_eq!(shown(&[("a", ColumnType::Double)], &[&[("a", n("1"))]]), ["a Float64"]);
        assert_eq!(shown(&[("a", ColumnType::BigInt)], &[&[("a", n("1"))]]), ["a Int64"]);
        assert_eq!(shown(&[("a", ColumnType::Text)], &[&[("a", n("1.50"))]]), ["a Utf8"]);
        assert_eq!(shown(&[], &[&[("a", t())]]), ["a Utf8"]);
        assert_eq!(shown(&[("a", ColumnType::Timestamp)], &[&[("a", t())]]), ["a Timestamp(µs)"]);
        assert_eq!(shown(&[("a", ColumnType::Timestamp)], &[&[("a", Value::text("n/a"))]]), ["a Utf8"]);
    }

    #[test]
    fn names_meet_and_none_is_lost() {
        let n = Value::Number;
        let held = [("Plan", ColumnType::BigInt)];
        assert_eq!(shown(&held, &[&[("plan", n("1")), ("PLAN", n("2"))]]), ["Plan Int64", "PLAN_2 Int64"]);
        assert_eq!(
            shown(&[], &[&[("ts", n("1")), ("Event", n("2")), ("", n("3"))]]),
            ["property_ts Int64", "property_Event Int64", "unnamed Int64"]
        );
        assert_eq!(
            shown(&[], &[&[("a", n("1")), ("a", n("1"))], &[("a", n("1")), ("a", n("2"))]]),
            ["a Int64", "a_2 Int64"]
        );
    }

    #[test]
    fn a_name_with_very_many_values_takes_its_row_back() {
        let schema = Schema::default();
        let mut columns = Columns::new(&schema, is_fixed);
        let texts: Vec<String> = (0..50_000).map(|n| n.to_string()).collect();
        let row = |count: usize| texts[..count].iter().map(|text| (Cow::Borrowed("a"), Some(Value::Number(text))));
        columns.push_row(0, row(5), Second::Kept).unwrap();
        assert!(columns.push_row(1, row(50_000), Second::Kept).unwrap_err().contains("more than 20 values"));
        columns.push_row(1, row(50_000), Second::Wins).unwrap();
        let cells: Vec<_> = columns.finish().map(|column| (column.name, column.cells.len())).collect();
        let want = [("a", 2), ("a_2", 1), ("a_3", 1), ("a_4", 1), ("a_5", 1)];
        assert_eq!(cells, want.map(|(name, count)| (name.to_string(), count)));
    }

    #[test]
    fn one_column_too_many_takes_its_row_back() {
        let schema = Schema {
            columns: (0..MAX_COLUMNS - 1)
                .map(|n| ColumnDef { name: format!("c{n}"), column_type: ColumnType::BigInt })
                .collect(),
        };
        let mut columns = Columns::new(&schema, is_fixed);
        let row = |names: &[&'static str]| {
            let cell = |name: &&'static str| (Cow::Borrowed(*name), Some(Value::Number("1")));
            names.iter().map(cell).collect::<Vec<_>>()
        };
        columns.push_row(0, row(&["c1", "x"]), Second::Kept).unwrap();
        let error = columns.push_row(1, row(&["c1", "y"]), Second::Kept).unwrap_err();
        assert!(error.contains("'y'"), "{error}");
        let cells: Vec<_> = columns.finish().map(|column| (column.name, column.cells.len())).collect();
        assert_eq!(cells, [("c1".to_string(), 1), ("x".to_string(), 1)]);
    }
}
