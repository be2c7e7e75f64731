//! The physical node: reads the answers of both sides whole, and compares them.

use super::rows::Layout;
use crate::error::Error;
use crate::plan::exec::{in_pieces, single_partition};
use crate::warnings::StatementState;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, InputDistributionRequirements, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{StreamExt, TryStreamExt};
use std::fmt;
use std::sync::Arc;

/// The node: one partition, two inputs of one partition each.
#[derive(Debug)]
pub(crate) struct CompareExec {
    layout: Layout,
    sides: [Arc<dyn ExecutionPlan>; 2],
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl CompareExec {
    pub(crate) fn new(layout: Layout, sides: [Arc<dyn ExecutionPlan>; 2], schema: SchemaRef) -> Self {
        let properties = single_partition(&schema);
        Self { layout, sides, schema, properties, metrics: ExecutionPlanMetricsSet::new() }
    }

    fn over(&self, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let sides = children.try_into().map_err(|_| Error::internal("a comparison has two inputs"))?;
        Ok(Arc::new(Self::new(self.layout, sides, Arc::clone(&self.schema))))
    }
}

/// The whole answer of a side, whose memory is counted.
async fn whole(mut rows: SendableRecordBatchStream, memory: &MemoryReservation) -> Result<RecordBatch> {
    let mut batches = Vec::new();
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        memory.try_grow(batch.get_array_memory_size())?;
        batches.push(batch);
    }
    Ok(concat_batches(&rows.schema(), &batches)?)
}

impl DisplayAs for CompareExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compare")
    }
}

impl ExecutionPlan for CompareExec {
    fn name(&self) -> &str {
        "Compare"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.sides.iter().collect()
    }

    /// The rows of a group are matched in the order in which the operator gives them.
    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition; 2])
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.over(children)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.over(children)
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, _partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let [side, other] = &self.sides;
        let (side, other) = (side.execute(0, Arc::clone(&context))?, other.execute(0, Arc::clone(&context))?);
        let memory = MemoryConsumer::new("compare").register(context.memory_pool());
        let (layout, schema) = (self.layout, Arc::clone(&self.schema));
        let statement = StatementState::of(context.session_config());
        let rows = MetricBuilder::new(&self.metrics).output_rows(0);
        let answer = async move {
            // One after the other: each takes all threads.
            let sides = [whole(side, &memory).await?, whole(other, &memory).await?];
            let count = sides.iter().map(RecordBatch::num_rows).sum();
            memory.try_grow(layout.memory_bytes(count, memory.size()))?;
            let computed = tokio::task::spawn_blocking(move || layout.compared(sides, &schema, &statement)).await;
            let answer = computed.map_err(|error| Error::internal(format!("a comparison broke off: {error}")))??;
            rows.add(answer.num_rows());
            Ok::<_, DataFusionError>(futures::stream::iter(in_pieces(&answer)))
        };
        let stream = futures::stream::once(answer).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
