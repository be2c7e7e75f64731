//! From the logical node to the physical one: over an event table itself where that is possible, else over rows.

use super::compare::{Compare, CompareExec};
use super::floats;
use super::funnel::Funnel;
use super::general::{General, GeneralExec, RowOrder};
use super::leaf::OperatorLeaf;
use super::lifecycle::Lifecycle;
use super::node::{OperatorNode, Role, Summary, time_type};
use super::operator::Operator;
use super::path::Path;
use super::peel::{Peeled, event_tables, origin, tables_of_rows};
use super::recommend::{Evaluate, LiveStates, Recommend};
use super::retention::Retention;
use super::rfm::Rfm;
use super::segment::Segment;
use super::sessions::UserSessions;
use super::stickiness::Stickiness;
use crate::error::Error;
use crate::table::translate::{Translator, event_names, unqualified};
use crate::warnings::{StatementState, unknown_events};
use async_trait::async_trait;
use chrono_tz::Tz;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNode, cast};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use std::sync::Arc;
use trodden_engine::predicate::ColumnRef;
use trodden_engine::table::Snapshot;
use trodden_engine::types::TimeRange;

/// Conditions that one scan can tell apart.
const SCAN_CONDITIONS_MAX: usize = 64;

/// Lowers the operators.
#[derive(Debug)]
pub(crate) struct OperatorLowering;

#[async_trait]
impl ExtensionPlanner for OperatorLowering {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        planning_ctx: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(compare) = node.as_any().downcast_ref::<Compare>() {
            return compared(compare, physical_inputs).map(Some);
        }
        let physical =
            |expr: &Expr, schema: &DFSchema| planner.create_physical_expr(expr, schema, session, planning_ctx);
        let lowering = Lowering { session, physical: &physical, input: physical_inputs.first() };
        if let Some(plan) = lowering.of::<Funnel>(node)? {
            return Ok(Some(plan));
        }
        if let Some(plan) = lowering.of::<Retention>(node)? {
            return Ok(Some(plan));
        }
        if let Some(plan) = lowering.of::<Lifecycle>(node)? {
            return Ok(Some(plan));
        }
        if let Some(plan) = lowering.of::<Stickiness>(node)? {
            return Ok(Some(plan));
        }
        if let Some(plan) = lowering.of::<Rfm>(node)? {
            return Ok(Some(plan));
        }
        if let Some(plan) = lowering.of::<UserSessions>(node)? {
            return Ok(Some(plan));
        }
        if let Some(plan) = lowering.of::<Segment>(node)? {
            return Ok(Some(plan));
        }
        if let Some(plan) = lowering.of::<Path>(node)? {
            return Ok(Some(plan));
        }
        if let Some(plan) = lowering.of::<Recommend>(node)? {
            return Ok(Some(plan));
        }
        lowering.of::<Evaluate>(node)
    }
}

fn compared(node: &Compare, inputs: &[Arc<dyn ExecutionPlan>]) -> Result<Arc<dyn ExecutionPlan>> {
    let [side, other] = inputs else { return Err(Error::internal("a comparison has two inputs").into()) };
    let sides = [Arc::clone(side), Arc::clone(other)];
    Ok(Arc::new(CompareExec::new(node.layout(), sides, node.arrow_schema())))
}

/// Makes an expression over a schema one that can be computed.
type Physical<'a> = dyn Fn(&Expr, &DFSchema) -> Result<Arc<dyn PhysicalExpr>> + 'a;

/// What there is to lower with.
struct Lowering<'a> {
    session: &'a dyn Session,
    physical: &'a Physical<'a>,
    /// The input of the node, lowered.
    input: Option<&'a Arc<dyn ExecutionPlan>>,
}

impl Lowering<'_> {
    /// The physical node of an operator; `None` if `node` is not one of `O`.
    fn of<O: Operator>(&self, node: &dyn UserDefinedLogicalNode) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<OperatorNode<O>>() else { return Ok(None) };
        let tables = event_tables(&node.input);
        let spec = node.spec(default_zone(&node.input)?, true)?;
        if let Some(leaf) = leaf(node, &spec, self.session)? {
            return Ok(Some(leaf.into_exec()));
        }
        warn_of_names(node, &tables, self.session)?;
        let Rows { input, exprs, order, table } = match Peeled::of(&node.input)? {
            Some(peeled) => self.by_arrival(node, &peeled)?,
            None => self.any_rows(node)?,
        };
        let general = General {
            operator: Arc::clone(&node.operator),
            spec,
            exprs,
            conditions: node.exprs_of(Role::Condition).len(),
            columns: node.exprs_of(Role::Column).len(),
            order,
            table,
            threads: self.session.config().target_partitions(),
            statement: StatementState::of(self.session.config()),
            schema: node.arrow_schema(),
            summary: Summary(node).to_string(),
        };
        Ok(Some(Arc::new(GeneralExec::new(Arc::new(general), input))))
    }

    /// The rows of any relation.
    fn any_rows<O: Operator>(&self, node: &OperatorNode<O>) -> Result<Rows> {
        let schema = node.input.schema();
        let exprs = row_exprs(node)?.iter().map(|expr| (self.physical)(expr, schema)).collect::<Result<_>>()?;
        let order = match node.frame.order_keys.as_slice() {
            [] => RowOrder::Content,
            keys => RowOrder::Keys(keys.to_vec()),
        };
        let input = self.input.cloned().ok_or_else(|| Error::internal("an operator without an input"))?;
        Ok(Rows { input, exprs, order, table: None })
    }

    /// The rows of an event table in the order of their arrival, for what the leaf cannot do. All of them pass through
    /// one partition, since several would deliver them in an order of chance.
    fn by_arrival<O: Operator>(&self, node: &OperatorNode<O>, peeled: &Peeled) -> Result<Rows> {
        let table = peeled.table.get();
        let exprs = row_exprs(node)?;
        let over_table = |expr: &Expr| unqualified(peeled.over_table(expr, node.input.schema())?);
        let exprs = exprs.iter().map(over_table).collect::<Result<Vec<_>>>()?;
        let names = column_names(&exprs);
        let positions = names.iter().map(|name| table.schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let schema = DFSchema::try_from(table.schema.project(&positions)?)?;
        let exprs = exprs.iter().map(|expr| (self.physical)(expr, &schema)).collect::<Result<_>>()?;
        let input = table.rows(self.session, Some(&positions), &peeled.filters, None, 1)?;
        let translator =
            Translator { table: table.snapshot.id, schema: &table.schema, props: self.session.execution_props() };
        let time = translator.conjunction(&peeled.filters)?.time;
        Ok(Rows { input, exprs, order: RowOrder::Arrival, table: Some((table.snapshot.clone(), time)) })
    }
}

/// Where rows come from, what is computed of each, and what decides among rows of equal user and time.
struct Rows {
    input: Arc<dyn ExecutionPlan>,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    order: RowOrder,
    /// The event table that they are of, and the time of the input.
    table: Option<(Snapshot, TimeRange)>,
}

/// The zone of the tables whose rows an operator reads, where they agree; else UTC.
fn default_zone(input: &LogicalPlan) -> Result<Tz> {
    let tables = tables_of_rows(input);
    let mut zones = tables.iter().map(|table| &table.get().snapshot.options);
    let Some(first) = zones.next() else { return Ok(Tz::UTC) };
    match zones.all(|other| other.time_zone == first.time_zone) {
        true => Ok(first.tz().map_err(crate::error::Error::from)?),
        false => Ok(Tz::UTC),
    }
}

/// What the general way computes of a row: user, time, conditions, columns, by, keys of the input's order.
fn row_exprs<O: Operator>(node: &OperatorNode<O>) -> Result<Vec<Expr>> {
    let schema = node.input.schema();
    let mut exprs = Vec::new();
    exprs.extend(node.expr(Role::User).cloned());
    if let Some(time) = node.expr(Role::Time) {
        let same = time.get_type(schema)? == time_type();
        exprs.push(if same { time.clone() } else { cast(time.clone(), time_type()) });
    }
    for role in [Role::Condition, Role::Column] {
        exprs.extend(node.exprs_of(role).into_iter().cloned());
    }
    exprs.extend(by_exprs(node)?);
    exprs.extend(node.exprs_of(Role::OrderKey).into_iter().cloned());
    Ok(exprs)
}

fn by_exprs<O: Operator>(node: &OperatorNode<O>) -> Result<Vec<Expr>> {
    let schema = node.input.schema();
    node.exprs_of(Role::By).into_iter().map(|expr| floats::of_columns_in(expr, schema)).collect()
}

/// The expressions of a node over the columns of its event table.
struct OverTable {
    conditions: Vec<Expr>,
    columns: Vec<String>,
    by: Vec<Expr>,
}

/// `None` where the engine cannot evaluate what the operator asks for.
fn over_table<O: Operator>(node: &OperatorNode<O>, peeled: &Peeled) -> Result<Option<OverTable>> {
    let schema = node.input.schema();
    let rebased = |exprs: Vec<&Expr>| -> Result<Option<Vec<Expr>>> {
        exprs.into_iter().map(|expr| peeled.rebase(expr, schema)).collect()
    };
    let plays = |role: Role, name: &str| -> Result<bool> {
        let expr = node.expr(role).map(|expr| peeled.rebase(expr, schema)).transpose()?.flatten();
        Ok(expr.as_ref().and_then(column_name).is_some_and(|column| column == name))
    };
    if !plays(Role::User, "user_id")? || !plays(Role::Time, "ts")? {
        return Ok(None);
    }
    let by = by_exprs(node)?;
    let (Some(conditions), Some(columns), Some(by)) = (
        rebased(node.exprs_of(Role::Condition))?,
        rebased(node.exprs_of(Role::Column))?,
        rebased(by.iter().collect())?,
    ) else {
        return Ok(None);
    };
    let columns: Option<Vec<String>> = columns.iter().map(|expr| column_name(expr).map(String::from)).collect();
    let Some(columns) = columns.filter(|_| conditions.len() <= SCAN_CONDITIONS_MAX) else { return Ok(None) };
    Ok(Some(OverTable { conditions, columns, by }))
}

/// The operator over its event table, if that is all that its input is.
fn leaf<O: Operator>(node: &OperatorNode<O>, spec: &O::Spec, session: &dyn Session) -> Result<Option<OperatorLeaf<O>>> {
    let Some(peeled) = Peeled::among_segments(&node.input)? else { return Ok(None) };
    let Some(among) = segments_among(&peeled, session)? else { return Ok(None) };
    let Some(OverTable { conditions, columns, by }) = over_table(node, &peeled)? else { return Ok(None) };
    let by_names = column_names(&by);
    // Nearly every event has a time and an id of its own, so these would make a group an event before `by` is computed.
    if by_names.iter().any(|name| name == "ts" || name == "event_id") {
        return Ok(None);
    }
    let table = peeled.table.get();
    let translator = Translator { table: table.snapshot.id, schema: &table.schema, props: session.execution_props() };
    let condition = translator.conjunction(&peeled.filters)?;
    let conditions = conditions.iter().map(|expr| translator.predicate(expr)).collect::<Result<Vec<_>>>()?;
    let statement = StatementState::of(session.config());
    let mut names = Vec::new();
    conditions.iter().chain([&condition.filter]).for_each(|condition| event_names(condition, &mut names));
    unknown_events(&table.snapshot, &names, &statement);
    let schema_of = |names: &[String]| -> Result<SchemaRef> {
        let positions = names.iter().map(|name| table.schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(table.schema.project(&positions)?))
    };
    let (by_schema, columns_schema) = (schema_of(&by_names)?, schema_of(&columns)?);
    let by_df_schema = DFSchema::try_from(by_schema.as_ref().clone())?;
    let physical = |expr: &Expr| {
        let expr = unqualified(expr.clone())?;
        create_physical_expr(&expr, &by_df_schema, session.execution_props(), &PhysicalPlanningContext::default())
    };
    let column_refs = |names: &[String]| names.iter().map(|name| ColumnRef::from_name(name)).collect();
    let mut summary = Summary(node).to_string();
    if !peeled.filters.is_empty() {
        let filters: Vec<String> = peeled.filters.iter().map(ToString::to_string).collect();
        summary.push_str(&format!(", filter={}", filters.join(" AND ")));
    }
    Ok(Some(OperatorLeaf {
        snapshot: table.snapshot.clone(),
        operator: Arc::clone(&node.operator),
        spec: spec.clone(),
        condition,
        among,
        conditions,
        by_columns: column_refs(&by_names),
        by: by.iter().map(physical).collect::<Result<_>>()?,
        by_schema,
        columns: column_refs(&columns),
        columns_schema,
        live: LiveStates::of(session.config()),
        threads: session.config().target_partitions(),
        statement,
        schema: node.arrow_schema(),
        summary,
    }))
}

/// The segments whose users alone have rows, over the same snapshot of the same table; `None` where one is of another.
fn segments_among(peeled: &Peeled, session: &dyn Session) -> Result<Option<Vec<OperatorLeaf<Segment>>>> {
    let snapshot = &peeled.table.get().snapshot;
    let mut among = Vec::with_capacity(peeled.among.len());
    for node in &peeled.among {
        let spec = node.spec(default_zone(&node.input)?, true)?;
        match leaf(node, &spec, session)?.filter(|leaf| leaf.is_of(snapshot)) {
            Some(leaf) => among.push(leaf),
            None => return Ok(None),
        }
    }
    Ok(Some(among))
}

fn column_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(Column { name, .. }) => Some(name),
        _ => None,
    }
}

/// The columns that expressions read, each once, in order of their first use.
fn column_names(exprs: &[Expr]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for expr in exprs {
        let mut columns: Vec<&str> = expr.column_refs().into_iter().map(|column| column.name.as_str()).collect();
        columns.sort_unstable();
        for name in columns {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_string());
            }
        }
    }
    names
}

/// Warn of names that no event of any table below has.
fn warn_of_names<O: Operator>(
    node: &OperatorNode<O>,
    tables: &[super::peel::TableHandle],
    session: &dyn Session,
) -> Result<()> {
    let [table] = tables else { return Ok(()) };
    let table = table.get();
    let translator = Translator { table: table.snapshot.id, schema: &table.schema, props: session.execution_props() };
    let mut names = Vec::new();
    for expr in node.exprs_of(Role::Condition) {
        // Only a column that is the table's own says something of its events, whatever it is called here.
        let mut known = true;
        let over_table = expr.clone().transform_up(|expr| match &expr {
            Expr::Column(column) => match origin(&node.input, column) {
                Some(column) => Ok(Transformed::yes(Expr::Column(column))),
                None => {
                    known = false;
                    Ok(Transformed::no(expr))
                }
            },
            _ => Ok(Transformed::no(expr)),
        })?;
        if known && let Ok(predicate) = translator.predicate(&over_table.data) {
            event_names(&predicate, &mut names);
        }
    }
    unknown_events(&table.snapshot, &names, &StatementState::of(session.config()));
    Ok(())
}
