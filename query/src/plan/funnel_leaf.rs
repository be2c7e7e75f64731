//! FUNNEL over an event table itself: bitmaps choose the users, and only their events are read.

use super::exec::{SingleExec, Task};
use super::funnel_finish::{Decoder, Finisher};
use super::funnel_node::{Emit, FunnelShape};
use super::funnel_worker::{FunnelWorker, UserRows, needs_every_event};
use super::table_scan::{Scanned, TableScan, Visitor, total, user_ids, user_number, values_of_keys};
use crate::behavior::funnel::{Count, FunnelSpec, Order};
use crate::error::Result;
use crate::table::translate::Condition;
use crate::warnings::StatementState;
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use roaring::RoaringBitmap;
use std::fmt;
use std::sync::Arc;
use trodden_engine::predicate::{ColumnRef, Predicate};
use trodden_engine::scan::{BehaviorScan, KeySpace, UserBits, UserEvents, matching_users};
use trodden_engine::table::Snapshot;

/// Columns of `emit => 'steps'` that need the times of the chosen chains.
const DURATIONS: [&str; 3] = ["median_seconds", "p90_seconds", "median_seconds_total"];

/// A funnel over a snapshot.
#[derive(Debug)]
pub(crate) struct FunnelLeaf {
    pub(crate) snapshot: Snapshot,
    pub(crate) shape: Arc<FunnelShape>,
    pub(crate) spec: FunnelSpec,
    pub(crate) condition: Condition,
    /// Steps, then exclusions: at most 64.
    pub(crate) conditions: Vec<Predicate>,
    /// The columns that the `by` expressions read, and their schema.
    pub(crate) by_columns: Vec<ColumnRef>,
    pub(crate) by_schema: SchemaRef,
    pub(crate) by: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) hold: Vec<ColumnRef>,
    pub(crate) threads: usize,
    pub(crate) statement: Arc<StatementState>,
    pub(crate) schema: SchemaRef,
    /// Arguments and filters as the plan shows them.
    pub(crate) summary: String,
}

/// Which users are read, and how many are known from the indexes to have entered and got no further.
struct Chosen {
    users: Option<Vec<RoaringBitmap>>,
    entries: u64,
    note: String,
}

impl FunnelLeaf {
    /// As a node of the physical plan.
    pub(crate) fn into_exec(self) -> Arc<dyn ExecutionPlan> {
        let schema = Arc::clone(&self.schema);
        Arc::new(SingleExec::new(Arc::new(self), schema))
    }

    fn counts_users_only(&self) -> bool {
        let plain = self.shape.by.is_empty() && !self.shape.bucketed && self.hold.is_empty();
        plain && self.shape.emit == Emit::Steps && self.spec.count == Count::Users
    }

    /// Ask the bitmaps. Where they know exactly who entered, those without any second step need not be read.
    fn choose(&self) -> Result<Chosen> {
        let matching = |condition: Predicate| {
            let condition = self.condition.filter.clone().and(condition);
            matching_users(&self.snapshot, &condition, self.condition.time)
        };
        let steps = self.spec.steps.len();
        if self.spec.order == Order::Any {
            let any = Predicate::Or(self.conditions[..steps].to_vec());
            let users: Vec<RoaringBitmap> = matching(any)?.into_iter().map(|set| set.users).collect();
            let note = format!("{} users with any step, from bitmaps", total(&users));
            return Ok(Chosen { users: Some(users), entries: 0, note });
        }
        let entered = matching(self.conditions[0].clone())?;
        let exact = entered.iter().all(|set| set.exact);
        let mut users: Vec<RoaringBitmap> = entered.into_iter().map(|set| set.users).collect();
        let first = total(&users);
        if !exact || !self.counts_users_only() {
            let note = format!("{first} users with step 1, from bitmaps");
            return Ok(Chosen { users: Some(users), entries: 0, note });
        }
        if steps == 1 {
            users.iter_mut().for_each(RoaringBitmap::clear);
        } else {
            let second = matching(self.conditions[1].clone())?;
            users.iter_mut().zip(second).for_each(|(users, second)| *users &= second.users);
        }
        let both = total(&users);
        let note = format!("{first} users with step 1, {both} with steps 1 and 2, from bitmaps");
        Ok(Chosen { users: Some(users), entries: first - both, note })
    }

    fn run(&self, context: &TaskContext, metrics: &ExecutionPlanMetricsSet, durations: bool) -> Result<RecordBatch> {
        let chosen = self.choose()?;
        let scan = BehaviorScan {
            conditions: self.conditions.clone(),
            filter: self.condition.filter.clone(),
            time: self.condition.time,
            keys: self.by_columns.iter().chain(&self.hold).cloned().collect(),
            every_event: needs_every_event(&self.spec)?,
            users: chosen.users,
        };
        let (snapshot, statement) = (&self.snapshot, &self.statement);
        let table = TableScan { operator: "FUNNEL", snapshot, threads: self.threads, statement, context, metrics };
        let mut scanned = table.run(&scan, chosen.note, || self.visitor(durations))?;
        if let Some(first) = scanned.first_mut().filter(|_| chosen.entries > 0) {
            first.visitor.worker.add_entries(chosen.entries);
        }
        self.finish(scanned)
    }

    fn visitor(&self, durations: bool) -> Result<FunnelVisitor> {
        let by = self.by_columns.len();
        let worker = FunnelWorker::new(&self.spec, &self.shape, by)?;
        Ok(FunnelVisitor { worker: if durations { worker } else { worker.without_durations() }, by })
    }

    fn finish(&self, scanned: Vec<Scanned<FunnelVisitor>>) -> Result<RecordBatch> {
        let finisher =
            Finisher { shape: &self.shape, spec: &self.spec, threads: self.threads, schema: Arc::clone(&self.schema) };
        let (workers, decoders): (Vec<_>, Vec<_>) = scanned
            .into_iter()
            .map(|of| (of.visitor.worker, (LeafDecoder { leaf: self, keys: of.keys }, of.reservation)))
            .unzip();
        let workers = workers.into_iter().zip(&decoders).map(|(w, (d, _))| (w, d as &dyn Decoder)).collect();
        match self.shape.emit {
            Emit::Steps => finisher.steps(workers),
            Emit::Users => finisher.users(workers, |users| user_ids(&self.snapshot, users)),
        }
    }
}

impl Task for FunnelLeaf {
    fn name(&self) -> &'static str {
        "FunnelScan"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FunnelScan: table={}, {}", self.snapshot.table, self.summary)?;
        match self.choose() {
            Ok(chosen) => {
                let users: u64 = self.snapshot.shards.iter().map(|shard| u64::from(shard.next_ordinal)).sum();
                let read = chosen.users.as_deref().map_or(users, total);
                write!(f, ", pruned=[{}; {read} of {users} users read]", chosen.note)
            }
            Err(error) => write!(f, ", pruned=[unknown: {error}]"),
        }
    }

    fn compute(
        &self,
        context: &TaskContext,
        metrics: &ExecutionPlanMetricsSet,
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        let is_duration = |&column: &usize| DURATIONS.contains(&self.schema.field(column).name().as_str());
        let durations = columns.is_none_or(|columns| columns.iter().any(is_duration));
        self.run(context, metrics, durations)
    }
}

/// Gives users to a worker. The first `by` key columns are those of `by`, the others those of `hold`.
struct FunnelVisitor {
    worker: FunnelWorker,
    by: usize,
}

impl Visitor for FunnelVisitor {
    fn takes_bits(&self) -> bool {
        self.worker.takes_bits()
    }

    fn bits(&mut self, user: &UserBits<'_>) -> bool {
        self.worker.user_bits(user, user_number(user.shard, user.ordinal), &user.keys.of_columns(0..self.by))
    }

    fn events(&mut self, user: &UserEvents<'_>) {
        let (by, hold) = (user.keys.of_columns(0..self.by), user.keys.of_columns(self.by..user.keys.columns()));
        let number = user_number(user.shard, user.ordinal);
        self.worker.user(&UserRows { user: number, times: user.times, masks: user.masks, excludes: None, by, hold });
    }

    fn heap_bytes(&self) -> usize {
        self.worker.heap_bytes()
    }
}

struct LeafDecoder<'a> {
    leaf: &'a FunnelLeaf,
    keys: KeySpace,
}

impl Decoder for LeafDecoder<'_> {
    fn by_values(&self, keys: &[&[u32]]) -> Result<Vec<ArrayRef>> {
        values_of_keys(&self.leaf.by, &self.leaf.by_schema, &self.keys, keys)
    }
}
