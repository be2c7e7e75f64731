//! What is the same for the rows of every operator's answer.

use super::floats;
use super::operator::{Answer, Decoder};
use crate::error::{Error, ErrorKind, Result};
use datafusion::arrow::array::{ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt32Array, new_null_array};
use datafusion::arrow::compute::{SortColumn, cast, concat_batches, lexsort_to_indices, take, take_record_batch};
use datafusion::common::DataFusionError;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

/// The most rows of an answer that has one for every period of every group, whether or not there is anybody.
const GRID_ROWS_MAX: usize = 10_000_000;

impl Answer<'_> {
    /// Count the memory of rows that stand for every period of every group: one event of a far day makes rows for all days up
    /// to it.
    ///
    /// # Errors
    /// `ResourceLimit` if there are too many of them, or too many for the memory of the query.
    pub(crate) fn reserve_grid(&self, rows: usize, row_bytes: usize) -> Result<()> {
        if rows > GRID_ROWS_MAX {
            let message = format!("the answer would have {rows} rows: some for every period of every group");
            return Err(Error::new(ErrorKind::ResourceLimit, message)
                .with_hint("use longer periods, fewer groups, or a condition on ts that leaves far days out"));
        }
        Ok(self.reservation.try_grow(rows.saturating_mul(row_bytes))?)
    }

    /// The `by` values behind keys, a column each, of the types that the answer's columns from `first` on have. `None`
    /// stands for NULL in all of them.
    ///
    /// # Errors
    /// What the evaluation of a `by` expression raises.
    pub(crate) fn by_values(
        &self,
        decoder: &dyn Decoder,
        keys: &[Option<&[u32]>],
        first: usize,
    ) -> Result<Vec<ArrayRef>> {
        let known: Vec<&[u32]> = keys.iter().copied().flatten().collect();
        let fields = &self.schema.fields()[first..first + self.by];
        if known.is_empty() {
            return Ok(fields.iter().map(|field| new_null_array(field.data_type(), keys.len())).collect());
        }
        let columns = decoder.by_values(&known)?;
        let mut places = 0..known.len() as u32;
        let places: UInt32Array = keys.iter().map(|key| key.and_then(|_| places.next())).collect();
        let columns = columns.iter().zip(fields).map(|(column, field)| {
            let column = floats::of_column(&cast(column, field.data_type())?);
            if known.len() == keys.len() { Ok(column) } else { take(&column, &places, None) }
        });
        Ok(columns.collect::<Result<_, _>>().map_err(DataFusionError::from)?)
    }

    /// As [`Self::by_values`], row by row: the same values in different codes of different threads are one group.
    ///
    /// # Errors
    /// What the evaluation of a `by` expression raises.
    pub(crate) fn by_rows(
        &self,
        decoder: &dyn Decoder,
        keys: &[Option<&[u32]>],
        first: usize,
    ) -> Result<Vec<Vec<ScalarValue>>> {
        let columns = self.by_values(decoder, keys, first)?;
        let row = |row| columns.iter().map(|column| ScalarValue::try_from_array(column, row)).collect();
        Ok((0..keys.len()).map(row).collect::<datafusion::common::Result<_>>()?)
    }

    /// The ids behind numbers of users, of the type that the answer's column `column` has.
    ///
    /// # Errors
    /// `Corrupt` if they cannot be read.
    pub(crate) fn ids(&self, users: &[u64], column: usize) -> Result<ArrayRef> {
        let ids = cast(&(self.user_ids)(users)?, self.schema.field(column).data_type());
        Ok(ids.map_err(DataFusionError::from)?)
    }

    /// Rows of the answer.
    ///
    /// # Errors
    /// `Internal` if the columns are not those of the schema.
    pub(crate) fn batch(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns);
        batch.map_err(|error| Error::internal(format!("the columns of an answer: {error}")))
    }

    /// Rows of several batches as one.
    ///
    /// # Errors
    /// Where they do not fit together.
    pub(crate) fn concat(&self, batches: &[RecordBatch]) -> Result<RecordBatch> {
        Ok(concat_batches(&self.schema, batches).map_err(DataFusionError::from)?)
    }

    /// The rows ordered by these columns.
    ///
    /// # Errors
    /// Where a column cannot be ordered.
    pub(crate) fn sorted(&self, batch: &RecordBatch, columns: impl Iterator<Item = usize>) -> Result<RecordBatch> {
        let order = columns.map(|at| SortColumn { values: Arc::clone(batch.column(at)), options: None });
        sort_by(batch, &order.collect::<Vec<_>>())
    }
}

/// The rows in this order.
///
/// # Errors
/// Where a column cannot be ordered.
pub(crate) fn sort_by(batch: &RecordBatch, order: &[SortColumn]) -> Result<RecordBatch> {
    let sorted = lexsort_to_indices(order, None).and_then(|order| take_record_batch(batch, &order));
    Ok(sorted.map_err(DataFusionError::from)?)
}

/// Times in microseconds as a column.
pub(crate) fn times(us: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(us).with_timezone("UTC"))
}
