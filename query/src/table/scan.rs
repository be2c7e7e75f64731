//! Reading rows of a snapshot, partition by partition.

use super::statistics;
use super::translate::Condition;
use crate::warnings::StatementState;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics};
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
use trodden_engine::predicate::{ColumnRef, Predicate};
use trodden_engine::scan::{RowPlan, RowScan, ScanReport, plan_rows};
use trodden_engine::table::Snapshot;
use trodden_engine::types::TimeRange;

/// Which rows of which snapshot.
#[derive(Debug, Clone)]
pub(crate) struct ScanRequest {
    pub(crate) snapshot: Snapshot,
    pub(crate) columns: Vec<ColumnRef>,
    pub(crate) condition: Condition,
    pub(crate) limit: Option<usize>,
    /// The condition as the plan shows it.
    pub(crate) filter_text: String,
}

/// Reads rows. What the indexes prune is decided when the plan is first shown or run.
#[derive(Debug)]
pub(crate) struct TableScanExec {
    work: Arc<Work>,
    schema: SchemaRef,
    /// Of the rows, counted when the optimizer asks: most plans are made without.
    statistics: OnceLock<Arc<Statistics>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    statement: Arc<StatementState>,
}

#[derive(Debug)]
struct Work {
    request: ScanRequest,
    plan: OnceLock<std::result::Result<RowPlan, crate::error::Error>>,
    /// The next piece of work; partitions take pieces as they get to them.
    next: AtomicUsize,
    /// Rows given out, for the limit.
    rows: AtomicUsize,
}

impl Work {
    fn plan(&self) -> Result<&RowPlan> {
        let make = || {
            let request = &self.request;
            let scan = RowScan {
                columns: request.columns.clone(),
                filter: request.condition.filter.clone(),
                time: request.condition.time,
                limit: request.limit,
            };
            plan_rows(&request.snapshot, scan).map_err(crate::error::Error::from)
        };
        // Every partition asks, so each gets an error of its own, of the same kind.
        self.plan.get_or_init(make).as_ref().map_err(|error| DataFusionError::from(error.copied()))
    }
}

impl TableScanExec {
    pub(crate) fn new(
        request: ScanRequest,
        schema: SchemaRef,
        partitions: usize,
        statement: Arc<StatementState>,
    ) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions.max(1)),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let work = Work { request, plan: OnceLock::new(), next: AtomicUsize::new(0), rows: AtomicUsize::new(0) };
        Self {
            work: Arc::new(work),
            schema,
            statistics: OnceLock::new(),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
            statement,
        }
    }
}

impl DisplayAs for TableScanExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.work.request;
        let columns: Vec<&str> = request.columns.iter().map(ColumnRef::name).collect();
        write!(f, "EventScan: table={}, columns=[{}]", request.snapshot.table, columns.join(", "))?;
        if !request.filter_text.is_empty() {
            write!(f, ", filter={}", request.filter_text)?;
        }
        if let Some(limit) = request.limit {
            write!(f, ", limit={limit}")?;
        }
        if let Ok(plan) = self.work.plan() {
            let timed = request.condition.time != TimeRange::ALL;
            let filtered = !matches!(request.condition.filter, Predicate::True);
            write!(f, ", pruned=[{}]", Pruned { report: plan.report(), timed, filtered })?;
        }
        Ok(())
    }
}

/// What was skipped, and by which index.
pub(crate) struct Pruned<'a> {
    pub(crate) report: &'a ScanReport,
    pub(crate) timed: bool,
    pub(crate) filtered: bool,
}

impl fmt::Display for Pruned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.report;
        let skipped = report.blocks_skipped_by_time + report.blocks_skipped_by_range + report.blocks_skipped_by_users;
        write!(f, "{skipped} of {} blocks", report.blocks)?;
        if self.timed {
            write!(f, ", {} by time", report.blocks_skipped_by_time)?;
        }
        if self.filtered {
            write!(f, ", {} by value range", report.blocks_skipped_by_range)?;
            write!(f, ", {} by user bitmap", report.blocks_skipped_by_users)?;
            write!(f, "; {} of {} users left by bitmaps", report.users_candidate, report.users)?;
        }
        report.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

/// The counts of a scan as metrics.
pub(crate) fn record(metrics: &ExecutionPlanMetricsSet, partition: usize, report: &ScanReport) {
    let counts = [
        ("blocks_read", report.blocks_read),
        ("blocks_skipped_by_time", report.blocks_skipped_by_time),
        ("blocks_skipped_by_range", report.blocks_skipped_by_range),
        ("blocks_skipped_by_users", report.blocks_skipped_by_users),
        ("events_read", report.events_read),
        ("events_matched", report.events_matched),
        ("users_candidate", report.users_candidate),
        ("users_matched", report.users_matched),
    ];
    for (name, value) in counts {
        let counter = MetricBuilder::new(metrics).counter(name, partition);
        counter.add(usize::try_from(value).unwrap_or(usize::MAX));
    }
}

impl ExecutionPlan for TableScanExec {
    fn name(&self) -> &str {
        "EventScan"
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
        let statement = Arc::clone(&self.statement);
        Ok(Arc::new(Self::new(request, schema, partitions, statement)))
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
        let (work, metrics) = (Arc::clone(&self.work), self.metrics.clone());
        let (statement, schema) = (Arc::clone(&self.statement), Arc::clone(&self.schema));
        builder.spawn_blocking(move || {
            let mut report = ScanReport::default();
            let result = work.run(&statement, &mut report, |batch| {
                let batch = RecordBatch::try_new_with_options(
                    Arc::clone(&schema),
                    batch.columns().to_vec(),
                    &datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
                )?;
                Ok(sender.blocking_send(Ok(batch)).is_ok())
            });
            record(&metrics, partition, &report);
            result
        });
        Ok(builder.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        if partition.is_some() {
            return Ok(Arc::new(Statistics::new_unknown(&self.schema)));
        }
        let count = || {
            let request = &self.work.request;
            let all = statistics::of_snapshot(&request.snapshot, &self.schema);
            Arc::new(if request.filter_text.is_empty() { all } else { all.to_inexact() })
        };
        Ok(Arc::clone(self.statistics.get_or_init(count)))
    }
}

impl Work {
    /// Take pieces and give their batches to `send`, until it does not want more.
    fn run(
        &self,
        statement: &StatementState,
        report: &mut ScanReport,
        send: impl Fn(RecordBatch) -> Result<bool>,
    ) -> Result<()> {
        let plan = self.plan()?;
        let limit = self.request.limit.unwrap_or(usize::MAX);
        while let Some(morsel) = plan.morsels().get(self.next.fetch_add(1, Ordering::Relaxed)) {
            statement.check_cancelled()?;
            if self.rows.load(Ordering::Relaxed) >= limit {
                break;
            }
            let batches = plan.read(morsel, report).map_err(crate::error::Error::from)?;
            for batch in batches {
                self.rows.fetch_add(batch.num_rows(), Ordering::Relaxed);
                if !send(batch)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
