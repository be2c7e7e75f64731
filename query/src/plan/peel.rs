//! Does a relation read one event table, with nothing but filters and columns on the way? Then an operator over it can
//! read the table itself, through its indexes.

use super::node::OperatorNode;
use super::segment::Segment;
use crate::table::provider::EventTable;
use crate::table::translate::{is_row_condition, unqualified};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType, Result};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, TableScan};
use std::sync::Arc;

/// A relation that is an event table, some rows of it, with some columns computed of its own.
#[derive(Debug)]
pub(crate) struct Peeled {
    pub(crate) table: TableHandle,
    /// Rows for which all of these are true, over the table's columns.
    pub(crate) filters: Vec<Expr>,
    /// Segments whose users alone have rows.
    pub(crate) among: Vec<OperatorNode<Segment>>,
    /// What each column of the relation is, over the table's columns.
    columns: Vec<Expr>,
}

/// An event table behind its provider.
#[derive(Debug, Clone)]
pub(crate) struct TableHandle(Arc<dyn datafusion::catalog::TableProvider>);

impl TableHandle {
    pub(crate) fn get(&self) -> &EventTable {
        self.0.downcast_ref::<EventTable>().expect("checked when the handle was made")
    }

    /// That of a scan, if it reads one.
    pub(crate) fn of(scan: &TableScan) -> Option<Self> {
        Self::of_provider(source_as_provider(&scan.source).ok()?)
    }

    /// That of a provider, if it is one.
    pub(crate) fn of_provider(provider: Arc<dyn datafusion::catalog::TableProvider>) -> Option<Self> {
        provider.is::<EventTable>().then_some(Self(provider))
    }
}

impl Peeled {
    /// Take `plan` apart; `None` where it does more than filter and compute.
    pub(crate) fn of(plan: &LogicalPlan) -> Result<Option<Self>> {
        Ok(Self::among_segments(plan)?.filter(|peeled| peeled.among.is_empty()))
    }

    /// As [`Self::of`], where rows may also be those of the users of segments.
    pub(crate) fn among_segments(plan: &LogicalPlan) -> Result<Option<Self>> {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => Self::among_segments(&alias.input),
            LogicalPlan::Join(join) => Self::of_join(join),
            LogicalPlan::Filter(filter) => {
                let Some(mut inner) = Self::among_segments(&filter.input)? else { return Ok(None) };
                let Some(predicate) = inner.rebase(&filter.predicate, filter.input.schema())? else { return Ok(None) };
                inner.filters.push(predicate);
                Ok(Some(inner))
            }
            LogicalPlan::Projection(projection) => {
                let Some(mut inner) = Self::among_segments(&projection.input)? else { return Ok(None) };
                let mut columns = Vec::with_capacity(projection.expr.len());
                for expr in &projection.expr {
                    let Some(expr) = inner.rebase(expr, projection.input.schema())? else { return Ok(None) };
                    columns.push(expr);
                }
                inner.columns = columns;
                Ok(Some(inner))
            }
            LogicalPlan::TableScan(scan) => Self::of_scan(scan),
            _ => Ok(None),
        }
    }

    fn of_scan(scan: &TableScan) -> Result<Option<Self>> {
        let Some(table) = TableHandle::of(scan).filter(|_| scan.fetch.is_none()) else { return Ok(None) };
        let filters = scan.filters.iter().cloned().map(unqualified).collect::<Result<Vec<_>>>()?;
        if !filters.iter().all(is_row_condition) {
            return Ok(None);
        }
        let fields = scan.projected_schema.fields().iter();
        let columns = fields.map(|field| Expr::Column(Column::new_unqualified(field.name()))).collect();
        Ok(Some(Self { table, filters, among: Vec::new(), columns }))
    }

    /// `user_id IN (SELECT user_id FROM SEGMENT(…))`, as the optimizer leaves it.
    fn of_join(join: &Join) -> Result<Option<Self>> {
        let ([(left, right)], None, JoinType::LeftSemi) = (join.on.as_slice(), &join.filter, join.join_type) else {
            return Ok(None);
        };
        let (Expr::Column(_), Some(segment)) = (right, users_of_segment(&join.right)) else { return Ok(None) };
        let Some(mut inner) = Self::among_segments(&join.left)? else { return Ok(None) };
        let user = inner.rebase(left, join.left.schema())?;
        if !matches!(&user, Some(Expr::Column(column)) if column.name == "user_id") {
            return Ok(None);
        }
        inner.among.push(segment.clone());
        Ok(Some(inner))
    }

    /// `expr` over a relation with these columns (`schema`), as an expression over the table's columns; `None` where the
    /// engine cannot evaluate it.
    pub(crate) fn rebase(&self, expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
        Ok(Some(self.over_table(expr, schema)?).filter(is_row_condition))
    }

    /// As [`Peeled::rebase`], for an aggregation over the relation.
    pub(crate) fn rebase_all(&self, expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
        let rebased = self.over_table(expr, schema)?;
        let arguments = match &rebased {
            Expr::AggregateFunction(call) => call.params.args.iter().all(is_row_condition),
            other => is_row_condition(other),
        };
        Ok(Some(rebased).filter(|_| arguments))
    }

    /// As [`Peeled::rebase`], for whoever can evaluate any expression.
    pub(crate) fn over_table(&self, expr: &Expr, schema: &DFSchema) -> Result<Expr> {
        let rebased = expr.clone().transform_up(|expr| match &expr {
            Expr::Column(column) => {
                let index = schema.index_of_column(column)?;
                Ok(Transformed::yes(self.columns[index].clone()))
            }
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(rebased.data.unalias_nested().data)
    }
}

/// The column of an event table that `column` of `plan` is, whatever it is called there; `None` where it is computed.
pub(crate) fn origin(plan: &LogicalPlan, column: &Column) -> Option<Column> {
    let index = plan.schema().maybe_index_of_column(column)?;
    match plan {
        LogicalPlan::TableScan(scan) => {
            TableHandle::of(scan)?;
            Some(Column::new_unqualified(scan.projected_schema.field(index).name()))
        }
        LogicalPlan::Projection(projection) => match projection.expr[index].clone().unalias_nested().data {
            Expr::Column(column) => origin(&projection.input, &column),
            _ => None,
        },
        LogicalPlan::SubqueryAlias(alias) => {
            let column = Column::from(alias.input.schema().qualified_field(index));
            origin(&alias.input, &column)
        }
        LogicalPlan::Join(join) => [&join.left, &join.right].into_iter().find_map(|side| origin(side, column)),
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Distinct(_) => {
            origin(plan.inputs().first()?, column)
        }
        _ => None,
    }
}

/// The segment whose users are the only column of a relation.
fn users_of_segment(plan: &LogicalPlan) -> Option<&OperatorNode<Segment>> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => users_of_segment(&alias.input),
        LogicalPlan::Projection(projection) => {
            let [expr] = projection.expr.as_slice() else { return None };
            matches!(expr.clone().unalias_nested().data, Expr::Column(_))
                .then(|| users_of_segment(&projection.input))?
        }
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_any().downcast_ref::<OperatorNode<Segment>>()?;
            node.operator.is_of_users().then_some(node)
        }
        _ => None,
    }
}

/// All event tables that a plan reads.
pub(crate) fn event_tables(plan: &LogicalPlan) -> Vec<TableHandle> {
    let mut tables = Vec::new();
    let visited = plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::TableScan(scan) = plan {
            tables.extend(TableHandle::of(scan));
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok());
    tables
}

/// The event tables of whose rows those of a plan are made: without those that only choose among them, as a segment does.
pub(crate) fn tables_of_rows(plan: &LogicalPlan) -> Vec<TableHandle> {
    match plan {
        LogicalPlan::TableScan(scan) => TableHandle::of(scan).into_iter().collect(),
        LogicalPlan::Join(Join { left, join_type: JoinType::LeftSemi | JoinType::LeftAnti, .. }) => {
            tables_of_rows(left)
        }
        other => other.inputs().into_iter().flat_map(tables_of_rows).collect(),
    }
}
