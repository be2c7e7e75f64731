#![allow(missing_docs, unused_variables, clippy::missing_errors_doc, dead_code)]
// First signatures, so that others can compile against them; replaced by the real thing within the hour.
use super::*;
use crate::error::{Error, Result};
use crate::rows::{Column, Rows};
use crate::storage::Blob;
use crate::types::{ColumnType, Schema, Value};
use roaring::RoaringBitmap;
use std::io::Write;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

fn later<T>() -> Result<T> {
    Err(Error::invalid("segments are being built"))
}

/// `finish` gives the sink back, so that the caller can make it durable (`BlobWriter::finish`) or take its `Vec<u8>`.
pub struct SegmentBuilder<W: Write> {
    spec: SegmentSpec,
    sink: W,
}
impl<W: Write> SegmentBuilder<W> {
    pub fn new(spec: SegmentSpec, sink: W) -> Self {
        Self { spec, sink }
    }
    /// `rows[order[i]]` is the i-th row.
    pub fn push(&mut self, rows: &Rows, order: &[u32]) -> Result<()> {
        later()
    }
    /// Bytes written so far, about; for rolling over to a new segment.
    pub fn bytes_written(&self) -> u64 {
        0
    }
    pub fn rows(&self) -> u64 {
        0
    }
    pub fn finish(self, user_ids: &mut dyn Iterator<Item = Option<String>>) -> Result<(SegmentMeta, W)> {
        later()
    }
}

#[derive(Debug)]
pub struct Segment {
    meta: SegmentMeta,
    schema: Schema,
}
impl Segment {
    pub fn open(blob: Blob) -> Result<Segment> {
        later()
    }
    pub fn meta(&self) -> &SegmentMeta {
        &self.meta
    }
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
    pub fn column_stats(&self, name: &str) -> Option<ColumnStats> {
        None
    }
    pub fn blocks(&self) -> &[BlockMeta] {
        &[]
    }
    pub fn block_column_range(&self, block: usize, name: &str) -> Option<(Value, Value)> {
        None
    }
    pub fn block(&self, index: usize) -> Block<'_> {
        Block { segment: self, index }
    }
    pub fn event_names(&self) -> &[Box<str>] {
        &[]
    }
    pub fn event_code(&self, name: &str) -> Option<u32> {
        None
    }
    pub fn dictionary(&self, name: &str) -> Result<Option<Arc<Vec<Box<str>>>>> {
        later()
    }
    pub fn is_dictionary_coded(&self, name: &str) -> bool {
        false
    }
    pub fn users(&self) -> Result<Arc<RoaringBitmap>> {
        later()
    }
    pub fn event_users(&self, code: u32) -> Result<Arc<RoaringBitmap>> {
        later()
    }
    pub fn event_days(&self, code: u32) -> Result<Vec<i32>> {
        later()
    }
    pub fn event_day_users(&self, code: u32, day: i32) -> Result<Option<Arc<RoaringBitmap>>> {
        later()
    }
    pub fn value_users(&self, column: &str, code: u32) -> Result<Option<Arc<RoaringBitmap>>> {
        later()
    }
    pub fn is_uniform(&self, column: &str) -> bool {
        false
    }
    pub fn null_users(&self, column: &str) -> Result<Option<Arc<RoaringBitmap>>> {
        later()
    }
    pub fn user_id(&self, ordinal: u32) -> Result<Option<String>> {
        later()
    }
    pub fn user_ids(&self) -> Result<Vec<Option<String>>> {
        later()
    }
    pub fn time_zone(&self) -> chrono_tz::Tz {
        chrono_tz::UTC
    }
    pub fn verify(&self) -> Vec<Error> {
        Vec::new()
    }
    pub fn describe(&self) -> String {
        String::new()
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    segment: &'a Segment,
    index: usize,
}
impl<'a> Block<'a> {
    pub fn rows(&self) -> usize {
        0
    }
    pub fn users(&self) -> Result<BlockUsers> {
        later()
    }
    pub fn events(&self) -> Result<PackedInts<'a>> {
        later()
    }
    pub fn times(&self) -> Result<PackedInts<'a>> {
        later()
    }
    /// A text property or "event_id".
    pub fn text(&self, name: &str) -> Result<TextBlock<'a>> {
        later()
    }
    pub fn column(&self, name: &str) -> Result<ColumnBlock<'a>> {
        later()
    }
    pub fn read(&self, range: Range<usize>) -> Result<Rows> {
        later()
    }
}

/// Integers of a chunk: constant, frame of reference, runs. `decode*` replace what `out` holds.
#[derive(Debug)]
pub struct PackedInts<'a> {
    data: PhantomData<&'a [u8]>,
}
impl PackedInts<'_> {
    pub fn len(&self) -> usize {
        0
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    pub fn get(&self, i: usize) -> i64 {
        0
    }
    /// The one value of all rows, if the chunk is constant.
    pub fn constant(&self) -> Option<i64> {
        None
    }
    pub fn decode(&self, range: Range<usize>, out: &mut Vec<i64>) {}
    pub fn decode_u32(&self, range: Range<usize>, out: &mut Vec<u32>) {}
}

/// Which rows of a block have a value.
#[derive(Debug)]
pub struct Validity;
impl Validity {
    pub fn null_count(&self) -> usize {
        0
    }
    pub fn is_valid(&self, row: usize) -> bool {
        true
    }
    pub fn decode(&self, range: Range<usize>, out: &mut Vec<bool>) {}
}

#[derive(Debug)]
pub enum TextBlock<'a> {
    /// Codes into `Segment::dictionary`.
    Dict(TextCodes<'a>),
    Plain(PlainTexts<'a>),
}
impl TextBlock<'_> {
    pub fn get(&self, row: usize) -> Option<&str> {
        None
    }
    /// Only `Dict` has codes; `NULL_CODE` for NULL.
    pub fn codes(&self) -> Option<&TextCodes<'_>> {
        None
    }
}
#[derive(Debug)]
pub struct TextCodes<'a> {
    codes: PackedInts<'a>,
}
impl TextCodes<'_> {
    /// `NULL_CODE` for NULL.
    pub fn code(&self, row: usize) -> u32 {
        0
    }
    /// The one code of all rows, if they have one (`NULL_CODE` if all are NULL).
    pub fn constant(&self) -> Option<u32> {
        None
    }
    pub fn decode_codes(&self, range: Range<usize>, out: &mut Vec<u32>) {}
    pub fn dictionary(&self) -> &Arc<Vec<Box<str>>> {
        unreachable!()
    }
}
#[derive(Debug)]
pub struct PlainTexts<'a> {
    data: PhantomData<&'a [u8]>,
}
impl PlainTexts<'_> {
    pub fn get(&self, row: usize) -> Option<&str> {
        None
    }
}

#[derive(Debug)]
pub enum ColumnBlock<'a> {
    Boolean(IntColumn<'a>),
    BigInt(IntColumn<'a>),
    Double(DoubleColumn<'a>),
    Timestamp(IntColumn<'a>),
    Text(TextBlock<'a>),
}
impl ColumnBlock<'_> {
    pub fn column_type(&self) -> ColumnType {
        ColumnType::BigInt
    }
    pub fn validity(&self) -> &Validity {
        &Validity
    }
    pub fn get(&self, row: usize) -> Value {
        Value::Null
    }
    pub fn decode(&self, range: Range<usize>) -> Column {
        Column::new(self.column_type())
    }
}
/// Integers with NULLs (false is 0, true is 1).
#[derive(Debug)]
pub struct IntColumn<'a> {
    values: PackedInts<'a>,
    validity: Validity,
}
impl IntColumn<'_> {
    pub fn validity(&self) -> &Validity {
        &self.validity
    }
    pub fn get(&self, row: usize) -> Option<i64> {
        None
    }
    /// 0 where NULL.
    pub fn decode(&self, range: Range<usize>, out: &mut Vec<i64>) {}
}
#[derive(Debug)]
pub struct DoubleColumn<'a> {
    values: PackedInts<'a>,
    validity: Validity,
}
impl DoubleColumn<'_> {
    pub fn validity(&self) -> &Validity {
        &self.validity
    }
    pub fn get(&self, row: usize) -> Option<f64> {
        None
    }
    /// 0 where NULL.
    pub fn decode(&self, range: Range<usize>, out: &mut Vec<f64>) {}
}

/// The same values in a wider type, where a segment stores a column narrower than the table has it now.
pub fn widen(column: Column, to: ColumnType) -> Result<Column> {
    later()
}
