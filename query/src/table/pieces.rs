//! Rows that come in batches of any size, cut into pieces that one append can take.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result;

/// Most rows of a piece.
pub(crate) const PIECE_ROWS: usize = 262_144;
/// Most bytes of a piece, unless one row alone has more. Far below 2 GiB, where columns of text end.
pub(crate) const PIECE_BYTES: usize = 64 << 20;

/// Gathers batches until a piece is full.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Pieces {
    /// Add a batch, and give every piece that became full to `full`, in order.
    pub(crate) fn add(&mut self, batch: RecordBatch, full: &mut Vec<RecordBatch>) -> Result<()> {
        let (rows, bytes) = (batch.num_rows(), bytes_of(&batch));
        if rows > 1 && (rows > PIECE_ROWS || bytes > PIECE_BYTES) {
            let half = rows / 2;
            self.add(batch.slice(0, half), full)?;
            return self.add(batch.slice(half, rows - half), full);
        }
        if self.rows + rows > PIECE_ROWS || self.bytes + bytes > PIECE_BYTES {
            full.extend(self.finish()?);
        }
        if rows > 0 {
            (self.rows, self.bytes) = (self.rows + rows, self.bytes + bytes);
            self.batches.push(batch);
        }
        Ok(())
    }

    /// What is left, as one piece.
    pub(crate) fn finish(&mut self) -> Result<Option<RecordBatch>> {
        let schema: Option<SchemaRef> = self.batches.first().map(RecordBatch::schema);
        let batches = std::mem::take(self).batches;
        Ok(schema.map(|schema| concat_batches(&schema, batches.iter())).transpose()?)
    }
}

/// Bytes of the values of a batch. Buffers that a batch shares with others are not counted for each.
fn bytes_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(values_bytes).sum()
}

/// Bytes of the values of an array, by their types.
pub(crate) fn values_bytes(values: &ArrayRef) -> usize {
    match values.data_type() {
        // The length of a text stands in the lower half of its view.
        DataType::Utf8View => {
            values.as_string_view().views().iter().map(|&view| 16 + (view & u128::from(u32::MAX)) as usize).sum()
        }
        DataType::Utf8 => {
            let ends = values.as_string::<i32>().value_offsets();
            4 * values.len() + (ends[ends.len() - 1] - ends[0]) as usize
        }
        DataType::LargeUtf8 => {
            let ends = values.as_string::<i64>().value_offsets();
            8 * values.len() + (ends[ends.len() - 1] - ends[0]) as usize
        }
        data_type => values.len() * data_type.primitive_width().unwrap_or(16),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Int64Array, StringArray, StringViewArray};
    use std::sync::Arc;

    fn texts(count: usize, bytes: usize, view: bool) -> RecordBatch {
        let texts = (0..count).map(|row| format!("{row:06}{}", "x".repeat(bytes)));
        let texts: ArrayRef = match view {
            true => Arc::new(texts.map(Some).collect::<StringViewArray>()),
            false => Arc::new(texts.map(Some).collect::<StringArray>()),
        };
        RecordBatch::try_from_iter([("t", texts)]).unwrap()
    }

    fn cut(batches: Vec<RecordBatch>) -> Vec<RecordBatch> {
        let (mut pieces, mut full) = (Pieces::default(), Vec::new());
        batches.into_iter().for_each(|batch| pieces.add(batch, &mut full).unwrap());
        full.extend(pieces.finish().unwrap());
        full
    }

    #[test]
    fn rows_are_cut_at_their_number() {
        let numbers = |range: std::ops::Range<i64>| -> RecordBatch {
            RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(range)) as ArrayRef)]).unwrap()
        };
        let got = cut(vec![numbers(0..10), numbers(10..10), numbers(10..700_000)]);
        let all: Vec<i64> = got
            .iter()
            .flat_map(|piece| {
                piece.column(0).as_primitive::<datafusion::arrow::datatypes::Int64Type>().values().to_vec()
            })
            .collect();
        assert_eq!(all, (0..700_000).collect::<Vec<i64>>());
        assert!(got.iter().all(|piece| piece.num_rows() <= PIECE_ROWS) && got.len() < 7);
        assert!(cut(vec![numbers(0..0)]).is_empty());
    }

    #[test]
    fn long_texts_are_cut_at_their_bytes() {
        for view in [true, false] {
            let whole = texts(200, 1 << 20, view);
            let got = cut(vec![whole.slice(0, 150), whole.slice(150, 50)]);
            assert_eq!(got.iter().map(RecordBatch::num_rows).sum::<usize>(), 200);
            assert!(got.len() > 3);
            for piece in &got {
                assert!(bytes_of(piece) <= PIECE_BYTES, "{} bytes", bytes_of(piece));
            }
            // Short rows that share the buffer of a long one are not counted as long.
            let few: Vec<RecordBatch> = (0..100).map(|row| texts(300, 0, view).slice(row, 1)).collect();
            assert_eq!(cut(few).len(), 1);
        }
    }

    #[test]
    fn a_row_above_the_limit_is_a_piece_of_its_own() {
        let got = cut(vec![texts(1, 4, true), texts(1, PIECE_BYTES, true), texts(1, 4, true)]);
        assert_eq!(got.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [1, 1, 1]);
    }
}
