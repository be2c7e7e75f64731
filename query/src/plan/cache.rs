//! Optimized plans of queries that were asked before: to plan a question takes as long as to answer it where indexes do
//! that, and the same questions are asked all day.
//!
//! A kept plan has no snapshot: its tables are names, which are bound to those of the statement that takes it. It is taken
//! only while these names mean tables with the same columns. What depends on the moment of planning, such as `now()`, is
//! never kept.

use super::catalog::Names;
use super::daily::DailyTable;
use super::peel::TableHandle;
use crate::error::Result;
use crate::sql::script::RawStatement;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource, Volatility};
use datafusion::sql::sqlparser::tokenizer::Location;
use parking_lot::Mutex;
use std::sync::Arc;

/// So many plans are kept.
const PLANS_MAX: usize = 64;
/// Longer texts are not: they were made by a program, and do not come back.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// The kept plans, the last one that was taken at the end.
#[derive(Debug, Default)]
pub(crate) struct PlanCache(Mutex<Vec<Kept>>);

#[derive(Debug)]
struct Kept {
    text: String,
    /// Where the statement stands in its script, which errors name.
    at: Location,
    meanings: Meanings,
    tables: Vec<Unbound>,
    plan: LogicalPlan,
}

/// What decides what a name means: all names of the catalog, and the version of its views.
#[derive(Debug, PartialEq)]
pub(crate) struct Meanings {
    names: Vec<String>,
    views: u64,
}

impl Meanings {
    /// As they are now: before a statement is planned.
    pub(crate) fn now(names: &Names) -> Self {
        Self { views: names.catalog.views_version(), names: names.catalog.names() }
    }
}

/// A table of a kept plan.
#[derive(Debug, Clone, PartialEq)]
struct Unbound {
    name: String,
    schema: SchemaRef,
}

impl TableSource for Unbound {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl PlanCache {
    /// The plan of a statement, over the tables as `names` sees them.
    ///
    /// # Errors
    /// Those of pinning a table.
    pub(crate) fn get(&self, raw: &RawStatement, names: &Names) -> Result<Option<LogicalPlan>> {
        let plan = {
            let mut all = self.0.lock();
            let Some(place) = all.iter().position(|kept| kept.is_of(raw)) else { return Ok(None) };
            if !all[place].is_right(names)? {
                all.remove(place);
                return Ok(None);
            }
            all[place..].rotate_left(1);
            all[all.len() - 1].plan.clone()
        };
        bound(plan, names).map(Some)
    }

    /// Keeps the optimized plan of a statement, which was planned as `planned` when names had these `meanings`.
    ///
    /// # Errors
    /// None in practice: those of walking through a plan.
    pub(crate) fn put(
        &self,
        raw: &RawStatement,
        meanings: Meanings,
        planned: &LogicalPlan,
        optimized: &LogicalPlan,
    ) -> Result<()> {
        if reads_counts(optimized) {
            return Ok(());
        }
        let kept = Kept {
            text: raw.text.clone(),
            at: raw.start,
            meanings,
            tables: super::peel::event_tables(planned).iter().map(Unbound::of).collect(),
            plan: unbound(optimized.clone())?,
        };
        let mut all = self.0.lock();
        all.retain(|other| !other.is_of(raw));
        if all.len() >= PLANS_MAX {
            all.remove(0);
        }
        all.push(kept);
        Ok(())
    }
}

impl Kept {
    fn is_of(&self, raw: &RawStatement) -> bool {
        self.text == raw.text && self.at == raw.start
    }

    fn is_right(&self, names: &Names) -> Result<bool> {
        if self.meanings != Meanings::now(names) {
            return Ok(false);
        }
        for table in &self.tables {
            if names.pinned(&table.name)?.schema != table.schema {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Unbound {
    fn of(table: &TableHandle) -> Self {
        let table = table.get();
        Self { name: table.snapshot.table.clone(), schema: Arc::clone(&table.schema) }
    }
}

/// Whether it reads counts of a snapshot in place of a table.
fn reads_counts(optimized: &LogicalPlan) -> bool {
    let mut reads = false;
    let visited = optimized.apply_with_subqueries(|plan| {
        if let LogicalPlan::TableScan(scan) = plan {
            let provider = datafusion::datasource::source_as_provider(&scan.source).ok();
            reads |= provider.is_some_and(|provider| provider.is::<DailyTable>());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok());
    reads
}

/// Whether the plan of a query, before it is optimized, may be kept: all that it reads are event tables, all functions give
/// the same at any time, and parameters are nothing but arguments of operators, which are read when they are known.
///
/// # Errors
/// None in practice: those of walking through a plan.
pub(crate) fn may_be_kept(raw: &RawStatement, planned: &LogicalPlan) -> Result<bool> {
    Ok(raw.text.len() <= TEXT_BYTES_MAX && is_lasting(planned)?)
}

/// As [`may_be_kept`], whatever the length of the text.
///
/// # Errors
/// Those of [`may_be_kept`].
pub(crate) fn is_lasting(planned: &LogicalPlan) -> Result<bool> {
    let mut lasts = true;
    planned.apply_with_subqueries(|plan| {
        lasts &= match plan {
            LogicalPlan::TableScan(scan) => match scan.source.get_logical_plan() {
                Some(view) => is_lasting(&view)?,
                None => TableHandle::of(scan).is_some(),
            },
            LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::DescribeTable(_)
            | LogicalPlan::RecursiveQuery(_)
            | LogicalPlan::Statement(_) => false,
            _ => true,
        };
        let is_operator = matches!(plan, LogicalPlan::Extension(_));
        plan.apply_expressions(|expr| {
            let is_argument = is_operator && matches!(expr, Expr::Placeholder(_));
            lasts &= is_argument || !expr.exists(|expr| Ok(depends_on_moment(expr)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if lasts { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(lasts)
}

fn depends_on_moment(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Immutable,
        Expr::Placeholder(_) | Expr::ScalarVariable(..) | Expr::HigherOrderFunction(_) => true,
        _ => false,
    }
}

/// The plan with names in place of tables.
fn unbound(plan: LogicalPlan) -> Result<LogicalPlan> {
    with_sources(plan, |source| {
        let provider = datafusion::datasource::source_as_provider(source).ok();
        let table = provider.and_then(TableHandle::of_provider);
        Ok(table.map(|table| Arc::new(Unbound::of(&table)) as Arc<dyn TableSource>))
    })
}

/// The plan with the tables of a statement in place of names.
fn bound(plan: LogicalPlan, names: &Names) -> Result<LogicalPlan> {
    with_sources(plan, |source| {
        let Some(table) = source.downcast_ref::<Unbound>() else { return Ok(None) };
        Ok(Some(provider_as_source(names.pinned(&table.name)?)))
    })
}

fn with_sources(
    plan: LogicalPlan,
    change: impl Fn(&Arc<dyn TableSource>) -> Result<Option<Arc<dyn TableSource>>>,
) -> Result<LogicalPlan> {
    let changed = plan.transform_down_with_subqueries(|plan| {
        let LogicalPlan::TableScan(mut scan) = plan else { return Ok(Transformed::no(plan)) };
        Ok(match change(&scan.source)? {
            Some(source) => {
                scan.source = source;
                Transformed::yes(LogicalPlan::TableScan(scan))
            }
            None => Transformed::no(LogicalPlan::TableScan(scan)),
        })
    })?;
    Ok(changed.data)
}
