//! The items of a state: a code for each value, and the order of the values.

use crate::error::Result;
use crate::plan::intern::Interner;
use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

/// Items by code, in the order in which they were met. Code 0 is NULL, which is no item.
#[derive(Debug)]
pub(super) struct Items {
    interner: Interner,
    /// Codes in the order of their values, and for each code its place there.
    order: Vec<u32>,
    ranks: Vec<u32>,
}

impl Items {
    /// No items yet, of this type.
    pub(super) fn new(data_type: &DataType) -> Result<Self> {
        let mut items =
            Self { interner: Interner::new(std::slice::from_ref(data_type))?, order: Vec::new(), ranks: Vec::new() };
        items.put_in_order();
        Ok(items)
    }

    /// The codes of `values`, new ones among them. [`Self::put_in_order`] comes before the order is asked for.
    pub(super) fn add(&mut self, values: ArrayRef) -> Result<Vec<u32>> {
        let count = values.len();
        let mut codes = Vec::with_capacity(count);
        self.interner.add(&[values], count, &mut codes)?;
        Ok(codes)
    }

    /// Gives new items their places.
    pub(super) fn put_in_order(&mut self) {
        if self.ranks.len() == self.interner.len() {
            return;
        }
        self.interner.extend_order(&mut self.order);
        self.ranks.resize(self.order.len(), 0);
        for (rank, &code) in (0..).zip(&self.order) {
            self.ranks[code as usize] = rank;
        }
    }

    /// The place of each item in the order of values, by code.
    pub(super) fn ranks(&self) -> &[u32] {
        &self.ranks
    }

    /// The code of an item, if there is one of this value.
    pub(super) fn code(&self, value: &ScalarValue) -> Result<Option<u32>> {
        self.interner.code(value)
    }

    /// The values of items.
    pub(super) fn values(&self, codes: &[u32]) -> Result<ArrayRef> {
        Ok(self.interner.decode(codes.iter().copied())?.swap_remove(0))
    }

    /// Memory in use, about, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.interner.memory_bytes() + 4 * (self.order.capacity() + self.ranks.capacity())
    }
}
