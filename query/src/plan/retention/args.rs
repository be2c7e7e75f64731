//! From a call of RETENTION to its logical node.

use super::{Emit, Retention};
use crate::error::{Error, Result};
use crate::plan::arguments::{Call, Signature};
use crate::plan::node::{OperatorNode, Role};
use crate::plan::planner::Planner;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{LogicalPlan, lit};

/// The words of RETENTION.
pub(crate) const SIGNATURE: Signature = Signature {
    operator: "RETENTION",
    arguments: &[
        "start",
        "return",
        "period",
        "periods",
        "brackets",
        "mode",
        "cohort",
        "windows",
        "min_count",
        "week_start",
        "emit",
        "by",
        "time_zone",
        "user",
        "time",
        "name",
    ],
    parts: &[],
    example: "RETENTION(events, start => 'signup', return => 'purchase', period => INTERVAL '1' WEEK, periods => 8)",
};

/// Plan a call of RETENTION over `input`.
///
/// # Errors
/// `InvalidInput` or `NotFound` at the argument that is wrong.
pub(crate) fn plan(
    mut call: Call,
    input: LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<OperatorNode<Retention>> {
    let mut planner = Planner::new(&SIGNATURE, &mut call, &input, context)?;
    let mut given = [false; 2];
    for (i, name) in ["start", "return"].into_iter().enumerate() {
        let argument = call.take(name);
        given[i] = argument.is_some();
        let (condition, span) = match argument {
            Some(argument) => (planner.condition(argument.value)?, argument.span),
            None => (lit(true), call.span),
        };
        planner.push(Role::Condition(i), condition, span);
    }
    if let (Some(periods), Some(brackets)) = (call.find("periods"), call.find("brackets")) {
        let later = if periods.span.start < brackets.span.start { brackets } else { periods };
        return Err(Error::invalid("RETENTION takes periods or brackets, not both")
            .with_hint("periods => 30 has a row for each period; brackets => [1, 3, 7] one for each bracket")
            .at(later.span));
    }
    planner.calendar_constant(&mut call, "period")?;
    let bracketed = planner.list(&mut call, "brackets", |i| Role::Constant("brackets", i))? > 0;
    for name in ["periods", "mode", "cohort", "windows", "min_count", "week_start", "time_zone"] {
        planner.constant(&mut call, name)?;
    }
    let by = planner.by(&mut call)?;
    let emit = match planner.word(&mut call, "emit", &["matrix", "users"])? {
        Some(1) => Emit::Users,
        _ => Emit::Matrix,
    };
    let [start, returns] = given;
    planner.finish(Retention { start, returns, bracketed, emit, merged: false }, by, input, call.span)
}
