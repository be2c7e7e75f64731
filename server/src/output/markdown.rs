//! A Markdown table, for notes and tickets.

use super::cells::{Cells, decoded, is_number};
use super::{AnswerWriter, Written, invalid};
use crate::printable;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::io::{self, Write};

/// Writes a header, a line with the alignment, and a line per row.
pub(super) struct MarkdownWriter<'a> {
    out: &'a mut (dyn Write + Send),
    rows: u64,
}

impl<'a> MarkdownWriter<'a> {
    pub(super) fn new(schema: &SchemaRef, out: &'a mut (dyn Write + Send)) -> io::Result<Self> {
        let (mut names, mut rule) = (String::from("|"), String::from("|"));
        for field in schema.fields() {
            names.push(' ');
            push_escaped(field.name(), &mut names);
            names.push_str(" |");
            rule.push_str(if is_number(field.data_type()) { " ---: |" } else { " --- |" });
        }
        writeln!(out, "{names}\n{rule}")?;
        Ok(Self { out, rows: 0 })
    }
}

impl AnswerWriter for MarkdownWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let columns = decoded(batch).map_err(invalid)?;
        let columns: Vec<_> =
            columns.iter().map(|column| Cells::new(column)).collect::<Result<_, _>>().map_err(invalid)?;
        let (mut text, mut cell) = (String::new(), String::new());
        for row in 0..batch.num_rows() {
            text.push('|');
            for cells in &columns {
                text.push(' ');
                if cells.is_null(row) {
                    text.push_str("NULL");
                } else {
                    cell.clear();
                    cells.text(row, &mut cell);
                    push_escaped(&cell, &mut text);
                }
                text.push_str(" |");
            }
            text.push('\n');
        }
        self.rows += batch.num_rows() as u64;
        self.out.write_all(text.as_bytes())
    }

    fn finish(self: Box<Self>) -> io::Result<Written> {
        self.out.flush()?;
        Ok(Written { rows: self.rows, shown: self.rows })
    }
}

/// Appends `text` so that it stays in its cell.
fn push_escaped(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '|' => out.push_str("\\|"),
            '\n' => out.push_str("<br>"),
            '\r' => {}
            other => printable::push(other, out),
        }
    }
}
