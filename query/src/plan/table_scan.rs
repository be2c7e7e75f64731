//! An operator over an event table itself: its users, one after the other, on all threads. What an operator adds is a
//! [`Visitor`], which gets each user and keeps a partial result.

use super::columns::{column_of, scalar};
use crate::error::{Error, Result};
use crate::table::scan::record;
use crate::warnings::StatementState;
use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::scalar::ScalarValue;
use roaring::RoaringBitmap;
use std::sync::Arc;
use trodden_engine::error::{Error as EngineError, ErrorKind as EngineErrorKind, Result as EngineResult};
use trodden_engine::predicate::Predicate;
use trodden_engine::scan::{BehaviorScan, KeySpace, UserBits, UserEvents, scan_user_bits, scan_users};
use trodden_engine::table::Snapshot;
use trodden_engine::types::TimeRange;

/// Users between two looks at the memory in use.
const USERS_PER_CHECK: usize = 4_096;
/// So many events of one user count as a further user, when the memory in use is to be looked at.
const EVENTS_AS_A_USER: usize = 256;

/// The kernel of an operator and the partial result of one thread.
pub(crate) trait Visitor: Send {
    /// Whether [`Self::bits`] is worth calling.
    fn takes_bits(&self) -> bool {
        false
    }

    /// A user whose events are bits of rows. False where the events themselves are needed.
    fn bits(&mut self, _user: &UserBits<'_>) -> bool {
        false
    }

    /// A user.
    fn events(&mut self, user: &UserEvents<'_>);

    /// Memory in use by the partial result, in bytes.
    fn heap_bytes(&self) -> usize;
}

/// What one thread has found.
pub(crate) struct Scanned<V> {
    pub(crate) visitor: V,
    /// What its key codes mean.
    pub(crate) keys: KeySpace,
    /// The memory of its result is counted until this is dropped.
    pub(crate) reservation: MemoryReservation,
}

/// An event table, and who asks.
pub(crate) struct TableScan<'a> {
    /// The operator, as the memory pool names it.
    pub(crate) operator: &'static str,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) threads: usize,
    pub(crate) statement: &'a StatementState,
    pub(crate) context: &'a TaskContext,
    pub(crate) metrics: &'a ExecutionPlanMetricsSet,
}

impl TableScan<'_> {
    /// Give every user of `scan` to one of the visitors that `init` makes, one a thread. `note` says what the indexes left.
    ///
    /// # Errors
    /// Those of `init` and of reading; `ResourceLimit` when the results outgrow the memory of the query.
    pub(crate) fn run<V: Visitor>(
        &self,
        scan: &BehaviorScan,
        note: String,
        init: impl Fn() -> Result<V> + Sync,
    ) -> Result<Vec<Scanned<V>>> {
        // Made here once, so that a wrong argument is an error and not a panic of a thread.
        let takes_bits = init()?.takes_bits();
        let thread = || Thread::new(self, init());
        let each = |thread: &mut Thread<V>, user: &UserEvents<'_>| thread.events(user);
        let (snapshot, cancel) = (self.snapshot, self.statement.cancel_flag());
        let (workers, mut report) = if takes_bits {
            let by_bits = |thread: &mut Thread<V>, user: &UserBits<'_>| thread.bits(user);
            scan_user_bits(snapshot, scan, self.threads, cancel, thread, by_bits, each)?
        } else {
            scan_users(snapshot, scan, self.threads, cancel, thread, each)?
        };
        report.notes.push(note);
        record(self.metrics, 0, &report);
        let scanned = workers.into_iter().map(|worker| {
            let Thread { visitor, reservation, .. } = worker.partial;
            Ok(Scanned { visitor: visitor?, keys: worker.keys, reservation })
        });
        scanned.collect()
    }
}

/// A visitor, and the memory that it holds.
struct Thread<V> {
    visitor: Result<V>,
    reservation: MemoryReservation,
    /// Users since the last look at the memory in use.
    unchecked_users: usize,
}

impl<V: Visitor> Thread<V> {
    fn new(scan: &TableScan<'_>, visitor: Result<V>) -> Self {
        let reservation = MemoryConsumer::new(scan.operator).register(scan.context.memory_pool());
        Self { visitor, reservation, unchecked_users: 0 }
    }

    fn visitor(&mut self) -> EngineResult<&mut V> {
        self.visitor.as_mut().map_err(|_| EngineError::invalid("the operator could not be started"))
    }

    #[inline]
    fn bits(&mut self, user: &UserBits<'_>) -> EngineResult<bool> {
        let is_counted = self.visitor()?.bits(user);
        if is_counted {
            self.check_memory(1)?;
        }
        Ok(is_counted)
    }

    fn events(&mut self, user: &UserEvents<'_>) -> EngineResult<()> {
        self.visitor()?.events(user);
        self.check_memory(1 + user.masks.len() / EVENTS_AS_A_USER)
    }

    /// Look at the memory in use from time to time.
    #[inline]
    fn check_memory(&mut self, users: usize) -> EngineResult<()> {
        self.unchecked_users += users;
        if self.unchecked_users >= USERS_PER_CHECK {
            self.unchecked_users = 0;
            let bytes = self.visitor()?.heap_bytes();
            self.reservation.try_resize(bytes).map_err(|error| {
                let error = Error::from(error);
                let limit = EngineError::new(EngineErrorKind::ResourceLimit, error.message());
                limit.with_hint(error.hint().unwrap_or("raise the memory limit of the query"))
            })?;
        }
        Ok(())
    }
}

/// A user's number in the results of a scan.
pub(crate) fn user_number(shard: usize, ordinal: u32) -> u64 {
    (shard as u64) << 32 | u64::from(ordinal)
}

/// The ids of users, by their numbers.
///
/// # Errors
/// `Corrupt` if they cannot be read.
pub(crate) fn user_ids(snapshot: &Snapshot, users: &[u64]) -> Result<ArrayRef> {
    let mut ids = Vec::with_capacity(users.len());
    for &user in users {
        let (shard, ordinal) = ((user >> 32) as usize, user as u32);
        ids.push(snapshot.shards[shard].user_id(ordinal)?);
    }
    Ok(Arc::new(ids.into_iter().collect::<StringArray>()))
}

/// The number of the user whom this id means; `None` if there is none.
///
/// # Errors
/// `Corrupt` if the catalog cannot be read.
pub(crate) fn number_of_user(snapshot: &Snapshot, id: &ScalarValue) -> Result<Option<u64>> {
    let Ok(ScalarValue::Utf8(Some(id))) = id.cast_to(&DataType::Utf8) else { return Ok(None) };
    let found = snapshot.ordinal_of(snapshot.aliases.resolve(&id))?;
    Ok(found.map(|(shard, ordinal)| user_number(usize::from(shard), ordinal)))
}

/// The time of the newest event that can be seen, or the end of `time` where that is earlier; `i64::MIN` without events.
///
/// # Errors
/// Those of reading; `Cancelled`.
pub(crate) fn newest_ts(
    snapshot: &Snapshot,
    time: TimeRange,
    threads: usize,
    statement: &StatementState,
) -> Result<i64> {
    let live = || snapshot.shards.iter().flat_map(|shard| &shard.segments).filter(|live| live.segment.meta().rows > 0);
    let newest = |whole: bool| {
        let some = live().filter(|live| live.hidden.is_empty() == whole);
        some.map(|live| live.segment.meta().ts_max).max().unwrap_or(i64::MIN)
    };
    let mut latest = newest(true);
    // The newest event may be that of a deleted user, so those of the others are looked at.
    if newest(false) > latest {
        let scan = BehaviorScan {
            conditions: Vec::new(),
            filter: Predicate::True,
            time: TimeRange::ALL,
            keys: Vec::new(),
            every_event: true,
            users: None,
        };
        let last = |latest: &mut i64, user: &UserEvents<'_>| {
            *latest = (*latest).max(user.times.at(user.times.len() - 1));
            Ok(())
        };
        let (workers, _) = scan_users(snapshot, &scan, threads, statement.cancel_flag(), || i64::MIN, last)?;
        latest = workers.into_iter().map(|worker| worker.partial).max().unwrap_or(i64::MIN);
    }
    Ok(if latest < snapshot.hidden_before_us { i64::MIN } else { latest.min(time.end_us) })
}

/// Users of all shards.
pub(crate) fn total(users: &[RoaringBitmap]) -> u64 {
    users.iter().map(RoaringBitmap::len).sum()
}

/// The values of the expressions `by` over the columns of `schema`, for rows given as key codes.
///
/// # Errors
/// What the evaluation of an expression raises.
pub(crate) fn values_of_keys(
    by: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
    space: &KeySpace,
    keys: &[&[u32]],
) -> Result<Vec<ArrayRef>> {
    let mut columns = Vec::new();
    for (at, field) in schema.fields().iter().enumerate() {
        let values = keys.iter().map(|key| scalar(space.value(at, key[at]), field.data_type()));
        columns.push(column_of(values, field.data_type())?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(keys.len()));
    let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options);
    let batch = batch.map_err(DataFusionError::from)?;
    let evaluate = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(&batch)?.into_array(keys.len());
    Ok(by.iter().map(evaluate).collect::<datafusion::common::Result<_>>()?)
}

/// The values of a key column for `codes`.
///
/// # Errors
/// Where values cannot be put together to a column.
pub(crate) fn values_of_column(
    space: &KeySpace,
    column: usize,
    data_type: &DataType,
    codes: &[u32],
) -> Result<ArrayRef> {
    column_of(codes.iter().map(|&code| scalar(space.value(column, code), data_type)), data_type)
}
