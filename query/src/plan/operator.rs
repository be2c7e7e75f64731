//! What an operator adds to the frame that all operators share.
//!
//! ```text
//! call -> arguments -> OperatorNode -> leaf (an event table itself) or general (any relation) -> Worker, one a thread
//!      -> finish -> rows
//! ```
//!
//! An operator says which conditions and columns its kernel sees of each event, what its constants mean, which users the
//! indexes leave, and how the results of all threads become rows. Reading, threads, memory, cancelling and `by` are done
//! for it.

use super::node::OperatorNode;
use crate::error::Result;
use chrono_tz::Tz;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{Field, SchemaRef};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::scalar::ScalarValue;
use roaring::RoaringBitmap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use trodden_engine::predicate::{ColumnRef, Predicate};
use trodden_engine::scan::{KeySpace, Keys, Times, UserBits, matching_users};
use trodden_engine::table::Snapshot;

use crate::plan::recommend::LiveStates;
use crate::table::translate::Condition;
use crate::warnings::StatementState;

/// An operator: what is fixed when the statement is read, and how it runs.
pub(crate) trait Operator: fmt::Debug + Clone + Eq + Hash + Send + Sync + Sized + 'static {
    /// The arguments of the kernel.
    type Spec: fmt::Debug + Clone + Send + Sync + 'static;
    /// The kernel and the partial result of one thread.
    type Worker: Worker;

    /// Its name in SQL and in the memory pool.
    const NAME: &'static str;
    /// Its name in plans.
    const NODE: &'static str;
    /// The name of its leaf in plans.
    const SCAN: &'static str;

    /// The columns of the answer, in which `user` is that of a user id and `by` those of the groups.
    fn fields(&self, user: Field, by: Vec<Field>, columns: Vec<Field>) -> Vec<Field>;

    /// The arguments of the kernel. `default_zone` counts where no `time_zone` is given. With `complete` every constant
    /// must be known; without, an unknown one is left at its default.
    ///
    /// # Errors
    /// `InvalidInput` at the argument that is no constant, or one that the operator does not take.
    fn spec(&self, node: &OperatorNode<Self>, default_zone: Tz, complete: bool) -> Result<Self::Spec>;

    /// The arguments on one line.
    fn describe(&self, node: &OperatorNode<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Whether the kernel wants the events of the input that satisfy no condition, too.
    ///
    /// # Errors
    /// Those of the specification.
    fn every_event(&self, spec: &Self::Spec) -> Result<bool>;

    /// As [`Self::every_event`], of an event table itself, where the indexes may have said who has an event.
    ///
    /// # Errors
    /// Those of the specification.
    fn reads_every_event(&self, spec: &Self::Spec, _ask: &Ask<'_>) -> Result<bool> {
        self.every_event(spec)
    }

    /// How many rows the answer has for each group, about, where that does not depend on the number of users.
    fn few_rows(&self, _spec: &Self::Spec) -> Option<usize> {
        None
    }

    /// A worker with nothing counted yet, for events with `by_columns` columns of `by` codes.
    ///
    /// # Errors
    /// Those of the specification.
    fn worker(&self, spec: &Self::Spec, by_columns: usize, wanted: &Wanted<'_>) -> Result<Self::Worker>;

    /// The users who can matter, by the indexes alone.
    ///
    /// # Errors
    /// `Corrupt` if an index cannot be read.
    fn choose(&self, spec: &Self::Spec, ask: &Ask<'_>) -> Result<Chosen>;

    /// The rows of the answer.
    ///
    /// # Errors
    /// What the evaluation of a `by` expression raises.
    fn finish(
        &self,
        spec: &Self::Spec,
        answer: &Answer<'_>,
        found: Vec<Found<'_, Self::Worker>>,
    ) -> Result<RecordBatch>;

    /// Whether the indexes cover the question exactly, for operators that they may cover.
    ///
    /// # Errors
    /// `Corrupt` if an index cannot be read.
    fn coverage(&self, _spec: &Self::Spec, _ask: &Ask<'_>) -> Result<Option<Coverage>> {
        Ok(None)
    }

    /// The answer from state that is kept from one statement to the next, for operators that keep any; `None` where the
    /// events have to be read.
    ///
    /// # Errors
    /// Those of reading; `Cancelled`.
    fn kept_answer(
        &self,
        _spec: &Self::Spec,
        _ask: &Ask<'_>,
        _wanted: &Wanted<'_>,
        _answer: &Answer<'_>,
    ) -> Result<Option<RecordBatch>> {
        Ok(None)
    }

    /// What the indexes alone say, where they cover the question exactly. Memory is counted by parts of `reservation`.
    ///
    /// # Errors
    /// `Corrupt` if an index cannot be read; `Cancelled`; `ResourceLimit`.
    fn by_indexes(
        &self,
        _spec: &Self::Spec,
        _ask: &Ask<'_>,
        _reservation: &MemoryReservation,
    ) -> Result<Option<Indexed<Self::Worker>>> {
        Ok(None)
    }
}

/// The kernel and the partial result of one thread.
pub(crate) trait Worker: Send {
    /// Whether [`Self::user_bits`] is worth calling.
    fn takes_bits(&self) -> bool {
        false
    }

    /// Count a user whose events are bits of rows; false where that is not enough.
    fn user_bits(&mut self, _user: &UserBits<'_>, _number: u64, _by: &Keys<'_>) -> bool {
        false
    }

    /// Count a user.
    fn user(&mut self, rows: &UserRows<'_>);

    /// Count the users of [`Chosen::counted`].
    fn add_counted(&mut self, _users: u64) {}

    /// Memory in use by the partial result, in bytes.
    fn heap_bytes(&self) -> usize;
}

/// One user's events, as a source delivers them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UserRows<'a> {
    /// Which user, in the numbering of the source.
    pub(crate) user: u64,
    pub(crate) times: Times<'a>,
    /// Bit i: condition i is true, for the first 64.
    pub(crate) masks: &'a [u64],
    /// Bit i: condition 64 + i is true; empty where there is none.
    pub(crate) high_masks: &'a [u64],
    /// What the `by` expressions are made of.
    pub(crate) by: Keys<'a>,
    /// The columns of the operator; code 0 is NULL.
    pub(crate) columns: Keys<'a>,
}

/// Which columns of the answer will be looked at.
pub(crate) struct Wanted<'a> {
    pub(crate) schema: &'a SchemaRef,
    /// `None`: all.
    pub(crate) columns: Option<&'a [usize]>,
}

impl Wanted<'_> {
    /// Whether one of the columns called `names` is.
    pub(crate) fn any(&self, names: &[&str]) -> bool {
        let is_one = |&column: &usize| names.contains(&self.schema.field(column).name().as_str());
        self.columns.is_none_or(|columns| columns.iter().any(is_one))
    }
}

/// A question to the indexes of an event table.
pub(crate) struct Ask<'a> {
    pub(crate) snapshot: &'a Snapshot,
    /// What makes the input of the table.
    pub(crate) condition: &'a Condition,
    /// The conditions of the operator, by their number.
    pub(crate) conditions: &'a [Predicate],
    /// The columns that the `by` expressions read.
    pub(crate) by_columns: &'a [ColumnRef],
    /// The columns of the operator, and their schema.
    pub(crate) columns: &'a [ColumnRef],
    pub(crate) columns_schema: &'a SchemaRef,
    /// States that are kept from one statement to the next.
    pub(crate) live: &'a Arc<LiveStates>,
    pub(crate) threads: usize,
    pub(crate) statement: &'a StatementState,
}

impl Ask<'_> {
    /// The earliest and the latest time of an event of the table; the wrong way round if there is none.
    pub(crate) fn times(&self) -> (i64, i64) {
        let segments = self.snapshot.shards.iter().flat_map(|shard| &shard.segments);
        let filled = segments.map(|live| live.segment.meta()).filter(|meta| meta.rows > 0);
        filled.fold((i64::MAX, i64::MIN), |(min, max), meta| (min.min(meta.ts_min), max.max(meta.ts_max)))
    }

    /// For each shard the users with an event of the input that satisfies `condition`, and whether all of them are exact.
    ///
    /// # Errors
    /// `Corrupt` if an index cannot be read.
    pub(crate) fn users(&self, condition: Predicate) -> Result<(Vec<RoaringBitmap>, bool)> {
        let condition = self.condition.filter.clone().and(condition);
        let sets = matching_users(self.snapshot, &condition, self.condition.time)?;
        let exact = sets.iter().all(|set| set.exact);
        Ok((sets.into_iter().map(|set| set.users).collect(), exact))
    }
}

/// Which users are read.
pub(crate) struct Chosen {
    /// Per shard; `None`: all.
    pub(crate) users: Option<Vec<RoaringBitmap>>,
    /// Users whose results are known without reading them, see [`Worker::add_counted`].
    pub(crate) counted: u64,
    /// What the indexes said, for `EXPLAIN`.
    pub(crate) note: String,
}

/// Whether the indexes answer.
pub(crate) enum Coverage {
    /// They do; which ones, for `EXPLAIN`.
    Index(String),
    /// Events are read; why, for `EXPLAIN`.
    Scan(String),
}

/// What the indexes say.
pub(crate) struct Indexed<W> {
    /// What each thread found, what its codes mean, and its memory.
    pub(crate) found: Vec<(W, KeySpace, Option<MemoryReservation>)>,
    /// Per shard the users who have to be read all the same.
    pub(crate) rest: Vec<RoaringBitmap>,
}

/// What one thread has found, and what its codes mean.
pub(crate) type Found<'a, W> = (W, &'a dyn Decoder);

/// What a worker's codes mean.
pub(crate) trait Decoder {
    /// The values of the `by` expressions for each of `keys`: a column each.
    ///
    /// # Errors
    /// What the evaluation of a `by` expression raises.
    fn by_values(&self, keys: &[&[u32]]) -> Result<Vec<ArrayRef>>;

    /// The values of the operator's column `column` for `codes`.
    ///
    /// # Errors
    /// Where values cannot be put together to a column.
    fn column_values(&self, column: usize, codes: &[u32]) -> Result<ArrayRef>;
}

/// What is needed to make rows, beside the results.
pub(crate) struct Answer<'a> {
    /// Of the whole answer.
    pub(crate) schema: SchemaRef,
    /// Number of `by` columns.
    pub(crate) by: usize,
    pub(crate) threads: usize,
    /// Whether the statement was cancelled.
    pub(crate) statement: &'a StatementState,
    /// Of the operator: what the answer takes beside the partial results is a part of it.
    pub(crate) reservation: &'a MemoryReservation,
    /// The ids behind numbers of users.
    pub(crate) user_ids: &'a dyn Fn(&[u64]) -> Result<ArrayRef>,
    /// The number of the user with an id; `None` if there is none.
    pub(crate) user_number: &'a dyn Fn(&ScalarValue) -> Result<Option<u64>>,
    /// Whether the order of numbers is the same for the same input, whatever the threads.
    pub(crate) numbers_in_order: bool,
    /// The time of the newest event of the input, `i64::MIN` where there is none.
    pub(crate) newest_ts: &'a dyn Fn() -> Result<i64>,
}
