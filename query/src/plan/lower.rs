//! From the logical node to the physical one: over an event table itself where that is possible, else over rows.

use super::floats;
use super::funnel_general::{FunnelExec, GeneralFunnel, RowOrder};
use super::funnel_leaf::FunnelLeaf;
use super::funnel_node::{FunnelNode, Role, Summary, time_type};
use super::peel::{Peeled, event_tables, origin};
use crate::behavior::funnel::FunnelSpec;
use crate::table::translate::{Translator, event_names, unqualified};
use crate::warnings::{StatementState, unknown_events};
use async_trait::async_trait;
use chrono_tz::Tz;
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
        let Some(funnel) = node.as_any().downcast_ref::<FunnelNode>() else { return Ok(None) };
        let tables = event_tables(&funnel.input);
        let spec = funnel.spec(default_zone(&tables)?, true)?;
        if let Some(leaf) = leaf(funnel, &spec, session)? {
            return Ok(Some(leaf.into_exec()));
        }
        warn_of_names(funnel, &tables, session)?;
        let physical =
            |expr: &Expr, schema: &DFSchema| planner.create_physical_expr(expr, schema, session, planning_ctx);
        let (input, exprs, order) = match Peeled::of(&funnel.input)? {
            Some(peeled) => by_arrival(funnel, &peeled, session, &physical)?,
            None => {
                let schema = funnel.input.schema();
                let exprs = row_exprs(funnel)?.iter().map(|expr| physical(expr, schema)).collect::<Result<_>>()?;
                let order = match funnel.shape.order_keys.as_slice() {
                    [] => RowOrder::Content,
                    keys => RowOrder::Keys(keys.to_vec()),
                };
                (Arc::clone(&physical_inputs[0]), exprs, order)
            }
        };
        let general = GeneralFunnel {
            shape: Arc::clone(&funnel.shape),
            exprs,
            hold: funnel.exprs_of(Role::Hold).len(),
            order,
            spec,
            threads: session.config().target_partitions(),
            statement: StatementState::of(session.config()),
            schema: funnel.arrow_schema(),
            summary: Summary(funnel).to_string(),
        };
        Ok(Some(Arc::new(FunnelExec::new(Arc::new(general), input))))
    }
}

/// Where rows come from, what is computed of each, and what decides among rows of equal user and time.
type Rows = (Arc<dyn ExecutionPlan>, Vec<Arc<dyn PhysicalExpr>>, RowOrder);

/// Makes an expression over a schema one that can be computed.
type Physical<'a> = dyn Fn(&Expr, &DFSchema) -> Result<Arc<dyn PhysicalExpr>> + 'a;

/// The rows of an event table in the order of their arrival, for what the leaf cannot do. All of them pass through one
/// partition, since several would deliver them in an order of chance.
fn by_arrival(funnel: &FunnelNode, peeled: &Peeled, session: &dyn Session, physical: &Physical<'_>) -> Result<Rows> {
    let table = peeled.table.get();
    let exprs = row_exprs(funnel)?;
    let over_table = |expr: &Expr| unqualified(peeled.over_table(expr, funnel.input.schema())?);
    let exprs = exprs.iter().map(over_table).collect::<Result<Vec<_>>>()?;
    let names = column_names(&exprs);
    let positions = names.iter().map(|name| table.schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
    let schema = DFSchema::try_from(table.schema.project(&positions)?)?;
    let exprs = exprs.iter().map(|expr| physical(expr, &schema)).collect::<Result<_>>()?;
    let scan = table.rows(session, Some(&positions), &peeled.filters, None, 1)?;
    Ok((scan, exprs, RowOrder::Arrival))
}

/// The zone of the tables below, where they agree; else UTC.
fn default_zone(tables: &[super::peel::TableHandle]) -> Result<Tz> {
    let mut zones = tables.iter().map(|table| &table.get().snapshot.options);
    let Some(first) = zones.next() else { return Ok(Tz::UTC) };
    match zones.all(|other| other.time_zone == first.time_zone) {
        true => Ok(first.tz().map_err(crate::error::Error::from)?),
        false => Ok(Tz::UTC),
    }
}

/// What the general way computes of a row: user, time, steps, exclusions, hold, by, keys of the input's order.
fn row_exprs(funnel: &FunnelNode) -> Result<Vec<Expr>> {
    let schema = funnel.input.schema();
    let mut exprs = Vec::new();
    exprs.extend(funnel.expr(Role::User).cloned());
    if let Some(time) = funnel.expr(Role::Time) {
        let same = time.get_type(schema)? == time_type();
        exprs.push(if same { time.clone() } else { cast(time.clone(), time_type()) });
    }
    for role in [Role::Step, Role::Exclude, Role::Hold] {
        exprs.extend(funnel.exprs_of(role).into_iter().cloned());
    }
    exprs.extend(by_exprs(funnel)?);
    exprs.extend(funnel.exprs_of(Role::OrderKey).into_iter().cloned());
    Ok(exprs)
}

fn by_exprs(funnel: &FunnelNode) -> Result<Vec<Expr>> {
    let schema = funnel.input.schema();
    funnel.exprs_of(Role::By).into_iter().map(|expr| floats::of_columns_in(expr, schema)).collect()
}

/// The funnel over its event table, if that is all that its input is.
fn leaf(funnel: &FunnelNode, spec: &FunnelSpec, session: &dyn Session) -> Result<Option<FunnelLeaf>> {
    let Some(peeled) = Peeled::of(&funnel.input)? else { return Ok(None) };
    let schema = funnel.input.schema();
    let rebased = |exprs: Vec<&Expr>| -> Result<Option<Vec<Expr>>> {
        exprs.into_iter().map(|expr| peeled.rebase(expr, schema)).collect()
    };
    let plays = |role: Role, name: &str| -> Result<bool> {
        let expr = funnel.expr(role).map(|expr| peeled.rebase(expr, schema)).transpose()?.flatten();
        Ok(expr.as_ref().and_then(column_name).is_some_and(|column| column == name))
    };
    if !plays(Role::User, "user_id")? || !plays(Role::Time, "ts")? {
        return Ok(None);
    }
    let conditions = funnel.exprs_of(Role::Step).into_iter().chain(funnel.exprs_of(Role::Exclude)).collect();
    let by = by_exprs(funnel)?;
    let (Some(conditions), Some(hold), Some(by)) =
        (rebased(conditions)?, rebased(funnel.exprs_of(Role::Hold))?, rebased(by.iter().collect())?)
    else {
        return Ok(None);
    };
    let hold: Option<Vec<ColumnRef>> = hold.iter().map(|expr| column_name(expr).map(ColumnRef::from_name)).collect();
    let Some(hold) = hold else { return Ok(None) };
    let by_names = column_names(&by);
    // Nearly every event has a time and an id of its own, so these would make a group an event before `by` is computed.
    if conditions.len() > SCAN_CONDITIONS_MAX || by_names.iter().any(|name| name == "ts" || name == "event_id") {
        return Ok(None);
    }
    let table = peeled.table.get();
    let translator = Translator { schema: &table.schema, props: session.execution_props() };
    let condition = translator.conjunction(&peeled.filters)?;
    let conditions = conditions.iter().map(|expr| translator.predicate(expr)).collect::<Result<Vec<_>>>()?;
    let statement = StatementState::of(session.config());
    let mut names = Vec::new();
    conditions.iter().chain([&condition.filter]).for_each(|condition| event_names(condition, &mut names));
    unknown_events(&table.snapshot, &names, &statement);
    let positions = by_names.iter().map(|name| table.schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
    let by_schema = Arc::new(table.schema.project(&positions)?);
    let by_df_schema = DFSchema::try_from(by_schema.as_ref().clone())?;
    let physical = |expr: &Expr| {
        let expr = unqualified(expr.clone())?;
        create_physical_expr(&expr, &by_df_schema, session.execution_props(), &PhysicalPlanningContext::default())
    };
    let mut summary = Summary(funnel).to_string();
    if !peeled.filters.is_empty() {
        let filters: Vec<String> = peeled.filters.iter().map(ToString::to_string).collect();
        summary.push_str(&format!(", filter={}", filters.join(" AND ")));
    }
    Ok(Some(FunnelLeaf {
        snapshot: table.snapshot.clone(),
        shape: Arc::clone(&funnel.shape),
        spec: spec.clone(),
        condition,
        conditions,
        by_columns: by_names.iter().map(|name| ColumnRef::from_name(name)).collect(),
        by: by.iter().map(physical).collect::<Result<_>>()?,
        by_schema,
        hold,
        threads: session.config().target_partitions(),
        statement,
        schema: funnel.arrow_schema(),
        summary,
    }))
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
fn warn_of_names(funnel: &FunnelNode, tables: &[super::peel::TableHandle], session: &dyn Session) -> Result<()> {
    let [table] = tables else { return Ok(()) };
    let table = table.get();
    let translator = Translator { schema: &table.schema, props: session.execution_props() };
    let mut names = Vec::new();
    for expr in funnel.exprs_of(Role::Step).into_iter().chain(funnel.exprs_of(Role::Exclude)) {
        // Only a column that is the table's own says something of its events, whatever it is called here.
        let mut known = true;
        let over_table = expr.clone().transform_up(|expr| match &expr {
            Expr::Column(column) => match origin(&funnel.input, column) {
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
