//! An event table as a table of DataFusion, pinned at one snapshot.

use super::scan::{ScanRequest, TableScanExec};
use super::sink::EventSink;
use super::translate::{Translator, event_names, is_row_condition};
use super::{schema, statistics};
use crate::error::{Error, ErrorKind};
use crate::warnings::{StatementState, unknown_events};
use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result, Statistics};
use datafusion::datasource::sink::DataSinkExec;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use std::fmt;
use std::sync::{Arc, OnceLock};
use trodden_engine::ProfilesSnapshot;
use trodden_engine::predicate::ColumnRef;
use trodden_engine::table::{Snapshot, Table};

/// A table, the snapshot that a statement reads, and its columns.
pub(crate) struct EventTable {
    pub(crate) table: Arc<Table>,
    pub(crate) snapshot: Snapshot,
    pub(crate) schema: SchemaRef,
    profiles: OnceLock<Option<ProfilesSnapshot>>,
}

impl fmt::Debug for EventTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventTable({})", self.snapshot.table)
    }
}

impl EventTable {
    /// `table` as it is now.
    pub(crate) fn pin(table: Arc<Table>) -> Self {
        let snapshot = table.snapshot();
        let schema = schema::table_schema(&snapshot.schema);
        Self { table, snapshot, schema, profiles: OnceLock::new() }
    }

    /// The profiles of its users, pinned when the statement first asks for them: never before the table itself, so that they
    /// are of no user whom the snapshot has lost.
    pub(crate) fn profiles(&self) -> Option<&ProfilesSnapshot> {
        let now = || self.table.profiles().map(|profiles| profiles.snapshot());
        self.profiles.get_or_init(now).as_ref()
    }

    fn columns(&self, projection: Option<&Vec<usize>>) -> Vec<ColumnRef> {
        let all: Vec<usize>;
        let chosen = match projection {
            Some(projection) => projection,
            None => {
                all = (0..self.schema.fields().len()).collect();
                &all
            }
        };
        chosen.iter().map(|&column| ColumnRef::from_name(self.schema.field(column).name())).collect()
    }
}

#[async_trait]
impl TableProvider for EventTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.rows(state, projection, filters, limit, state.config().target_partitions())
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = |filter: &&Expr| match is_row_condition(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(statistics::of_snapshot(&self.snapshot, &self.schema))
    }

    async fn insert_into(
        &self,
        _state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        insert_op: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if insert_op != InsertOp::Append {
            return Err(DataFusionError::from(
                Error::new(ErrorKind::Unsupported, "events are added, never replaced").with_hint("use INSERT INTO"),
            ));
        }
        let sink = EventSink::new(Arc::clone(&self.table), Arc::clone(&self.schema));
        Ok(Arc::new(DataSinkExec::new(input, Arc::new(sink), None)))
    }
}

impl EventTable {
    /// A scan of the rows for which all `filters` are true. With one partition they come in order of shard and arrival.
    pub(crate) fn rows(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
        partitions: usize,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let translator = Translator { table: self.snapshot.id, schema: &self.schema, props: state.execution_props() };
        let condition = translator.conjunction(filters)?;
        let statement = StatementState::of(state.config());
        let mut names = Vec::new();
        event_names(&condition.filter, &mut names);
        unknown_events(&self.snapshot, &names, &statement);
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => Arc::clone(&self.schema),
        };
        let request = ScanRequest {
            snapshot: self.snapshot.clone(),
            columns: self.columns(projection),
            condition,
            limit,
            filter_text: filters.iter().map(ToString::to_string).collect::<Vec<_>>().join(" AND "),
        };
        Ok(Arc::new(TableScanExec::new(request, schema, partitions, statement)))
    }
}
