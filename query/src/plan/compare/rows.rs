//! The rows of two answers of one operator, matched and compared.

use super::{Of, Shares};
use crate::behavior::segment::{ratio, two_proportions};
use crate::error::Result;
use crate::plan::intern::Interner;
use crate::warnings::StatementState;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, UInt32Array,
};
use datafusion::arrow::compute::{concat_batches, take};
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::common::DataFusionError;
use std::sync::Arc;

/// Bytes of what is said of both sides in a row, and of matching it; its keys come on top.
const ROW_BYTES: usize = 200;

/// Which columns an answer has that is compared: those of the group, those that tell the rows of a group apart, whether the
/// row is complete, its users, and of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Layout {
    pub(super) groups: usize,
    pub(super) rows: usize,
    complete: bool,
    of: Whole,
}

/// Of whom the users of a row are a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Whole {
    FirstRow,
    AllRows,
    LastColumn,
}

impl Layout {
    pub(super) fn of(shares: &Shares) -> Self {
        let of = match shares.of {
            Of::FirstRow => Whole::FirstRow,
            Of::AllRows => Whole::AllRows,
            Of::Column(_) => Whole::LastColumn,
        };
        Self { groups: shares.groups, rows: shares.rows.len(), complete: shares.complete.is_some(), of }
    }

    /// How many columns say which row it is, and whether it is complete.
    pub(super) fn keys(self) -> usize {
        self.groups + self.rows + usize::from(self.complete)
    }

    /// The memory that comparing so many rows takes, about, where the answers take `bytes`: their columns are copied to be
    /// matched, and the keys again.
    pub(super) fn memory_bytes(self, rows: usize, bytes: usize) -> usize {
        2 * bytes + rows * ROW_BYTES
    }

    /// The answer, from those of both sides.
    ///
    /// # Errors
    /// Where values of a group cannot be compared; `Cancelled`.
    pub(super) fn compared(
        self,
        sides: [RecordBatch; 2],
        schema: &SchemaRef,
        statement: &StatementState,
    ) -> Result<RecordBatch> {
        let both = concat_batches(sides[0].schema_ref(), &sides).map_err(DataFusionError::from)?;
        let pairs = self.pairs(&both, sides[0].num_rows(), statement)?;
        let known: UInt32Array = pairs.iter().map(|pair| pair.of[0].or(pair.of[1])).collect();
        let mut columns = Vec::with_capacity(schema.fields().len());
        for column in &both.columns()[..self.groups + self.rows] {
            columns.push(take(column, &known, None).map_err(DataFusionError::from)?);
        }
        if self.complete {
            columns.push(complete(both.column(self.keys() - 1).as_boolean(), &pairs));
        }
        columns.extend(said(&pairs));
        Ok(RecordBatch::try_new(Arc::clone(schema), columns).map_err(DataFusionError::from)?)
    }

    /// The rows of both sides, those of the same group and the same place in it beside each other: in the order of groups by
    /// their values, and in each in that of the operator. The first `of_side` rows of `both` are those of the first side.
    fn pairs(self, both: &RecordBatch, of_side: usize, statement: &StatementState) -> Result<Vec<Pair>> {
        let (columns, count) = (&both.columns()[..self.groups], both.num_rows());
        let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
        let mut values = Interner::new(&types)?;
        let mut codes = Vec::with_capacity(count);
        values.add(columns, count, &mut codes)?;
        // Without columns there is one group all the same.
        let mut groups: Vec<[Vec<u32>; 2]> = vec![Default::default(); values.len().max(1)];
        for (row, &code) in codes.iter().enumerate() {
            groups[code as usize][usize::from(row >= of_side)].push(row as u32);
        }
        let mut order: Vec<(u32, usize)> = values.ranks().into_iter().zip(0..).collect();
        order.sort_unstable();
        let mut pairs = Vec::with_capacity(count);
        for (_, group) in order {
            statement.check_cancelled()?;
            let sides = &groups[group];
            let wholes = [0, 1].map(|side| self.whole(both, &sides[side]));
            for place in 0..sides[0].len().max(sides[1].len()) {
                let of = [0, 1].map(|side| sides[side].get(place).copied());
                let users = of.map(|row| row.map_or(0, |row| self.users(both, row)));
                pairs.push(Pair { of, counts: Counts([(users[0], wholes[0]), (users[1], wholes[1])]) });
            }
        }
        Ok(pairs)
    }

    fn users(self, both: &RecordBatch, row: u32) -> u64 {
        both.column(self.keys()).as_primitive::<Int64Type>().value(row as usize).cast_unsigned()
    }

    /// Of how many the users in these rows of one group are shares.
    fn whole(self, both: &RecordBatch, rows: &[u32]) -> u64 {
        let Some(&first) = rows.first() else { return 0 };
        match self.of {
            Whole::FirstRow => self.users(both, first),
            Whole::AllRows => rows.iter().map(|&row| self.users(both, row)).sum(),
            Whole::LastColumn => {
                both.column(self.keys() + 1).as_primitive::<Int64Type>().value(first as usize).cast_unsigned()
            }
        }
    }
}

/// A row of the answer.
struct Pair {
    /// The row of each side, where it has one.
    of: [Option<u32>; 2],
    counts: Counts,
}

/// The users of each side, and of how many.
#[derive(Clone, Copy)]
struct Counts([(u64, u64); 2]);

impl Counts {
    fn share(self, side: usize) -> Option<f64> {
        let (users, of) = self.0[side];
        ratio(users, of)
    }

    fn difference(self) -> Option<f64> {
        Some(self.share(0)? - self.share(1)?)
    }
}

/// Whether a row is complete: on each side that has it.
fn complete(values: &BooleanArray, pairs: &[Pair]) -> ArrayRef {
    let is = |pair: &Pair| Some(pair.of.iter().flatten().all(|&row| values.value(row as usize)));
    Arc::new(pairs.iter().map(is).collect::<BooleanArray>())
}

/// What is said of both sides, column by column.
fn said(pairs: &[Pair]) -> Vec<ArrayRef> {
    let whole = |of: fn(Counts) -> u64| -> ArrayRef {
        Arc::new(pairs.iter().map(|pair| Some(of(pair.counts).cast_signed())).collect::<Int64Array>())
    };
    let fraction = |of: fn(Counts) -> Option<f64>| -> ArrayRef {
        Arc::new(pairs.iter().map(|pair| of(pair.counts)).collect::<Float64Array>())
    };
    let tests: Vec<_> =
        pairs.iter().map(|Pair { counts: Counts([one, other]), .. }| two_proportions(*one, *other)).collect();
    vec![
        whole(|counts| counts.0[0].0),
        whole(|counts| counts.0[0].1),
        fraction(|counts| counts.share(0)),
        whole(|counts| counts.0[1].0),
        whole(|counts| counts.0[1].1),
        fraction(|counts| counts.share(1)),
        fraction(Counts::difference),
        Arc::new(tests.iter().map(|test| test.map(|test| test.z)).collect::<Float64Array>()),
        Arc::new(tests.iter().map(|test| test.map(|test| test.p_value)).collect::<Float64Array>()),
    ]
}
