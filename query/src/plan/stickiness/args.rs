//! From a call of STICKINESS to its logical node.

use super::{Emit, Stickiness};
use crate::error::{Error, Result};
use crate::plan::arguments::{Call, Signature};
use crate::plan::node::OperatorNode;
use crate::plan::planner::Planner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::RelationPlannerContext;

/// The words of STICKINESS.
pub(crate) const SIGNATURE: Signature = Signature {
    operator: "STICKINESS",
    arguments: &["on", "within", "week_start", "emit", "by", "time_zone", "user", "time", "name"],
    parts: &[],
    example: "STICKINESS(events, on => 'purchase', within => INTERVAL '1' MONTH)",
};

/// Plan a call of STICKINESS over `input`.
///
/// # Errors
/// `InvalidInput` or `NotFound` at the argument that is wrong.
pub(crate) fn plan(
    mut call: Call,
    input: LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<OperatorNode<Stickiness>> {
    let mut planner = Planner::new(&SIGNATURE, &mut call, &input, context)?;
    let on = planner.on(&mut call)?;
    let emit = planner.word(&mut call, "emit", &Emit::WORDS)?.map_or(Emit::Histogram, |at| Emit::ALL[at]);
    if let Some(within) = call.find("within").filter(|_| emit == Emit::Active) {
        return Err(Error::invalid("within says nothing to emit => 'active'")
            .with_hint("leave it away: users are counted by day, and in the 7 and 30 days that end with it")
            .at(within.span));
    }
    planner.calendar_constant(&mut call, "within")?;
    for name in ["week_start", "time_zone"] {
        planner.constant(&mut call, name)?;
    }
    let by = planner.by(&mut call)?;
    planner.finish(Stickiness { on, emit }, by, input, call.span)
}
