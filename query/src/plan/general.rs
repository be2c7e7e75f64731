//! An operator over rows of any relation: gather, sort by user and time, run the same kernel.

use super::exec::{in_pieces, single_partition};
use super::gathered::Gathered;
use super::operator::Operator;
use crate::error::Error;
use crate::warnings::StatementState;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt};
use std::fmt;
use std::sync::Arc;
use trodden_engine::table::Snapshot;
use trodden_engine::types::TimeRange;

/// What an operator over any relation needs to know.
#[derive(Debug)]
pub(crate) struct General<O: Operator> {
    pub(crate) operator: Arc<O>,
    pub(crate) spec: O::Spec,
    /// What is computed from a row of the input: user, time, conditions, columns, by, keys of its order.
    pub(crate) exprs: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) conditions: usize,
    pub(crate) columns: usize,
    pub(crate) order: RowOrder,
    /// The event table whose rows these are, and the time of the input, where it is one.
    pub(crate) table: Option<(Snapshot, TimeRange)>,
    pub(crate) threads: usize,
    pub(crate) statement: Arc<StatementState>,
    pub(crate) schema: SchemaRef,
    pub(crate) summary: String,
}

/// What decides among rows of equal user and time. Never the way in which threads happened to deliver them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RowOrder {
    /// The order in which they come, which is that of arrival: the input is an event table, read as one partition.
    Arrival,
    /// The keys of the input's own order, then the content of the rows.
    Keys(Vec<SortOptions>),
    /// The content of the rows.
    Content,
}

impl RowOrder {
    pub(super) fn keys(&self) -> &[SortOptions] {
        match self {
            Self::Keys(keys) => keys,
            Self::Arrival | Self::Content => &[],
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Arrival => "arrival",
            Self::Keys(_) => "input order",
            Self::Content => "content",
        }
    }
}

/// The node of the physical plan.
#[derive(Debug)]
pub(crate) struct GeneralExec<O: Operator> {
    general: Arc<General<O>>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl<O: Operator> GeneralExec<O> {
    pub(crate) fn new(general: Arc<General<O>>, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = single_partition(&general.schema);
        Self { general, input, properties, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl<O: Operator> DisplayAs for GeneralExec<O> {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, ties of time by {}", O::NODE, self.general.summary, self.general.order.name())
    }
}

impl<O: Operator> ExecutionPlan for GeneralExec<O> {
    fn name(&self) -> &str {
        O::NODE
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(Arc::clone(&self.general), children.swap_remove(0))))
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(Arc::clone(&self.general), children.swap_remove(0))))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> datafusion::common::Result<TreeNodeRecursion>,
    ) -> datafusion::common::Result<TreeNodeRecursion> {
        for expr in &self.general.exprs {
            if f(expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn execute(
        &self,
        _partition: usize,
        context: Arc<TaskContext>,
    ) -> datafusion::common::Result<SendableRecordBatchStream> {
        let count = self.input.output_partitioning().partition_count();
        let streams = (0..count).map(|partition| self.input.execute(partition, Arc::clone(&context)));
        let streams = streams.collect::<datafusion::common::Result<Vec<_>>>()?;
        let general = Arc::clone(&self.general);
        if general.order == RowOrder::Arrival && count != 1 {
            let error = Error::internal(format!("an order of arrival needs one partition, not {count}"));
            return Err(error.into());
        }
        let types = general.exprs.iter().map(|expr| expr.data_type(&self.input.schema()));
        let types = types.collect::<datafusion::common::Result<Vec<_>>>()?;
        let (events, users) = (
            MetricBuilder::new(&self.metrics).counter("events_read", 0),
            MetricBuilder::new(&self.metrics).counter("users_read", 0),
        );
        let reservation = MemoryConsumer::new(O::NAME).register(context.memory_pool());
        let answer = async move {
            let mut gathered = Gathered::new(&general, &types, reservation)?;
            let mut batches = futures::stream::select_all(streams);
            while let Some(batch) = batches.next().await {
                general.statement.check_cancelled()?;
                let batch = batch?;
                events.add(batch.num_rows());
                gathered.add(&general, &batch)?;
            }
            let computed = tokio::task::spawn_blocking(move || {
                let (answer, seen) = gathered.finish(&general)?;
                users.add(seen);
                Ok::<_, Error>(answer)
            });
            let computed = computed.await;
            let answer = computed.map_err(|error| Error::internal(format!("{} broke off: {error}", O::NAME)))??;
            Ok::<_, DataFusionError>(futures::stream::iter(in_pieces(&answer)))
        };
        let stream = futures::stream::once(answer).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.general.schema), stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

impl<O: Operator> General<O> {
    /// The first of the operator's columns among `exprs`.
    pub(super) fn columns_start(&self) -> usize {
        2 + self.conditions
    }

    /// The first of the `by` expressions.
    pub(super) fn by_start(&self) -> usize {
        self.columns_start() + self.columns
    }

    /// The first of the keys of the input's order.
    pub(super) fn order_start(&self) -> usize {
        self.exprs.len() - self.order.keys().len()
    }
}
