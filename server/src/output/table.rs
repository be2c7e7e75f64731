//! A table for people.

use super::cells::{Cells, decoded, is_number};
use super::{AnswerWriter, Written, invalid};
use crate::terminal::Terminal;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use comfy_table::presets::{ASCII_FULL_CONDENSED, UTF8_FULL_CONDENSED};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};
use std::io::{self, Write};

/// Longest text of a cell on a terminal, in characters: one long value must not push everything else away.
const MAX_CELL_CHARS: usize = 300;

/// Collects rows, and writes them when their widths are known.
pub(super) struct TableWriter<'a> {
    out: &'a mut (dyn Write + Send),
    terminal: Terminal,
    table: Table,
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
        table.set_header(schema.fields().iter().map(|field| aligned(field.name(), is_number(field.data_type()))));
        Self { out, terminal, table, max_rows, rows: 0, shown: 0 }
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
        for row in 0..rows {
            self.table.add_row(columns.iter().map(|(cells, number)| {
                if cells.is_null(row) {
                    return aligned("NULL", *number);
                }
                let mut text = String::new();
                cells.text(row, &mut text);
                aligned(&shown(&text, self.terminal), *number)
            }));
        }
        self.shown += rows as u64;
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<Written> {
        // Line by line, so that a reader that left (`| head`) ends the writing early.
        for line in self.table.lines() {
            self.out.write_all(line.as_bytes())?;
            self.out.write_all(b"\n")?;
        }
        self.out.flush()?;
        Ok(Written { rows: self.rows, shown: self.shown })
    }
}

fn aligned(text: &str, number: bool) -> Cell {
    Cell::new(text).set_alignment(if number { CellAlignment::Right } else { CellAlignment::Left })
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
        match letter {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            other if other.is_control() => out.extend(other.escape_default()),
            other => out.push(other),
        }
    }
    out
}
