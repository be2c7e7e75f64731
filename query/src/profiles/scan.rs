//! Reading profiles, shard by shard.

use crate::error::Error;
use crate::warnings::StatementState;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use trodden_engine::predicate::Predicate;
use trodden_engine::profiles::ProfileScan;
use trodden_engine::{ProfilesSnapshot, Snapshot};

/// Which profiles of which table.
#[derive(Debug, Clone)]
pub(super) struct ProfileRequest {
    pub(super) name: String,
    pub(super) profiles: Option<ProfilesSnapshot>,
    /// Of the event table.
    pub(super) events: Snapshot,
    pub(super) scan: ProfileScan,
    /// What bitmaps say about the users: who does not satisfy it is not read.
    pub(super) condition: Option<Predicate>,
    pub(super) limit: Option<usize>,
}

/// Reads profiles. Partitions take shards as they get to them.
#[derive(Debug)]
pub(super) struct ProfileScanExec {
    work: Arc<Work>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    statement: Arc<StatementState>,
}

#[derive(Debug)]
struct Work {
    request: ProfileRequest,
    /// The request's, with the users whom the bitmaps leave.
    scan: OnceLock<std::result::Result<ProfileScan, Error>>,
    /// The next shard.
    next: AtomicUsize,
    /// Rows given out, for the limit.
    rows: AtomicUsize,
}

impl ProfileScanExec {
    pub(super) fn new(
        request: ProfileRequest,
        schema: SchemaRef,
        partitions: usize,
        statement: Arc<StatementState>,
    ) -> Self {
        let shards = request.profiles.as_ref().map_or(1, ProfilesSnapshot::shards);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions.clamp(1, shards.max(1))),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let (next, rows) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = Work { request, scan: OnceLock::new(), next, rows };
        let metrics = ExecutionPlanMetricsSet::new();
        Self { work: Arc::new(work), schema, properties: Arc::new(properties), metrics, statement }
    }
}

impl Work {
    fn scan(&self, profiles: &ProfilesSnapshot) -> Result<&ProfileScan> {
        let request = &self.request;
        let make = || {
            let candidates =
                request.condition.as_ref().map(|condition| profiles.candidates(&request.events, condition));
            let candidates = candidates.transpose()?.map(Arc::new);
            Ok(ProfileScan { candidates, ..request.scan.clone() })
        };
        // Every partition asks, so each gets an error of its own, of the same kind.
        self.scan.get_or_init(make).as_ref().map_err(|error| DataFusionError::from(error.copied()))
    }

    /// Take shards and give their batches to `send`, until it does not want more; how many rows there were.
    fn run(&self, statement: &StatementState, send: impl Fn(RecordBatch) -> bool) -> Result<usize> {
        let Some(profiles) = &self.request.profiles else { return Ok(0) };
        let scan = self.scan(profiles)?;
        let limit = self.request.limit.unwrap_or(usize::MAX);
        let mut sent = 0;
        loop {
            let shard = self.next.fetch_add(1, Ordering::Relaxed);
            if shard >= profiles.shards() || self.rows.load(Ordering::Relaxed) >= limit {
                return Ok(sent);
            }
            statement.check_cancelled()?;
            let read = profiles.read(shard, scan, &mut |batch| {
                sent += batch.num_rows();
                let rows = batch.num_rows() + self.rows.fetch_add(batch.num_rows(), Ordering::Relaxed);
                Ok(send(batch) && rows < limit && statement.check_cancelled().is_ok())
            });
            read.map_err(Error::from)?;
            statement.check_cancelled()?;
        }
    }
}

impl DisplayAs for ProfileScanExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProfileRequest { name, scan, condition, limit, .. } = &self.work.request;
        write!(f, "ProfileScan: table={name}, columns=[{}]", scan.columns.join(", "))?;
        if let Some(users) = &scan.users {
            write!(f, ", users={}", users.len())?;
        }
        if condition.is_some() {
            write!(f, ", pruned by bitmaps")?;
        }
        if let Some(as_of_us) = scan.as_of_us {
            write!(f, ", as_of_us={as_of_us}")?;
        }
        limit.map_or(Ok(()), |limit| write!(f, ", limit={limit}"))
    }
}

impl ExecutionPlan for ProfileScanExec {
    fn name(&self) -> &str {
        "ProfileScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn replace_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = self.properties.partitioning.partition_count();
        let (request, schema) = (self.work.request.clone(), Arc::clone(&self.schema));
        Ok(Arc::new(Self::new(request, schema, partitions, Arc::clone(&self.statement))))
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), 2);
        let sender = builder.tx();
        let (work, statement) = (Arc::clone(&self.work), Arc::clone(&self.statement));
        let profiles = MetricBuilder::new(&self.metrics).counter("profiles", partition);
        builder.spawn_blocking(move || {
            profiles.add(work.run(&statement, |batch| sender.blocking_send(Ok(batch)).is_ok())?);
            Ok(())
        });
        Ok(builder.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
