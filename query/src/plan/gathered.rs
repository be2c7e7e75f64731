//! The rows of any relation, as codes, sorted by user and time, and given to the workers of an operator.

use super::general::{General, RowOrder};
use super::intern::Interner;
use super::operator::{Answer, Decoder, Operator, UserRows, Wanted, Worker};
use super::table_scan::newest_ts;
use crate::error::{Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::PhysicalExpr;
use std::ops::Range;
use std::sync::Arc;
use trodden_engine::scan::{KeyCodes, Keys, Times};

/// All `by` expressions of a row have one code.
const BY_COLUMNS: usize = 1;
/// Users between two looks at the memory in use and at a wish to stop.
const USERS_PER_CHECK: usize = 1_024;
/// Bytes of a row in [`Columns`] beside those of the operator's columns.
const ROW_BYTES: usize = 36;

/// All rows that matter, as codes.
#[derive(Debug, Default, Clone)]
struct Columns {
    user: Vec<u32>,
    ts: Vec<i64>,
    masks: Vec<u64>,
    /// Empty where there are at most 64 conditions.
    high_masks: Vec<u64>,
    by: Vec<u32>,
    order: Vec<u32>,
    /// One of each of the operator's columns.
    columns: Vec<Vec<u32>>,
}

impl Columns {
    /// The same rows in another order; what decided it is left away.
    fn permuted(&self, order: &[u32]) -> Self {
        fn permuted<T: Copy>(values: &[T], order: &[u32]) -> Vec<T> {
            if values.is_empty() { Vec::new() } else { order.iter().map(|&row| values[row as usize]).collect() }
        }
        Self {
            user: permuted(&self.user, order),
            ts: permuted(&self.ts, order),
            masks: permuted(&self.masks, order),
            high_masks: permuted(&self.high_masks, order),
            by: permuted(&self.by, order),
            order: Vec::new(),
            columns: self.columns.iter().map(|codes| permuted(codes, order)).collect(),
        }
    }
}

/// The rows of a relation that have come so far.
pub(super) struct Gathered {
    users: Interner,
    by: Interner,
    order: Interner,
    columns: Vec<Interner>,
    rows: Columns,
    every_event: bool,
    newest_ts: i64,
    reservation: MemoryReservation,
}

impl Gathered {
    pub(super) fn new<O: Operator>(
        general: &General<O>,
        types: &[DataType],
        reservation: MemoryReservation,
    ) -> Result<Self> {
        let (columns, by, order) = (general.columns_start(), general.by_start(), general.order_start());
        let interner = |data_type: &DataType| Interner::new(std::slice::from_ref(data_type));
        Ok(Self {
            users: interner(&types[0])?,
            by: Interner::new(&types[by..order])?,
            order: Interner::in_order(&types[order..], general.order.keys())?,
            columns: types[columns..by].iter().map(interner).collect::<Result<_>>()?,
            rows: Columns { columns: vec![Vec::new(); general.columns], ..Columns::default() },
            every_event: general.operator.every_event(&general.spec)?,
            newest_ts: i64::MIN,
            reservation,
        })
    }

    pub(super) fn add<O: Operator>(&mut self, general: &General<O>, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
        let values: Vec<ArrayRef> = general.exprs.iter().map(evaluate).collect::<datafusion::common::Result<_>>()?;
        let conditions = &values[2..general.columns_start()];
        let (low, high) = conditions.split_at(conditions.len().min(64));
        let (low, high) = (masks(low, rows), masks(high, rows));
        let codes = |interner: &mut Interner, columns: &[ArrayRef]| -> Result<Vec<u32>> {
            let mut codes = Vec::with_capacity(rows);
            interner.add(columns, rows, &mut codes)?;
            Ok(codes)
        };
        let user = codes(&mut self.users, &values[..1])?;
        let of_columns = self.columns.iter_mut().zip(&values[general.columns_start()..general.by_start()]);
        let columns = of_columns.map(|(interner, values)| codes(interner, std::slice::from_ref(values)));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let by = codes(&mut self.by, &values[general.by_start()..general.order_start()])?;
        let order = codes(&mut self.order, &values[general.order_start()..])?;
        let ts = values[1].as_primitive::<TimestampMicrosecondType>();
        let all = &mut self.rows;
        for row in 0..rows {
            // Code 0 is NULL: an event without a user or a time is none.
            if user[row] == 0 || ts.is_null(row) {
                continue;
            }
            self.newest_ts = self.newest_ts.max(ts.value(row));
            if !self.every_event && low[row] == 0 && (conditions.len() <= 64 || high[row] == 0) {
                continue;
            }
            all.user.push(user[row]);
            all.ts.push(ts.value(row));
            all.masks.push(low[row]);
            if conditions.len() > 64 {
                all.high_masks.push(high[row]);
            }
            all.by.push(by[row]);
            all.order.push(order[row]);
            all.columns.iter_mut().zip(&columns).for_each(|(all, codes)| all.push(codes[row]));
        }
        self.account(conditions.len() > 64)
    }

    fn account(&mut self, high_masks: bool) -> Result<()> {
        let row = ROW_BYTES + 8 * usize::from(high_masks) + 4 * self.columns.len();
        let interned = [&self.users, &self.by, &self.order].into_iter().chain(&self.columns);
        let interned: usize = interned.map(Interner::memory_bytes).sum();
        // Twice: sorting makes a copy.
        self.reservation.try_resize(2 * row * self.rows.user.len() + interned)?;
        Ok(())
    }

    /// The rows in the order of the kernel. What decides among rows that are equal in user and time says
    /// [`RowOrder`]; where their content does, rows that are equal in it are of no difference to the answer.
    fn sorted(&mut self, decides: &RowOrder) -> Columns {
        let all = std::mem::take(&mut self.rows);
        let [by_ranks, order_ranks] = [&self.by, &self.order].map(Interner::ranks);
        let column_ranks: Vec<Vec<u32>> = self.columns.iter().map(Interner::ranks).collect();
        let high = |row: usize| all.high_masks.get(row).copied();
        let mut order: Vec<u32> = (0..all.user.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| {
            let (x, y) = (a as usize, b as usize);
            let time = (all.user[x], all.ts[x]).cmp(&(all.user[y], all.ts[y]));
            if *decides == RowOrder::Arrival {
                return time.then(a.cmp(&b));
            }
            let content = |row: usize| {
                (order_ranks[all.order[row] as usize], all.masks[row], high(row), by_ranks[all.by[row] as usize])
            };
            let columns = || {
                let rank = |row: usize| {
                    all.columns.iter().zip(&column_ranks).map(move |(codes, ranks)| ranks[codes[row] as usize])
                };
                rank(x).cmp(rank(y))
            };
            time.then_with(|| content(x).cmp(&content(y))).then_with(columns)
        });
        all.permuted(&order)
    }

    /// The answer, and how many users there were.
    pub(super) fn finish<O: Operator>(mut self, general: &General<O>) -> Result<(RecordBatch, usize)> {
        let mut rows = self.sorted(&general.order);
        let by = [KeyCodes::PerEvent(std::mem::take(&mut rows.by))];
        let columns: Vec<KeyCodes> = std::mem::take(&mut rows.columns).into_iter().map(KeyCodes::PerEvent).collect();
        let sorted = Sorted { general, rows: &rows, by: &by, columns: &columns };
        let (shares, seen) = shares(&rows.user, general.threads);
        // Their memory is counted until the answer is made.
        let workers: Vec<(O::Worker, MemoryReservation)> = std::thread::scope(|scope| {
            let run = |share: Range<usize>| {
                let reservation = self.reservation.new_empty();
                scope.spawn(|| sorted.run(share, reservation))
            };
            let running: Vec<_> = shares.into_iter().map(run).collect();
            let broken = |_| Err(Error::internal(format!("a thread of {} broke off", O::NAME)));
            running.into_iter().map(|thread| thread.join().unwrap_or_else(broken)).collect::<Result<_>>()
        })?;
        let (mut workers, _counted): (Vec<_>, Vec<_>) = workers.into_iter().unzip();
        if workers.is_empty() {
            workers.push(sorted.worker()?);
        }
        let decoder = GeneralDecoder { by: &self.by, columns: &self.columns };
        let found = workers.into_iter().map(|worker| (worker, &decoder as &dyn Decoder)).collect();
        let answer = Answer {
            schema: Arc::clone(&general.schema),
            by: general.order_start() - general.by_start(),
            threads: general.threads,
            statement: &general.statement,
            reservation: &self.reservation,
            user_ids: &|users| Ok(self.users.decode(users.iter().map(|&user| user as u32))?.swap_remove(0)),
            user_number: &|id| Ok(self.users.code(id)?.map(u64::from)),
            numbers_in_order: false,
            newest_ts: &|| match &general.table {
                Some((snapshot, time)) => newest_ts(snapshot, *time, general.threads, &general.statement),
                None => Ok(self.newest_ts),
            },
        };
        Ok((general.operator.finish(&general.spec, &answer, found)?, seen))
    }
}

/// Ranges of rows with about as many users each, and the number of all users.
fn shares(users: &[u32], threads: usize) -> (Vec<Range<usize>>, usize) {
    let users: Vec<&[u32]> = users.chunk_by(|a, b| a == b).collect();
    let share = users.len().div_ceil(threads.max(1)).max(1);
    let mut start = 0;
    let mut shares = Vec::new();
    for users in users.chunks(share) {
        let length: usize = users.iter().map(|user| user.len()).sum();
        shares.push(start..start + length);
        start += length;
    }
    (shares, users.len())
}

/// Rows in the order of the kernel.
struct Sorted<'a, O: Operator> {
    general: &'a General<O>,
    rows: &'a Columns,
    by: &'a [KeyCodes],
    columns: &'a [KeyCodes],
}

impl<O: Operator> Sorted<'_, O> {
    fn worker(&self) -> Result<O::Worker> {
        let wanted = Wanted { schema: &self.general.schema, columns: None };
        self.general.operator.worker(&self.general.spec, BY_COLUMNS, &wanted)
    }

    fn run(&self, share: Range<usize>, reservation: MemoryReservation) -> Result<(O::Worker, MemoryReservation)> {
        let rows = self.rows;
        let mut worker = self.worker()?;
        let mut start = share.start;
        for (count, user) in rows.user[share].chunk_by(|a, b| a == b).enumerate() {
            if count % USERS_PER_CHECK == 0 {
                self.general.statement.check_cancelled()?;
                reservation.try_resize(worker.heap_bytes())?;
            }
            let range = start..start + user.len();
            start = range.end;
            worker.user(&UserRows {
                user: u64::from(user[0]),
                times: Times::Decoded(&rows.ts[range.clone()]),
                masks: &rows.masks[range.clone()],
                high_masks: rows.high_masks.get(range.clone()).unwrap_or(&[]),
                by: Keys::new(self.by, 0, range.start),
                columns: Keys::new(self.columns, 0, range.start),
            });
        }
        Ok((worker, reservation))
    }
}

/// The truth of boolean columns as bits; NULL is false.
fn masks(columns: &[ArrayRef], rows: usize) -> Vec<u64> {
    let mut masks = vec![0u64; rows];
    for (bit, column) in columns.iter().enumerate() {
        let Some(truth) = column.as_boolean_opt() else { continue };
        for (row, mask) in masks.iter_mut().enumerate() {
            *mask |= u64::from(truth.is_valid(row) && truth.value(row)) << bit;
        }
    }
    masks
}

struct GeneralDecoder<'a> {
    by: &'a Interner,
    columns: &'a [Interner],
}

impl Decoder for GeneralDecoder<'_> {
    fn by_values(&self, keys: &[&[u32]]) -> Result<Vec<ArrayRef>> {
        self.by.decode(keys.iter().map(|key| key[0]))
    }

    fn column_values(&self, column: usize, codes: &[u32]) -> Result<ArrayRef> {
        Ok(self.columns[column].decode(codes.iter().copied())?.swap_remove(0))
    }
}
