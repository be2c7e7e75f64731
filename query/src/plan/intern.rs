//! Codes for combinations of values of any type.

use super::floats;
use crate::error::Result;
use datafusion::arrow::array::{ArrayRef, new_null_array};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::common::DataFusionError;
use datafusion::scalar::ScalarValue;
use std::collections::HashMap;

/// Distinct combinations of the values of some columns. Code 0 is the one of NULLs only.
#[derive(Debug)]
pub(crate) struct Interner {
    types: Vec<DataType>,
    converter: RowConverter,
    codes: HashMap<OwnedRow, u32>,
    values: Vec<OwnedRow>,
    bytes: usize,
}

fn arrow(error: ArrowError) -> DataFusionError {
    DataFusionError::from(error)
}

impl Interner {
    /// Of columns of these types, each in its natural order.
    pub(crate) fn new(types: &[DataType]) -> Result<Self> {
        Self::in_order(types, &vec![SortOptions::default(); types.len()])
    }

    /// Of columns of these types, each in the order that its options say.
    pub(crate) fn in_order(types: &[DataType], options: &[SortOptions]) -> Result<Self> {
        let fields = types.iter().zip(options).map(|(t, options)| SortField::new_with_options(t.clone(), *options));
        let converter = RowConverter::new(fields.collect()).map_err(arrow)?;
        let mut interner =
            Self { types: types.to_vec(), converter, codes: HashMap::new(), values: Vec::new(), bytes: 0 };
        let nulls: Vec<ArrayRef> = interner.types.iter().map(|data_type| new_null_array(data_type, 1)).collect();
        interner.add(&nulls, 1, &mut Vec::new())?;
        Ok(interner)
    }

    /// Append the codes of the rows of `columns` to `codes`.
    pub(crate) fn add(&mut self, columns: &[ArrayRef], rows: usize, codes: &mut Vec<u32>) -> Result<()> {
        if self.types.is_empty() {
            codes.extend(std::iter::repeat_n(0, rows));
            return Ok(());
        }
        let columns: Vec<ArrayRef> = columns.iter().map(floats::of_column).collect();
        let converted = self.converter.convert_columns(&columns).map_err(arrow)?;
        for row in &converted {
            let row = row.owned();
            let next = self.values.len() as u32;
            let code = match self.codes.get(&row) {
                Some(&code) => code,
                None => {
                    self.bytes += 2 * (row.as_ref().len() + 64);
                    self.values.push(row.clone());
                    self.codes.insert(row, next);
                    next
                }
            };
            codes.push(code);
        }
        Ok(())
    }

    /// The values behind codes, column by column.
    pub(crate) fn decode(&self, codes: impl Iterator<Item = u32>) -> Result<Vec<ArrayRef>> {
        if self.types.is_empty() {
            return Ok(Vec::new());
        }
        let rows = codes.map(|code| self.values[code as usize].row());
        Ok(self.converter.convert_rows(rows).map_err(arrow)?)
    }

    /// The code of a value of the only column; `None` if it is NULL or was not met.
    pub(crate) fn code(&self, value: &ScalarValue) -> Result<Option<u32>> {
        let Ok(value) = value.cast_to(&self.types[0]) else { return Ok(None) };
        let column = floats::of_column(&value.to_array()?);
        let rows = self.converter.convert_columns(&[column]).map_err(arrow)?;
        Ok(self.codes.get(&rows.row(0).owned()).copied().filter(|_| !value.is_null()))
    }

    /// Number of codes.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Puts the codes from `order.len()` on, which are new, into `order`: all before them in the order of their values.
    pub(crate) fn extend_order(&self, order: &mut Vec<u32>) {
        let by_value = |a: &u32, b: &u32| self.values[*a as usize].cmp(&self.values[*b as usize]);
        let mut new: Vec<u32> = (order.len() as u32..self.values.len() as u32).collect();
        new.sort_unstable_by(by_value);
        let old = std::mem::take(order);
        order.reserve_exact(old.len() + new.len());
        let mut start = 0;
        for code in new {
            let end = start + old[start..].partition_point(|other| by_value(other, &code).is_lt());
            order.extend_from_slice(&old[start..end]);
            order.push(code);
            start = end;
        }
        order.extend_from_slice(&old[start..]);
    }

    /// For each code its place among all codes in the order of their values: the same however the rows came in.
    pub(crate) fn ranks(&self) -> Vec<u32> {
        let mut order = Vec::new();
        self.extend_order(&mut order);
        let mut ranks = vec![0; order.len().max(1)];
        for (rank, code) in order.into_iter().enumerate() {
            ranks[code as usize] = rank as u32;
        }
        ranks
    }

    /// Memory in use, about, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes
    }
}
