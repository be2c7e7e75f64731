//! From a call of SESSIONS to its logical node.

use super::{Emit, UserSessions};
use crate::error::{Error, Result};
use crate::plan::arguments::{Call, Signature};
use crate::plan::node::{OperatorNode, Role};
use crate::plan::planner::Planner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::RelationPlannerContext;

/// The words of SESSIONS.
pub(crate) const SIGNATURE: Signature = Signature {
    operator: "SESSIONS",
    arguments: &["session", "node", "exclude", "collapse", "bucket", "emit", "by", "time_zone", "user", "time", "name"],
    parts: &[],
    example: "SESSIONS(events, session => INTERVAL '30' MINUTE, emit => 'summary')",
};

/// Plan a call of SESSIONS over `input`.
///
/// # Errors
/// `InvalidInput` or `NotFound` at the argument that is wrong.
pub(crate) fn plan(
    mut call: Call,
    input: LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<OperatorNode<UserSessions>> {
    let mut planner = Planner::new(&SIGNATURE, &mut call, &input, context)?;
    node(&mut planner, &mut call)?;
    let is_named = session(&mut planner, &mut call)?;
    let exclude = call.take("exclude");
    let has_exclude = exclude.is_some();
    if let Some(exclude) = exclude {
        let condition = planner.condition(exclude.value)?;
        planner.push(Role::Condition(0), condition, exclude.span);
    }
    let by = planner.by(&mut call)?;
    let emit = planner.word(&mut call, "emit", &Emit::WORDS)?.map_or(Emit::Summary, |at| Emit::ALL[at]);
    let only = |name: &str, of: Emit| match call.find(name).filter(|_| emit != of) {
        None => Ok(()),
        Some(argument) => Err(Error::invalid(format!("{name} says nothing to emit => '{}'", emit.word()))
            .with_hint(format!("leave it away, or use emit => '{}'", of.word()))
            .at(argument.span)),
    };
    only("bucket", Emit::Summary)?;
    only("collapse", Emit::Stops)?;
    let bucketed = planner.calendar_constant(&mut call, "bucket")?;
    for name in ["collapse", "time_zone"] {
        planner.constant(&mut call, name)?;
    }
    planner.finish(UserSessions { emit, has_exclude, is_named, bucketed }, by, input, call.span)
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
