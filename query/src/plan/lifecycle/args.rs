//! From a call of LIFECYCLE to its logical node.

use super::{Emit, Lifecycle};
use crate::error::Result;
use crate::plan::arguments::{Call, Signature};
use crate::plan::node::OperatorNode;
use crate::plan::planner::Planner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::RelationPlannerContext;

/// The words of LIFECYCLE.
pub(crate) const SIGNATURE: Signature = Signature {
    operator: "LIFECYCLE",
    arguments: &["on", "period", "week_start", "from", "to", "emit", "by", "time_zone", "user", "time", "name"],
    parts: &[],
    example: "LIFECYCLE(events, on => 'purchase', period => INTERVAL '1' WEEK)",
};

/// Plan a call of LIFECYCLE over `input`.
///
/// # Errors
/// `InvalidInput` or `NotFound` at the argument that is wrong.
pub(crate) fn plan(
    mut call: Call,
    input: LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<OperatorNode<Lifecycle>> {
    let mut planner = Planner::new(&SIGNATURE, &mut call, &input, context)?;
    let on = planner.on(&mut call)?;
    planner.calendar_constant(&mut call, "period")?;
    for name in ["week_start", "from", "to", "time_zone"] {
        planner.constant(&mut call, name)?;
    }
    let by = planner.by(&mut call)?;
    let emit = match planner.word(&mut call, "emit", &["periods", "users"])? {
        Some(1) => Emit::Users,
        _ => Emit::Periods,
    };
    planner.finish(Lifecycle { on, emit }, by, input, call.span)
}
