//! Comma-separated values as RFC 4180 has them.

use super::cells::{Cells, decoded};
use super::{AnswerWriter, CHUNK_BYTES, Written, invalid};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::io::{self, Write};

/// Writes a header line, then a line per row. NULL is an empty field, an empty text is `""`.
pub(super) struct CsvWriter<'a> {
    out: &'a mut (dyn Write + Send),
    rows: u64,
}

impl<'a> CsvWriter<'a> {
    pub(super) fn new(schema: &SchemaRef, out: &'a mut (dyn Write + Send)) -> io::Result<Self> {
        let mut header = String::new();
        for (at, field) in schema.fields().iter().enumerate() {
            if at > 0 {
                header.push(',');
            }
            push_field(field.name(), &mut header);
        }
        header.push('\n');
        out.write_all(header.as_bytes())?;
        Ok(Self { out, rows: 0 })
    }
}

impl AnswerWriter for CsvWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let columns = decoded(batch).map_err(invalid)?;
        let columns: Vec<_> =
            columns.iter().map(|column| Cells::new(column)).collect::<Result<_, _>>().map_err(invalid)?;
        let (mut text, mut field) = (String::new(), String::new());
        for row in 0..batch.num_rows() {
            for (at, cells) in columns.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                if !cells.is_null(row) {
                    field.clear();
                    cells.text(row, &mut field);
                    push_field(&field, &mut text);
                }
            }
            text.push('\n');
            if text.len() >= CHUNK_BYTES {
                self.out.write_all(text.as_bytes())?;
                text.clear();
            }
        }
        self.rows += batch.num_rows() as u64;
        self.out.write_all(text.as_bytes())
    }

    fn finish(self: Box<Self>) -> io::Result<Written> {
        self.out.flush()?;
        Ok(Written { rows: self.rows, shown: self.rows })
    }
}

/// Appends a field, in quotes where a reader needs them.
fn push_field(field: &str, out: &mut String) {
    let quoted = field.is_empty()
        || field.starts_with(' ')
        || field.ends_with(' ')
        || field.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if !quoted {
        out.push_str(field);
        return;
    }
    out.push('"');
    out.push_str(&field.replace('"', "\"\""));
    out.push('"');
}
