//! A node of the physical plan that computes one batch on threads of its own.

use crate::error::{Error, Result};
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::statistics::StatisticsArgs;
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

    /// How many rows the answer will have, about, where that is known to be few.
    fn few_rows(&self) -> Option<usize> {
        None
    }

    /// The whole answer. Only `columns` of it will be looked at (`None`: all), so that others need not be right. Called on
    /// a thread that may block.
    ///
    /// # Errors
    /// Whatever went wrong.
    fn compute(
        &self,
        context: &TaskContext,
        metrics: &ExecutionPlanMetricsSet,
        columns: Option<&[usize]>,
    ) -> Result<RecordBatch>;
}

/// The node: one partition, no inputs.
#[derive(Debug)]
pub(crate) struct SingleExec {
    task: Arc<dyn Task>,
    /// Columns of the task's answer that are wanted; `None`: all.
    columns: Option<Arc<[usize]>>,
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
        Self { task, columns: None, schema, properties, metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The same node with only `columns` of its answer, which get the names of `schema`.
    fn narrowed(&self, columns: Vec<usize>, schema: SchemaRef) -> Self {
        Self { columns: Some(columns.into()), ..Self::new(Arc::clone(&self.task), schema) }
    }
}

/// `columns` of `batch`, with the names of `schema`.
fn project(batch: &RecordBatch, columns: &[usize], schema: &SchemaRef) -> datafusion::common::Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = columns.iter().map(|&column| Arc::clone(batch.column(column))).collect();
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

impl DisplayAs for SingleExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.task.describe(f)?;
        if self.columns.is_some() {
            let names: Vec<&str> = self.schema.fields().iter().map(|field| field.name().as_str()).collect();
            write!(f, ", columns=[{}]", names.join(", "))?;
        }
        Ok(())
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
        let (columns, schema) = (self.columns.clone(), Arc::clone(&self.schema));
        let rows = MetricBuilder::new(&self.metrics).output_rows(0);
        let answer = async move {
            let wanted = columns.clone();
            let compute = move || task.compute(&context, &metrics, wanted.as_deref());
            let computed = tokio::task::spawn_blocking(compute).await;
            let batch = match computed {
                Ok(answer) => answer?,
                Err(error) => {
                    let error = Error::internal(format!("the operator broke off: {error}"));
                    return Err(DataFusionError::from(error));
                }
            };
            let batch = match columns {
                Some(columns) => project(&batch, &columns, &schema)?,
                None => batch,
            };
            rows.add(batch.num_rows());
            Ok(futures::stream::iter(in_pieces(&batch)))
        };
        let stream = futures::TryStreamExt::try_flatten(futures::stream::once(answer));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream)))
    }

    /// Few rows are not worth being divided among threads.
    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        _args: &StatisticsArgs,
    ) -> datafusion::common::Result<Arc<Statistics>> {
        let rows = self.task.few_rows().map_or(Precision::Absent, Precision::Inexact);
        Ok(Arc::new(Statistics { num_rows: rows, ..Statistics::new_unknown(&self.schema) }))
    }

    /// A choice of columns above becomes a part of the node: what nobody looks at is not computed.
    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> datafusion::common::Result<Option<Arc<dyn ExecutionPlan>>> {
        if self.columns.is_some() {
            return Ok(None);
        }
        let columns = projection.expr().iter().map(|part| part.expr.downcast_ref::<Column>().map(Column::index));
        let Some(columns) = columns.collect::<Option<Vec<usize>>>() else { return Ok(None) };
        Ok(Some(Arc::new(self.narrowed(columns, projection.schema()))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
