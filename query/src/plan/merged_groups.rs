//! The groups of all threads, in numbers that mean the same for all of them.

use super::groups::Groups;
use super::intern::Interner;
use super::operator::{Answer, Decoder};
use crate::error::Result;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::DataType;
use std::collections::HashMap;

/// The distinct `by` values, and their numbers.
pub(crate) struct MergedGroups {
    values: Interner,
    /// The first `by` column of the answer.
    first: usize,
}

impl MergedGroups {
    /// No groups yet. The `by` columns of the answer begin at `first`.
    ///
    /// # Errors
    /// Where values of a type cannot be compared.
    pub(crate) fn new(answer: &Answer<'_>, first: usize) -> Result<Self> {
        let fields = &answer.schema.fields()[first..first + answer.by];
        let types: Vec<DataType> = fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(Self { values: Interner::new(&types)?, first })
    }

    /// What the groups `used` of one thread, which `groups` numbers, are called here.
    ///
    /// # Errors
    /// What the evaluation of a `by` expression raises.
    pub(crate) fn numbers(
        &mut self,
        answer: &Answer<'_>,
        decoder: &dyn Decoder,
        groups: &Groups,
        used: impl Iterator<Item = u32>,
    ) -> Result<HashMap<u32, u32>> {
        let mut used: Vec<u32> = used.collect();
        used.sort_unstable();
        used.dedup();
        let keys: Vec<Option<&[u32]>> = used.iter().map(|&group| Some(groups.key(group))).collect();
        let mut codes = Vec::with_capacity(used.len());
        self.values.add(&answer.by_values(decoder, &keys, self.first)?, used.len(), &mut codes)?;
        Ok(used.into_iter().zip(codes).collect())
    }

    /// For each group its place among all in order of their values.
    pub(crate) fn ranks(&self) -> Vec<u32> {
        self.values.ranks()
    }

    /// The values of groups, a column for each of `by`.
    ///
    /// # Errors
    /// Where values cannot be put together to columns.
    pub(crate) fn columns(&self, groups: impl Iterator<Item = u32>) -> Result<Vec<ArrayRef>> {
        self.values.decode(groups)
    }
}
