//! A table for people.

use super::cells::{Cells, decoded, is_number};
use super::{AnswerWriter, CHUNK_BYTES, Written, invalid};
use crate::printable;
use crate::terminal::Terminal;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use comfy_table::presets::{ASCII_FULL_CONDENSED, UTF8_FULL_CONDENSED};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// Longest text of a cell on a terminal, in characters: one long value must not push everything else away.
const MAX_CELL_CHARS: usize = 300;
/// Rows from which the widths of the columns are taken off a terminal. Later rows are written as they come, so that memory
/// does not grow with the answer; a longer value makes its row longer.
const HELD_ROWS: u64 = 10_000;

/// Collects rows, and writes them when their widths are known.
pub(super) struct TableWriter<'a> {
    out: &'a mut (dyn Write + Send),
    terminal: Terminal,
    table: Table,
    /// Once the widths are fixed, how rows are written.
    fixed: Option<FixedRows>,
    max_rows: Option<usize>,
    rows: u64,
    shown: u64,
}

impl<'a> TableWriter<'a> {
    pub(super) fn new(
        schema: &SchemaRef,
        out: &'a mut (dyn Write + Send),
        terminal: Terminal,
        max_rows: Option<usize>,
    ) -> Self {
        let mut table = Table::new();
        table.load_style(if terminal.unicode { UTF8_FULL_CONDENSED } else { ASCII_FULL_CONDENSED });
        if terminal.stdout {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        let names = schema.fields().iter();
        table.set_header(names.map(|field| aligned(&shown(field.name(), terminal), is_number(field.data_type()))));
        Self { out, terminal, table, fixed: None, max_rows, rows: 0, shown: 0 }
    }

    /// Write what is held, and fix the widths of the columns.
    fn fix(&mut self) -> io::Result<FixedRows> {
        let widths = self.table.column_max_content_widths().into_iter().map(usize::from).collect();
        let mut held: Option<String> = None;
        for line in self.table.lines() {
            if let Some(line) = held.replace(line) {
                writeln!(self.out, "{line}")?;
            }
        }
        self.table = Table::new();
        let (edge, between) = if self.terminal.unicode { ('│', '┆') } else { ('|', '|') };
        Ok(FixedRows { widths, edge, between, bottom: held.unwrap_or_default() })
    }
}

impl AnswerWriter for TableWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.rows += batch.num_rows() as u64;
        let room = self.max_rows.map_or(usize::MAX, |max| max.saturating_sub(self.shown as usize));
        let rows = batch.num_rows().min(room);
        if rows == 0 {
            return Ok(());
        }
        let batch = batch.slice(0, rows);
        let columns = decoded(&batch).map_err(invalid)?;
        let columns: Vec<_> = columns
            .iter()
            .map(|column| Ok((Cells::new(column)?, is_number(column.data_type()))))
            .collect::<Result<_, _>>()
            .map_err(invalid)?;
        let mut text = String::new();
        for row in 0..rows {
            if self.fixed.is_none() && !self.terminal.stdout && self.shown == HELD_ROWS {
                self.fixed = Some(self.fix()?);
            }
            let cells = columns.iter().map(|(cells, number)| (cell(cells, row, self.terminal), *number));
            match &self.fixed {
                Some(fixed) => fixed.push(cells, &mut text),
                None => {
                    self.table.add_row(cells.map(|(text, number)| aligned(&text, number)));
                }
            }
            self.shown += 1;
            if text.len() >= CHUNK_BYTES {
                self.out.write_all(text.as_bytes())?;
                text.clear();
            }
        }
        self.out.write_all(text.as_bytes())
    }

    fn finish(self: Box<Self>) -> io::Result<Written> {
        match &self.fixed {
            Some(fixed) => writeln!(self.out, "{}", fixed.bottom)?,
            // Line by line, so that a reader that left (`| head`) ends the writing early.
            None => {
                for line in self.table.lines() {
                    writeln!(self.out, "{line}")?;
                }
            }
        }
        self.out.flush()?;
        Ok(Written { rows: self.rows, shown: self.shown })
    }
}

/// Rows in columns whose widths do not change any more, drawn as the table draws its own.
struct FixedRows {
    widths: Vec<usize>,
    edge: char,
    between: char,
    bottom: String,
}

impl FixedRows {
    /// Appends a row; each cell comes with whether it is a number.
    fn push(&self, cells: impl Iterator<Item = (String, bool)>, out: &mut String) {
        for (at, (text, number)) in cells.enumerate() {
            out.push(if at == 0 { self.edge } else { self.between });
            let width = self.widths.get(at).copied().unwrap_or(0);
            let blanks = " ".repeat(width.saturating_sub(text.width()));
            let (before, behind) = if number { (blanks.as_str(), "") } else { ("", blanks.as_str()) };
            for part in [" ", before, &text, behind, " "] {
                out.push_str(part);
            }
        }
        out.push(self.edge);
        out.push('\n');
    }
}

fn aligned(text: &str, number: bool) -> Cell {
    Cell::new(text).set_alignment(if number { CellAlignment::Right } else { CellAlignment::Left })
}

fn cell(cells: &Cells<'_>, row: usize, terminal: Terminal) -> String {
    if cells.is_null(row) {
        return "NULL".into();
    }
    let mut text = String::new();
    cells.text(row, &mut text);
    shown(&text, terminal)
}

/// `text` as a cell shows it: control characters as visible escapes (a stored event must not steer the terminal), and
/// cut on a terminal.
fn shown(text: &str, terminal: Terminal) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, letter) in text.chars().enumerate() {
        if terminal.stdout && at == MAX_CELL_CHARS {
            out.push_str(if terminal.unicode { "…" } else { "..." });
            break;
        }
        printable::push(letter, &mut out);
    }
    out
}
