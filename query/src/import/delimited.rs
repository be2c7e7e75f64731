//! Rows of CSV and TSV.

use super::batch::{BatchBuilder, Row, RowProblem};
use super::chunks::{Chunk, Chunks, Rows};
use super::error::Result;
use super::files::InputFile;
use super::infer::Cell;
use super::misfit::Misfit;
use super::options::{FileFormat, ImportOptions};
use super::rejects::{ChunkRejects, NOT_UTF8};
use super::survey::Survey;
use chrono_tz::Tz;
use csv::{ByteRecord, StringRecord};
use std::io::Read;

/// Bytes from which the delimiter is told.
const SNIFF_BYTES: u64 = 1 << 16;

/// The delimiter of a file: told, tab for TSV, else the one that is most often in the first line.
pub(super) fn find_delimiter(file: &InputFile, options: &ImportOptions) -> Result<u8> {
    if let Some(told) = options.delimiter {
        return Ok(told);
    }
    if file.format == FileFormat::Tsv {
        return Ok(b'\t');
    }
    let mut head = Vec::new();
    // What is damaged is reported where the file is read as a whole.
    let _ = file.reader(|_| {})?.take(SNIFF_BYTES).read_to_end(&mut head);
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| {
        let mut quoted = false;
        let outside = |byte: &&u8| {
            quoted ^= **byte == b'"';
            !quoted && **byte == delimiter
        };
        line.iter().filter(outside).count()
    };
    // The last of equal ones wins, so the comma stands last.
    Ok(*b"|;\t,".iter().max_by_key(|&&delimiter| count(delimiter)).unwrap_or(&b','))
}

/// The records of a chunk, with their line and their text.
struct Records<'a> {
    bytes: &'a [u8],
    reader: csv::Reader<&'a [u8]>,
    record: ByteRecord,
    /// A place in the chunk and its line.
    counted: (usize, u64),
    start: usize,
    end: usize,
}

impl<'a> Records<'a> {
    fn new(chunk: &'a Chunk, delimiter: u8) -> Self {
        let reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(&chunk.bytes[..]);
        let counted = (0, chunk.first_line);
        Self { bytes: &chunk.bytes, reader, record: ByteRecord::new(), counted, start: 0, end: 0 }
    }

    /// Read the next record into `self.record`; false at the end.
    fn advance(&mut self) -> bool {
        self.start = self.end;
        // Reading from memory with any number of fields allowed has no way to fail.
        let more = self.reader.read_byte_record(&mut self.record).unwrap_or(false);
        self.end = self.reader.position().byte() as usize;
        more
    }

    /// The text of the record without the line ends around it. Blanks and tabs stay: they may be fields.
    fn raw(&self) -> &'a [u8] {
        let mut raw = &self.bytes[self.start..self.end];
        while let [b'\n' | b'\r', rest @ ..] | [rest @ .., b'\n' | b'\r'] = raw {
            raw = rest;
        }
        raw
    }

    /// The line at which the record begins.
    fn line(&mut self) -> u64 {
        let mut start = self.start;
        while start < self.end && matches!(self.bytes[start], b'\n' | b'\r') {
            start += 1;
        }
        let newlines = memchr::memchr_iter(b'\n', &self.bytes[self.counted.0..start]).count();
        self.counted = (start, self.counted.1 + newlines as u64);
        self.counted.1
    }

    /// The record as text; `None` where it is not UTF-8.
    fn text(&mut self) -> Option<StringRecord> {
        match StringRecord::from_byte_record(std::mem::take(&mut self.record)) {
            Ok(text) => Some(text),
            Err(error) => {
                self.record = error.into_byte_record();
                None
            }
        }
    }
}

struct Fields<'a> {
    record: &'a StringRecord,
    nulls: &'a [String],
}

impl Row for Fields<'_> {
    fn cell(&self, column: usize) -> Option<Cell<'_>> {
        let text = self.record.get(column)?;
        let is_null = text.is_empty() || self.nulls.iter().any(|null| null == text);
        (!is_null).then_some(Cell { text, quoted: false })
    }
}

/// What is needed to read a chunk of a delimited file.
pub(super) struct Dialect<'a> {
    pub(super) delimiter: u8,
    pub(super) nulls: &'a [String],
    pub(super) fields: usize,
}

/// The names of the columns, and types from the first `limit` rows. `None`: the file has no row.
pub(super) fn sample(file: &InputFile, options: &ImportOptions, limit: u64) -> Result<(Option<Survey>, bool)> {
    let delimiter = find_delimiter(file, options)?;
    let mut chunks = Chunks::new(&file.path, file.reader(|_| {})?, Rows::Quoted { delimiter });
    let Some(mut chunk) = chunks.next()? else {
        return Ok((None, false));
    };
    let mut records = Records::new(&chunk, delimiter);
    if !records.advance() {
        return Ok((None, false));
    }
    let header = ByteRecord::clone(&records.record);
    let name = |(index, field): (usize, &[u8])| match String::from_utf8_lossy(field).trim() {
        name if options.header && !name.is_empty() => name.to_string(),
        _ => format!("column_{}", index + 1),
    };
    let mut survey = Survey::with_names(&file.path, header.iter().enumerate().map(name).collect())?;
    survey.delimiter = delimiter;
    let dialect = Dialect { delimiter, nulls: &options.null_values, fields: survey.names.len() };
    let mut skip_header = options.header;
    loop {
        let more = observe_chunk(&chunk, skip_header, &dialect, options.time_zone, limit, &mut survey);
        skip_header = false;
        match more.then(|| chunks.next()).transpose()?.flatten() {
            Some(next) => chunk = next,
            None => break,
        }
    }
    let header_only = survey.rows == 0;
    Ok(((!header_only).then_some(survey), header_only))
}

/// Take the types of a chunk's values in; false when `limit` rows have been seen.
pub(super) fn observe_chunk(
    chunk: &Chunk,
    skip_header: bool,
    dialect: &Dialect<'_>,
    zone: Tz,
    limit: u64,
    survey: &mut Survey,
) -> bool {
    let mut records = Records::new(chunk, dialect.delimiter);
    if skip_header {
        records.advance();
    }
    while survey.rows < limit && records.advance() {
        survey.rows += 1;
        if records.record.len() != dialect.fields {
            continue;
        }
        if let Some(record) = records.text() {
            let row = Fields { record: &record, nulls: dialect.nulls };
            for (column, guess) in survey.guesses.iter_mut().enumerate() {
                guess.observe(row.cell(column), zone);
            }
            records.record = record.into_byte_record();
        }
    }
    survey.rows < limit
}

/// Parse the rows of a chunk. Returns the number of rows, or the value for which a column must be widened.
pub(super) fn load_chunk(
    chunk: &Chunk,
    skip_header: bool,
    dialect: &Dialect<'_>,
    builder: &mut BatchBuilder<'_>,
    rejects: &mut ChunkRejects<'_>,
) -> std::result::Result<u64, Misfit> {
    let mut records = Records::new(chunk, dialect.delimiter);
    let mut rows = 0;
    if skip_header {
        records.advance();
    }
    while records.advance() {
        rows += 1;
        let problem = match records.record.len() {
            fields if fields != dialect.fields => {
                Err(RowProblem::Reject(format!("{fields} fields where the header has {}", dialect.fields)))
            }
            _ => match records.text() {
                Some(record) => {
                    let pushed = builder.push(&Fields { record: &record, nulls: dialect.nulls });
                    records.record = record.into_byte_record();
                    pushed
                }
                None => Err(RowProblem::Reject(NOT_UTF8.into())),
            },
        };
        match problem {
            Ok(()) => {}
            Err(RowProblem::Widen(misfit)) => return Err(misfit),
            Err(RowProblem::Reject(reason)) => {
                let line = records.line();
                rejects.add(line, reason, || String::from_utf8_lossy(records.raw()).into_owned());
            }
        }
    }
    Ok(rows)
}
