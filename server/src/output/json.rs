//! JSON: an object per row, in one array or one a line.

use super::cells::{Cells, decoded, json_object};
use super::{AnswerWriter, CHUNK_BYTES, Written, invalid};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::io::{self, Write};

/// Writes objects whose keys are the column names.
pub(super) struct JsonWriter<'a> {
    out: &'a mut (dyn Write + Send),
    schema: SchemaRef,
    array: bool,
    rows: u64,
}

impl<'a> JsonWriter<'a> {
    /// One array of objects.
    pub(super) fn array(schema: &SchemaRef, out: &'a mut (dyn Write + Send)) -> Self {
        Self { out, schema: schema.clone(), array: true, rows: 0 }
    }

    /// One object a line.
    pub(super) fn lines(schema: &SchemaRef, out: &'a mut (dyn Write + Send)) -> Self {
        Self { array: false, ..Self::array(schema, out) }
    }
}

impl AnswerWriter for JsonWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        let columns = decoded(batch).map_err(invalid)?;
        let names = self.schema.fields().iter().map(|field| field.name().as_str());
        let cells = columns.iter().map(|column| Cells::new(column));
        let columns: Vec<_> =
            names.zip(cells).map(|(name, cells)| Ok((name, cells?))).collect::<Result<_, _>>().map_err(invalid)?;
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            if self.array {
                text.push_str(if self.rows == 0 { "[\n  " } else { ",\n  " });
            }
            json_object(columns.iter().map(|(name, cells)| (*name, cells)), row, &mut text);
            if !self.array {
                text.push('\n');
            }
            self.rows += 1;
            if text.len() >= CHUNK_BYTES {
                self.out.write_all(text.as_bytes())?;
                text.clear();
            }
        }
        self.out.write_all(text.as_bytes())
    }

    fn finish(self: Box<Self>) -> io::Result<Written> {
        if self.array {
            self.out.write_all(if self.rows == 0 { b"[]\n" } else { b"\n]\n" })?;
        }
        self.out.flush()?;
        Ok(Written { rows: self.rows, shown: self.rows })
    }
}
