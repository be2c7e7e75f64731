//! An Apache Parquet file.

use super::{AnswerWriter, Written};
use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use std::error::Error;
use std::io::{self, Write};

/// Writes row groups compressed with zstd.
pub(super) struct ParquetWriter<'a> {
    writer: ArrowWriter<&'a mut (dyn Write + Send)>,
    rows: u64,
}

impl<'a> ParquetWriter<'a> {
    pub(super) fn new(schema: &SchemaRef, out: &'a mut (dyn Write + Send)) -> io::Result<Self> {
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties)).map_err(failure)?;
        Ok(Self { writer, rows: 0 })
    }
}

impl AnswerWriter for ParquetWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> io::Result<()> {
        self.writer.write(batch).map_err(failure)?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<Written> {
        self.writer.into_inner().map_err(failure)?.flush()?;
        Ok(Written { rows: self.rows, shown: self.rows })
    }
}

/// The failure of the operating system inside a Parquet error, so that a closed pipe or a full disk is known as such.
fn failure(error: ParquetError) -> io::Error {
    let mut inner: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(cause) = inner {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return io::Error::new(io.kind(), io.to_string());
        }
        inner = cause.source();
    }
    io::Error::new(io::ErrorKind::InvalidData, error)
}
