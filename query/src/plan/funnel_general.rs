//! FUNNEL over rows of any relation: gather, sort by user and time, run the same kernel.

use super::exec::{in_pieces, single_partition};
use super::funnel_finish::{Decoder, Finisher};
use super::funnel_node::{Emit, FunnelShape};
use super::funnel_worker::{FunnelWorker, UserRows, needs_every_event};
use super::intern::{Interner, clear_nulls};
use crate::behavior::funnel::FunnelSpec;
use crate::error::{Error, Result};
use crate::warnings::StatementState;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
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
use trodden_engine::scan::{KeyCodes, Keys, Times};

/// What a funnel over any relation needs to know.
#[derive(Debug)]
pub(crate) struct GeneralFunnel {
    pub(crate) shape: Arc<FunnelShape>,
    pub(crate) spec: FunnelSpec,
    /// What is computed from a row of the input: user, time, steps, exclusions, hold, by, keys of its order.
    pub(crate) exprs: Vec<Arc<dyn PhysicalExpr>>,
    pub(crate) hold: usize,
    pub(crate) order: RowOrder,
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
    fn keys(&self) -> &[SortOptions] {
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
pub(crate) struct FunnelExec {
    funnel: Arc<GeneralFunnel>,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FunnelExec {
    pub(crate) fn new(funnel: Arc<GeneralFunnel>, input: Arc<dyn ExecutionPlan>) -> Self {
        let properties = single_partition(&funnel.schema);
        Self { funnel, input, properties, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for FunnelExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Funnel: {}, ties of time by {}", self.funnel.summary, self.funnel.order.name())
    }
}

impl ExecutionPlan for FunnelExec {
    fn name(&self) -> &str {
        "Funnel"
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
        Ok(Arc::new(Self::new(Arc::clone(&self.funnel), children.swap_remove(0))))
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(Arc::clone(&self.funnel), children.swap_remove(0))))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> datafusion::common::Result<TreeNodeRecursion>,
    ) -> datafusion::common::Result<TreeNodeRecursion> {
        for expr in &self.funnel.exprs {
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
        let funnel = Arc::clone(&self.funnel);
        if funnel.order == RowOrder::Arrival && count != 1 {
            let error = Error::internal(format!("an order of arrival needs one partition, not {count}"));
            return Err(error.into());
        }
        let types = funnel.exprs.iter().map(|expr| expr.data_type(&self.input.schema()));
        let types = types.collect::<datafusion::common::Result<Vec<_>>>()?;
        let (events, users) = (
            MetricBuilder::new(&self.metrics).counter("events_read", 0),
            MetricBuilder::new(&self.metrics).counter("users_read", 0),
        );
        let reservation = MemoryConsumer::new("FUNNEL").register(context.memory_pool());
        let answer = async move {
            let mut gathered = Gathered::new(&funnel, &types, reservation)?;
            let mut batches = futures::stream::select_all(streams);
            while let Some(batch) = batches.next().await {
                funnel.statement.check_cancelled()?;
                let batch = batch?;
                events.add(batch.num_rows());
                gathered.add(&funnel, &batch)?;
            }
            let computed = tokio::task::spawn_blocking(move || {
                let (answer, seen) = gathered.finish(&funnel)?;
                users.add(seen);
                Ok::<_, Error>(answer)
            });
            let computed = computed.await;
            let answer = computed.map_err(|error| Error::internal(format!("the funnel broke off: {error}")))??;
            Ok::<_, DataFusionError>(futures::stream::iter(in_pieces(&answer)))
        };
        let stream = futures::stream::once(answer).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.funnel.schema), stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// All rows that matter, as codes.
#[derive(Debug, Default, Clone)]
struct Columns {
    user: Vec<u32>,
    ts: Vec<i64>,
    steps: Vec<u64>,
    excludes: Vec<u64>,
    hold: Vec<u32>,
    by: Vec<u32>,
    order: Vec<u32>,
}

/// All `by` expressions of a row have one code.
const BY_COLUMNS: usize = 1;

struct Gathered {
    users: Interner,
    hold: Interner,
    by: Interner,
    order: Interner,
    columns: Columns,
    every_event: bool,
    reservation: MemoryReservation,
}

/// Bytes of a row in [`Columns`], twice: sorting makes a copy.
const ROW_BYTES: usize = 2 * 44;

impl Gathered {
    fn new(funnel: &GeneralFunnel, types: &[DataType], reservation: MemoryReservation) -> Result<Self> {
        let (hold, by, order) = (funnel.hold_start(), funnel.by_start(), funnel.order_start());
        Ok(Self {
            users: Interner::new(&types[..1])?,
            hold: Interner::new(&types[hold..by])?,
            by: Interner::new(&types[by..order])?,
            order: Interner::in_order(&types[order..], funnel.order.keys())?,
            columns: Columns::default(),
            every_event: needs_every_event(&funnel.spec)?,
            reservation,
        })
    }

    fn add(&mut self, funnel: &GeneralFunnel, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        let evaluate = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
        let columns: Vec<ArrayRef> = funnel.exprs.iter().map(evaluate).collect::<datafusion::common::Result<_>>()?;
        let steps = funnel.spec.steps.len();
        let step_masks = masks(&columns[2..2 + steps], rows);
        let exclude_masks = masks(&columns[2 + steps..funnel.hold_start()], rows);
        let codes = |interner: &mut Interner, columns: &[ArrayRef]| -> Result<Vec<u32>> {
            let mut codes = Vec::with_capacity(rows);
            interner.add(columns, rows, &mut codes)?;
            Ok(codes)
        };
        let user = codes(&mut self.users, &columns[..1])?;
        let hold_columns = &columns[funnel.hold_start()..funnel.by_start()];
        let mut hold = codes(&mut self.hold, hold_columns)?;
        clear_nulls(hold_columns, &mut hold);
        let by = codes(&mut self.by, &columns[funnel.by_start()..funnel.order_start()])?;
        let order = codes(&mut self.order, &columns[funnel.order_start()..])?;
        let ts = columns[1].as_primitive::<TimestampMicrosecondType>();
        let all = &mut self.columns;
        for row in 0..rows {
            let matters = self.every_event || step_masks[row] | exclude_masks[row] != 0;
            // Code 0 is NULL: an event without a user or a time is none.
            if user[row] == 0 || ts.is_null(row) || !matters {
                continue;
            }
            all.user.push(user[row]);
            all.ts.push(ts.value(row));
            all.steps.push(step_masks[row]);
            all.excludes.push(exclude_masks[row]);
            all.hold.push(hold[row]);
            all.by.push(by[row]);
            all.order.push(order[row]);
        }
        let interned = [&self.users, &self.hold, &self.by, &self.order].map(Interner::memory_bytes);
        self.reservation.try_resize(all.user.len() * ROW_BYTES + interned.iter().sum::<usize>())?;
        Ok(())
    }

    /// The rows in the order of the kernel. What decides among rows that are equal in user and time says
    /// [`RowOrder`]; where their content does, rows that are equal in it are of no difference to the answer.
    fn sorted(&mut self, decides: &RowOrder) -> Columns {
        let all = std::mem::take(&mut self.columns);
        let [hold_ranks, by_ranks, order_ranks] = [&self.hold, &self.by, &self.order].map(Interner::ranks);
        let mut order: Vec<u32> = (0..all.user.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| {
            let (x, y) = (a as usize, b as usize);
            let time = (all.user[x], all.ts[x]).cmp(&(all.user[y], all.ts[y]));
            if *decides == RowOrder::Arrival {
                return time.then(a.cmp(&b));
            }
            let content = |row: usize| {
                let ranks = (by_ranks[all.by[row] as usize], hold_ranks[all.hold[row] as usize]);
                (order_ranks[all.order[row] as usize], all.steps[row], all.excludes[row], ranks)
            };
            time.then_with(|| content(x).cmp(&content(y)))
        });
        fn permuted<T: Copy>(values: &[T], order: &[u32]) -> Vec<T> {
            order.iter().map(|&row| values[row as usize]).collect()
        }
        Columns {
            user: permuted(&all.user, &order),
            ts: permuted(&all.ts, &order),
            steps: permuted(&all.steps, &order),
            excludes: permuted(&all.excludes, &order),
            hold: permuted(&all.hold, &order),
            by: permuted(&all.by, &order),
            order: Vec::new(),
        }
    }

    fn finish(mut self, funnel: &GeneralFunnel) -> Result<(RecordBatch, usize)> {
        let mut rows = self.sorted(&funnel.order);
        let keys = [&mut rows.by, &mut rows.hold].map(|codes| [KeyCodes::PerEvent(std::mem::take(codes))]);
        let users: Vec<&[u32]> = rows.user.chunk_by(|a, b| a == b).collect();
        let share = users.len().div_ceil(funnel.threads.max(1)).max(1);
        let mut start = 0;
        let mut shares = Vec::new();
        for users in users.chunks(share) {
            let length: usize = users.iter().map(|user| user.len()).sum();
            shares.push(start..start + length);
            start += length;
        }
        let seen = users.len();
        let workers: Vec<Result<FunnelWorker>> = std::thread::scope(|scope| {
            let run = |share: std::ops::Range<usize>| scope.spawn(|| run_share(funnel, &rows, &keys, share));
            let running: Vec<_> = shares.into_iter().map(run).collect();
            let broken = |_| Err(Error::internal("a thread of the funnel broke off"));
            running.into_iter().map(|thread| thread.join().unwrap_or_else(broken)).collect()
        });
        let mut workers = workers.into_iter().collect::<Result<Vec<_>>>()?;
        if workers.is_empty() {
            workers.push(FunnelWorker::new(&funnel.spec, &funnel.shape, BY_COLUMNS)?);
        }
        let finisher = Finisher {
            shape: &funnel.shape,
            spec: &funnel.spec,
            threads: funnel.threads,
            schema: Arc::clone(&funnel.schema),
        };
        let decoder = GeneralDecoder(&self.by);
        let workers = workers.into_iter().map(|worker| (worker, &decoder as &dyn Decoder)).collect();
        let answer = match funnel.shape.emit {
            Emit::Steps => finisher.steps(workers),
            Emit::Users => finisher.users(workers, |users| {
                let mut columns = self.users.decode(users.iter().map(|&user| user as u32))?;
                Ok(columns.swap_remove(0))
            }),
        };
        Ok((answer?, seen))
    }
}

fn run_share(
    funnel: &GeneralFunnel,
    rows: &Columns,
    [by, hold]: &[[KeyCodes; 1]; 2],
    share: std::ops::Range<usize>,
) -> Result<FunnelWorker> {
    let mut worker = FunnelWorker::new(&funnel.spec, &funnel.shape, BY_COLUMNS)?;
    let mut start = share.start;
    for (count, user) in rows.user[share].chunk_by(|a, b| a == b).enumerate() {
        if count % 1_024 == 0 {
            funnel.statement.check_cancelled()?;
        }
        let range = start..start + user.len();
        start = range.end;
        worker.user(&UserRows {
            user: u64::from(user[0]),
            times: Times::Decoded(&rows.ts[range.clone()]),
            masks: &rows.steps[range.clone()],
            excludes: Some(&rows.excludes[range.clone()]),
            by: Keys::new(by, 0, range.start),
            hold: if funnel.spec.hold { Keys::new(hold, 0, range.start) } else { Keys::none() },
        });
    }
    Ok(worker)
}

impl GeneralFunnel {
    fn hold_start(&self) -> usize {
        2 + self.spec.steps.len() + self.spec.excludes.len()
    }

    fn by_start(&self) -> usize {
        self.hold_start() + self.hold
    }

    fn order_start(&self) -> usize {
        self.exprs.len() - self.order.keys().len()
    }
}

/// The truth of boolean columns as bits; NULL is false.
fn masks(columns: &[ArrayRef], rows: usize) -> Vec<u64> {
    let mut masks = vec![0u64; rows];
    for (bit, column) in columns.iter().enumerate() {
        let Some(truth) = column.as_boolean_opt() else { continue };
        for (row, mask) in masks.iter_mut().enumerate() {
            *mask |= u64::from(truth.is_valid(row) && truth.value(row)) << bit;
        }
    }
    masks
}

struct GeneralDecoder<'a>(&'a Interner);

impl Decoder for GeneralDecoder<'_> {
    fn by_values(&self, keys: &[&[u32]]) -> Result<Vec<ArrayRef>> {
        self.0.decode(keys.iter().map(|key| key[0]))
    }
}
