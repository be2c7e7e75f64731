//! From a call of PATH to its logical node.

use super::{Emit, Path};
use crate::error::{Error, Result};
use crate::plan::arguments::{Call, Signature};
use crate::plan::node::{OperatorNode, Role};
use crate::plan::planner::Planner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Function};

/// The words of PATH.
pub(crate) const SIGNATURE: Signature = Signature {
    operator: "PATH",
    arguments: &[
        "node",
        "session",
        "start",
        "end",
        "anchor",
        "steps",
        "collapse",
        "exclude",
        "top",
        "emit",
        "by",
        "time_zone",
        "user",
        "time",
        "name",
    ],
    parts: &[],
    example: "PATH(events, start => 'signup', steps => 5)",
};

/// Plan a call of PATH over `input`.
///
/// # Errors
/// `InvalidInput` or `NotFound` at the argument that is wrong.
pub(crate) fn plan(
    mut call: Call,
    input: LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<OperatorNode<Path>> {
    let mut planner = Planner::new(&SIGNATURE, &mut call, &input, context)?;
    node(&mut planner, &mut call)?;
    let is_named = session(&mut planner, &mut call)?;
    let mut conditions = 0;
    let mut given = |name| condition(&mut planner, &mut call, name, &mut conditions);
    let (has_start, has_end, has_exclude) = (given("start")?, given("end")?, given("exclude")?);
    let by = planner.by(&mut call)?;
    for name in ["anchor", "steps", "collapse", "top", "time_zone"] {
        planner.constant(&mut call, name)?;
    }
    let emit = planner.word(&mut call, "emit", &Emit::WORDS)?.map_or(Emit::Paths, |at| Emit::ALL[at]);
    planner.finish(Path { emit, has_start, has_end, has_exclude, is_named }, by, input, call.span)
}

/// `node`: what a stop is called, or the name of the event.
fn node(planner: &mut Planner<'_>, call: &mut Call) -> Result<()> {
    let (expr, span) = match call.take("node") {
        Some(argument) => (planner.expr(argument.value)?, argument.span),
        None => (planner.event_column(call.span)?, call.span),
    };
    planner.push(Role::Column(0), expr, span);
    Ok(())
}

/// `session`: a span of time, NULL, or the name of a session. Says whether it is a name.
fn session(planner: &mut Planner<'_>, call: &mut Call) -> Result<bool> {
    let Some(argument) = call.take("session") else { return Ok(false) };
    let expr = planner.expr(argument.value)?;
    let is_named = !expr.column_refs().is_empty();
    let role = if is_named { Role::Column(1) } else { Role::Constant("session", 0) };
    planner.push(role, expr, argument.span);
    Ok(is_named)
}

/// A condition, the next one after `conditions` others, if it is given; says whether it is.
fn condition(planner: &mut Planner<'_>, call: &mut Call, name: &str, conditions: &mut usize) -> Result<bool> {
    let Some(argument) = call.take(name) else { return Ok(false) };
    if let SqlExpr::Function(Function { name: function, .. }) = &argument.value
        && function.to_string().eq_ignore_ascii_case("EXCLUDE")
    {
        return Err(Error::invalid("PATH leaves events out by a condition, without EXCLUDE(…)")
            .with_hint("exclude => 'heartbeat', or exclude => event IN ('heartbeat', 'scroll')")
            .at(argument.span));
    }
    let condition = planner.condition(argument.value)?;
    planner.push(Role::Condition(*conditions), condition, argument.span);
    *conditions += 1;
    Ok(true)
}
