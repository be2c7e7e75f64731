//! A node of the physical plan that computes one batch on threads of its own.

use crate::error::{Error, Result};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use std::fmt;
use std::sync::Arc;

/// Rows of an answer that are handed on at once.
const ROWS_PER_BATCH: usize = 8_192;

/// What the node computes.
pub(crate) trait Task: Send + Sync + fmt::Debug + 'static {
    /// Its name in plans.
    fn name(&self) -> &'static str;

    /// Its line in plans.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// The whole answer. Called on a thread that may block.
    ///
    /// # Errors
    /// Whatever went wrong.
    fn compute(&self, context: &TaskContext, metrics: &ExecutionPlanMetricsSet) -> Result<RecordBatch>;
}

/// The node: one partition, no inputs.
#[derive(Debug)]
pub(crate) struct SingleExec {
    task: Arc<dyn Task>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// One partition that comes when all is read.
pub(crate) fn single_partition(schema: &SchemaRef) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(Arc::clone(schema)),
        Partitioning::UnknownPartitioning(1),
        EmissionType::Final,
        Boundedness::Bounded,
    ))
}

/// The batch in pieces of a handy size.
pub(crate) fn in_pieces(batch: &RecordBatch) -> Vec<datafusion::common::Result<RecordBatch>> {
    let starts = (0..batch.num_rows()).step_by(ROWS_PER_BATCH);
    starts.map(|start| Ok(batch.slice(start, ROWS_PER_BATCH.min(batch.num_rows() - start)))).collect()
}

impl SingleExec {
    pub(crate) fn new(task: Arc<dyn Task>, schema: SchemaRef) -> Self {
        let properties = single_partition(&schema);
        Self { task, schema, properties, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for SingleExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.task.describe(f)
    }
}

impl ExecutionPlan for SingleExec {
    fn name(&self) -> &str {
        self.task.name()
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
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> datafusion::common::Result<TreeNodeRecursion>,
    ) -> datafusion::common::Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        _partition: usize,
        context: Arc<TaskContext>,
    ) -> datafusion::common::Result<SendableRecordBatchStream> {
        let (task, metrics) = (Arc::clone(&self.task), self.metrics.clone());
        let rows = MetricBuilder::new(&self.metrics).output_rows(0);
        let answer = async move {
            let computed = tokio::task::spawn_blocking(move || task.compute(&context, &metrics)).await;
            let batch = match computed {
                Ok(answer) => answer?,
                Err(error) => {
                    let error = Error::internal(format!("the operator broke off: {error}"));
                    return Err(DataFusionError::from(error));
                }
            };
            rows.add(batch.num_rows());
            Ok(futures::stream::iter(in_pieces(&batch)))
        };
        let stream = futures::TryStreamExt::try_flatten(futures::stream::once(answer));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
