//! Counts by day as a table: a row for each day, or each day and name, with any event.

use crate::error::{Error, Result};
use crate::plan::exec::{SingleExec, Task};
use crate::table::translate::{Condition, event_names};
use crate::warnings::{StatementState, unknown_events};
use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use trodden_engine::parallel;
use trodden_engine::scan::{DailyByName, daily, daily_counts};
use trodden_engine::table::Snapshot;

/// What a column has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// The calendar day, in UTC.
    Day,
    /// The name of events.
    Name,
    /// Distinct users.
    Users,
    /// Events.
    Events,
}

/// The table.
#[derive(Clone)]
pub(crate) struct DailyTable {
    snapshot: Snapshot,
    condition: Condition,
    columns: Vec<(Measure, DataType)>,
    by_name: bool,
    schema: SchemaRef,
}

impl fmt::Debug for DailyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DailyTable({})", self.snapshot.table)
    }
}

impl DailyTable {
    /// Counts of a snapshot, in columns of these types, which are not NULL.
    pub(super) fn new(snapshot: Snapshot, condition: Condition, columns: Vec<(Measure, DataType)>) -> Self {
        let field = |(at, (_, data_type)): (usize, &(Measure, DataType))| {
            Field::new(format!("column_{at}"), data_type.clone(), false)
        };
        let schema = Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()));
        let by_name = columns.iter().any(|(measure, _)| *measure == Measure::Name);
        Self { snapshot, condition, columns, by_name, schema }
    }

    /// What it is called in plans.
    pub(super) fn name(&self) -> String {
        format!("counts_by_day_of_{}", self.snapshot.table)
    }
}

#[async_trait]
impl TableProvider for DailyTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        let statement = StatementState::of(state.config());
        let mut names = Vec::new();
        event_names(&self.condition.filter, &mut names);
        unknown_events(&self.snapshot, &names, &statement);
        let mut table = self.clone();
        if let Some(projection) = projection {
            table.schema = Arc::new(self.schema.project(projection)?);
            table.columns = projection.iter().map(|&at| self.columns[at].clone()).collect();
        }
        let schema = Arc::clone(&table.schema);
        let task = DailyTask { table, threads: state.config().target_partitions(), statement };
        Ok(Arc::new(SingleExec::new(Arc::new(task), schema)))
    }
}

/// Days that a table has, about.
const DAYS: usize = 100;

struct DailyTask {
    table: DailyTable,
    threads: usize,
    statement: Arc<StatementState>,
}

impl fmt::Debug for DailyTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DailyTask({:?})", self.table)
    }
}

/// Users and events of a row.
type Counts = (u64, u64);

impl Task for DailyTask {
    fn name(&self) -> &'static str {
        "CountsByDay"
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = if self.table.by_name { "day, event" } else { "day" };
        write!(f, "CountsByDay: table={}, by=[{by}], answered by day bitmaps", self.table.snapshot.table)
    }

    fn few_rows(&self) -> Option<usize> {
        Some(DAYS)
    }

    fn compute(
        &self,
        _context: &TaskContext,
        _metrics: &ExecutionPlanMetricsSet,
        _columns: Option<&[usize]>,
    ) -> Result<RecordBatch> {
        let DailyTable { snapshot, condition, by_name, .. } = &self.table;
        let shards: Vec<usize> = (0..snapshot.shards.len()).collect();
        let of_shards = parallel::map_all(&shards, self.threads, |&shard| -> Result<_> {
            self.statement.check_cancelled()?;
            if *by_name && let Some(found) = daily_counts(snapshot, shard, &condition.filter, condition.time)? {
                return Ok(found
                    .into_iter()
                    .map(|(name, day, users, events)| ((name, day), (users, events)))
                    .collect());
            }
            let found = daily(snapshot, shard, &condition.filter, condition.time)?;
            let found = found.ok_or_else(|| Error::internal("the bitmaps of days do not say what they said"))?;
            Ok(if *by_name { by_name_and_day(found) } else { by_day(found) })
        });
        let mut rows: BTreeMap<(Box<str>, i32), Counts> = BTreeMap::new();
        for of_shard in of_shards {
            for (key, (users, events)) in of_shard? {
                let counts = rows.entry(key).or_default();
                *counts = (counts.0 + users, counts.1 + events);
            }
        }
        let columns = self.table.columns.iter().map(|(measure, data_type)| column(&rows, *measure, data_type));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.table.schema), columns, &options);
        Ok(batch.map_err(DataFusionError::from)?)
    }
}

fn by_name_and_day(found: DailyByName) -> Vec<((Box<str>, i32), Counts)> {
    let of_name = |(name, days): (Box<str>, BTreeMap<i32, trodden_engine::scan::Daily>)| {
        days.into_iter().map(move |(day, of_day)| ((name.clone(), day), (of_day.users.len(), of_day.events)))
    };
    found.into_iter().flat_map(of_name).collect()
}

/// A user with several names on a day counts once.
fn by_day(found: DailyByName) -> Vec<((Box<str>, i32), Counts)> {
    let mut days: BTreeMap<i32, (RoaringBitmap, u64)> = BTreeMap::new();
    for (day, of_day) in found.into_values().flatten() {
        let known = days.entry(day).or_default();
        known.0 |= &*of_day.users;
        known.1 += of_day.events;
    }
    days.into_iter().map(|(day, (users, events))| ((Box::default(), day), (users.len(), events))).collect()
}

fn column(rows: &BTreeMap<(Box<str>, i32), Counts>, measure: Measure, data_type: &DataType) -> Result<ArrayRef> {
    let number = |count: fn(&Counts) -> u64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.values().map(|counts| count(counts).cast_signed())))
    };
    let values: ArrayRef = match measure {
        Measure::Day => Arc::new(Date32Array::from_iter_values(rows.keys().map(|key| key.1))),
        Measure::Name => Arc::new(StringArray::from_iter_values(rows.keys().map(|key| &key.0))),
        Measure::Users => number(|counts| counts.0),
        Measure::Events => number(|counts| counts.1),
    };
    if values.data_type() == data_type {
        return Ok(values);
    }
    Ok(cast(&values, data_type).map_err(DataFusionError::from)?)
}
