//! Places of a plan at which a cancelled statement ends.
//!
//! The scans and the operators of trodden look at the wish to stop themselves. DataFusion's own nodes do not: a join that
//! makes a billion rows of a few would run to its end. So what begins a stream of rows, and what can make many rows of
//! few, gets a node above it that hands batches on until the statement is cancelled, and lets other tasks run between. A
//! join may compare for a long time before it gives a row: its condition asks as well. Only the last step of a sort or of a
//! grouping cannot be stopped inside.

use crate::plan::exec::SingleExec;
use crate::table::scan::TableScanExec;
use crate::warnings::StatementState;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// `plan` with places to stop at.
pub(crate) fn stoppable(
    plan: Arc<dyn ExecutionPlan>,
    statement: &Arc<StatementState>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let wrap = |plan: Arc<dyn ExecutionPlan>| {
        let plan = stoppable_condition(plan, statement)?;
        let multiplies = plan.children().len() > 1 || plan.is::<UnnestExec>();
        let begins = plan.children().is_empty() && !plan.is::<TableScanExec>() && !plan.is::<SingleExec>();
        Ok(match multiplies || begins {
            true => Transformed::yes(
                Arc::new(StoppableExec { input: plan, statement: Arc::clone(statement) }) as Arc<dyn ExecutionPlan>
            ),
            false => Transformed::no(plan),
        })
    };
    plan.transform_up(wrap).data()
}

/// A join with a condition gets one that asks: it may compare for long before a row fits.
fn stoppable_condition(
    plan: Arc<dyn ExecutionPlan>,
    statement: &Arc<StatementState>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let asking = |filter: &JoinFilter| {
        let (inner, statement) = (Arc::clone(filter.expression()), Arc::clone(statement));
        let condition = Arc::new(StoppableExpr { inner, statement });
        Some(JoinFilter::new(condition, filter.column_indices().to_vec(), Arc::clone(filter.schema())))
    };
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>()
        && let Some(filter) = join.filter()
    {
        return Ok(Arc::new(NestedLoopJoinExecBuilder::from(join).with_filter(asking(filter)).build()?));
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>()
        && let Some(filter) = join.filter()
    {
        return Ok(Arc::new(HashJoinExecBuilder::from(join).with_filter(asking(filter)).build()?));
    }
    Ok(plan)
}

/// The value of an expression, until the statement is cancelled.
#[derive(Debug)]
struct StoppableExpr {
    inner: Arc<dyn PhysicalExpr>,
    statement: Arc<StatementState>,
}

impl PartialEq for StoppableExpr {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for StoppableExpr {}

impl Hash for StoppableExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for StoppableExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for StoppableExpr {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.statement.check_cancelled()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(match children.pop() {
            Some(inner) => Arc::new(Self { inner, statement: Arc::clone(&self.statement) }),
            None => self,
        })
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

/// Hands on what its input gives, until the statement is cancelled.
#[derive(Debug)]
struct StoppableExec {
    input: Arc<dyn ExecutionPlan>,
    statement: Arc<StatementState>,
}

impl DisplayAs for StoppableExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stoppable")
    }
}

impl ExecutionPlan for StoppableExec {
    fn name(&self) -> &str {
        "Stoppable"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(match children.pop() {
            Some(input) => Arc::new(Self { input, statement: Arc::clone(&self.statement) }),
            None => self,
        })
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let statement = Arc::clone(&self.statement);
        let batches = make_cooperative(self.input.execute(partition, context)?);
        let checked = batches.map(move |batch: Result<RecordBatch>| {
            statement.check_cancelled()?;
            batch
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.input.schema(), checked)))
    }
}
