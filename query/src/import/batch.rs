//! Builds batches of events from rows of text.

use super::infer::{Cell, Parsed};
use super::misfit::Misfit;
use super::plan::{EventSource, FilePlan, PlannedColumn};
use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, Int64Array, StringArray};
use std::sync::Arc;
use trodden_engine::ingest::{EventBatch, MAX_NAME_BYTES};
use trodden_engine::types::ColumnType;

/// A row of a text file: its cells by the place of their column.
pub(super) trait Row {
    /// The cell of a column, or `None` for NULL.
    fn cell(&self, column: usize) -> Option<Cell<'_>>;
}

/// Why a row could not be taken.
#[derive(Debug)]
pub(super) enum RowProblem {
    /// The row is wrong.
    Reject(String),
    /// The row is right and the type of a column is too narrow for it, or the column is new.
    Widen(Misfit),
}

enum Values {
    Boolean(BooleanBuilder),
    BigInt(Int64Builder),
    Double(Float64Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
}

impl Values {
    fn new(column_type: ColumnType, rows: usize) -> Self {
        match column_type {
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            ColumnType::BigInt => Self::BigInt(Int64Builder::with_capacity(rows)),
            ColumnType::Double => Self::Double(Float64Builder::with_capacity(rows)),
            ColumnType::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows)),
            ColumnType::Text => Self::Text(StringBuilder::with_capacity(rows, rows * 8)),
        }
    }

    fn push_null(&mut self) {
        match self {
            Self::Boolean(values) => values.append_null(),
            Self::BigInt(values) => values.append_null(),
            Self::Double(values) => values.append_null(),
            Self::Timestamp(values) => values.append_null(),
            Self::Text(values) => values.append_null(),
        }
    }

    /// `value` has the type of the column: [`Cell::parse_as`] saw to it.
    fn push(&mut self, value: Parsed, text: &str) {
        match (self, value) {
            (Self::Boolean(values), Parsed::Boolean(value)) => values.append_value(value),
            (Self::BigInt(values), Parsed::BigInt(value)) => values.append_value(value),
            (Self::Double(values), Parsed::Double(value)) => values.append_value(value),
            (Self::Timestamp(values), Parsed::Timestamp(value)) => values.append_value(value),
            (Self::Text(values), _) => values.append_value(text),
            (other, _) => other.push_null(),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Boolean(mut values) => Arc::new(values.finish()),
            Self::BigInt(mut values) => Arc::new(values.finish()),
            Self::Double(mut values) => Arc::new(values.finish()),
            Self::Timestamp(mut values) => Arc::new(values.finish()),
            Self::Text(mut values) => Arc::new(values.finish()),
        }
    }
}

/// Collects the rows of one chunk of one file.
pub(super) struct BatchBuilder<'a> {
    file: &'a FilePlan,
    columns: &'a [PlannedColumn],
    user: StringBuilder,
    ts: Vec<i64>,
    event: StringBuilder,
    id: Option<StringBuilder>,
    values: Vec<Values>,
}

impl<'a> BatchBuilder<'a> {
    /// `has_id`: some file of the import has event ids, so every batch has the column.
    pub(super) fn new(file: &'a FilePlan, columns: &'a [PlannedColumn], has_id: bool, rows: usize) -> Self {
        Self {
            file,
            columns,
            user: StringBuilder::with_capacity(rows, rows * 16),
            ts: Vec::with_capacity(rows),
            event: StringBuilder::with_capacity(rows, rows * 12),
            id: has_id.then(StringBuilder::new),
            values: columns.iter().map(|column| Values::new(column.column_type, rows)).collect(),
        }
    }

    /// Take a row, or leave everything as it was. After [`RowProblem::Widen`] the builder is of no more use.
    pub(super) fn push(&mut self, row: &impl Row) -> Result<(), RowProblem> {
        let reject = |reason: &str| RowProblem::Reject(reason.into());
        let user = row.cell(self.file.user).ok_or_else(|| reject("the user is missing"))?.text;
        check_name(user, "user")?;
        let stamp = row.cell(self.file.time).ok_or_else(|| reject("the time is missing"))?.text;
        let ts = self.file.time_parser.parse(stamp).ok_or_else(|| {
            let kind = self.file.time_parser.kind.describe();
            RowProblem::Reject(format!("'{}' is no time (expected {kind}, years 1 to 9999)", shorten(stamp)))
        })?;
        let event = match &self.file.event {
            EventSource::Constant(value) => value,
            EventSource::Column(column) => {
                let event = row.cell(*column).ok_or_else(|| reject("the event is missing"))?.text;
                check_name(event, "event")?;
                event
            }
        };
        let id = self.file.id.and_then(|column| row.cell(column)).filter(|cell| !cell.text.is_empty());
        id.map_or(Ok(()), |id| check_name(id.text, "event id"))?;
        self.check_told(row)?;
        self.check_unseen(row)?;
        self.push_properties(row)?;
        self.user.append_value(user);
        self.ts.push(ts);
        self.event.append_value(event);
        if let Some(ids) = &mut self.id {
            ids.append_option(id.map(|cell| cell.text));
        }
        Ok(())
    }

    /// Values of told types are checked before the first column takes its value, since they may reject the row.
    fn check_told(&self, row: &impl Row) -> Result<(), RowProblem> {
        let zone = self.file.time_parser.zone;
        for (column, source) in self.columns.iter().zip(&self.file.properties) {
            let cell = source.filter(|_| column.told).and_then(|source| row.cell(source));
            if let Some(cell) = cell
                && cell.parse_as_told(column.column_type, zone).is_none()
            {
                let (value, wanted) = (shorten(cell.text), column.column_type.sql_name());
                return Err(RowProblem::Reject(format!("'{value}' in column '{}' is no {wanted}", column.name)));
            }
        }
        Ok(())
    }

    /// A column without a value in the sample was given no type. Its first value must not be lost.
    fn check_unseen(&self, row: &impl Row) -> Result<(), RowProblem> {
        match self.file.unseen.iter().find(|&&column| row.cell(column).is_some()) {
            None => Ok(()),
            Some(&column) => {
                let column = self.file.names.get(column).cloned().unwrap_or_default();
                let reason = format!("column '{column}' had no value before");
                Err(RowProblem::Widen(Misfit { column, reason }))
            }
        }
    }

    fn push_properties(&mut self, row: &impl Row) -> Result<(), RowProblem> {
        let zone = self.file.time_parser.zone;
        for ((column, source), values) in self.columns.iter().zip(&self.file.properties).zip(&mut self.values) {
            let cell = source.and_then(|source| Some((source, row.cell(source)?)));
            let Some((source, cell)) = cell else {
                values.push_null();
                continue;
            };
            let parsed = match column.told {
                true => cell.parse_as_told(column.column_type, zone),
                false => cell.parse_as(column.column_type, zone),
            };
            match parsed {
                Some(value) => values.push(value, cell.text),
                None => {
                    let reason = widening(column, cell.text);
                    let column = self.file.names.get(source).cloned().unwrap_or_default();
                    return Err(RowProblem::Widen(Misfit { column, reason }));
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> EventBatch {
        let names = self.columns.iter().map(|column| column.name.clone());
        EventBatch {
            user_id: self.user.finish(),
            ts: Int64Array::from(self.ts),
            event: self.event.finish(),
            event_id: self.id.map(|mut ids| -> StringArray { ids.finish() }),
            properties: names.zip(self.values.into_iter().map(Values::finish)).collect(),
        }
    }
}

/// Whether a table can take `name` as a user, an event or an event id.
fn check_name(name: &str, part: &str) -> Result<(), RowProblem> {
    match name.len() {
        0 => Err(RowProblem::Reject(format!("the {part} is missing"))),
        1..=MAX_NAME_BYTES => Ok(()),
        bytes => Err(RowProblem::Reject(too_long(part, bytes))),
    }
}

/// Why a name of so many bytes is not taken.
pub(super) fn too_long(part: &str, bytes: usize) -> String {
    format!("the {part} has {bytes} bytes, more than {MAX_NAME_BYTES}")
}

/// What is said when a value does not fit the type that the sample gave.
fn widening(column: &PlannedColumn, value: &str) -> String {
    let wanted = column.column_type.sql_name();
    format!("'{}' in column '{}' is no {wanted}", shorten(value), column.name)
}

/// A value for a message.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
