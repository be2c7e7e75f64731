//! From a call of RFM to its logical node.

use super::{Emit, MEASURES, Rfm};
use crate::error::{Error, Result, closest};
use crate::plan::arguments::{Call, NamedArgument, Signature, list_items, part_arguments};
use crate::plan::node::{OperatorNode, Role};
use crate::plan::planner::Planner;
use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{ExprSchemable, LogicalPlan};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Spanned};
use datafusion::sql::sqlparser::tokenizer::Span;

const BOUNDS_HINT: &str =
    "scores => 3, bounds => BOUNDS(recency => [30, 90], frequency => [2, 5]): quantiles decide what has no bounds";

/// The words of RFM.
pub(crate) const SIGNATURE: Signature = Signature {
    operator: "RFM",
    arguments: &["value", "on", "as_of", "scores", "bounds", "emit", "by", "time_zone", "user", "time", "name"],
    parts: &[],
    example: "RFM(events, value => price, on => 'purchase')",
};

/// Plan a call of RFM over `input`.
///
/// # Errors
/// `InvalidInput` or `NotFound` at the argument that is wrong.
pub(crate) fn plan(
    mut call: Call,
    input: LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<OperatorNode<Rfm>> {
    let mut planner = Planner::new(&SIGNATURE, &mut call, &input, context)?;
    value(&mut planner, &mut call, &input)?;
    let on = planner.on(&mut call)?;
    for name in ["as_of", "scores", "time_zone"] {
        planner.constant(&mut call, name)?;
    }
    if let Some(argument) = call.take("bounds") {
        bounds(&mut planner, argument)?;
    }
    let by = planner.by(&mut call)?;
    let emit = planner.word(&mut call, "emit", &Emit::WORDS)?.map_or(Emit::Segments, |at| Emit::ALL[at]);
    planner.finish(Rfm { on, emit }, by, input, call.span)
}

/// `value`: a number of the event.
fn value(planner: &mut Planner<'_>, call: &mut Call, input: &LogicalPlan) -> Result<()> {
    let Some(argument) = call.take("value") else {
        let message = "RFM needs a value: what an event is worth";
        return Err(Error::invalid(message).with_hint(SIGNATURE.example).at(call.span));
    };
    let span = argument.value.span();
    let span = if span == Span::empty() { argument.span } else { span };
    let expr = planner.expr(argument.value)?;
    let data_type = expr.get_type(input.schema())?;
    if !data_type.is_numeric() && data_type != DataType::Null {
        return Err(Error::invalid(format!("value must be a number, not {data_type}"))
            .with_hint("name a column of numbers, or make it one: value => CAST(amount AS DOUBLE)")
            .at(span));
    }
    planner.push(Role::Column(0), expr, span);
    Ok(())
}

/// `BOUNDS(recency => […], frequency => […], monetary => […])`.
fn bounds(planner: &mut Planner<'_>, argument: NamedArgument) -> Result<()> {
    let span = argument.span;
    let wrong = |message: String| Error::invalid(message).with_hint(BOUNDS_HINT);
    let part = match argument.value {
        SqlExpr::Function(part) if part.name.to_string().eq_ignore_ascii_case("BOUNDS") => part,
        _ => return Err(wrong("bounds are given as BOUNDS(…)".into()).at(span)),
    };
    let mut given: Vec<&str> = Vec::new();
    for (name, list) in part_arguments(part)? {
        let Some(name) = name else {
            return Err(wrong("bounds are those of recency, frequency or monetary".into()).at(span));
        };
        let key = name.value.to_lowercase();
        let Some(measure) = MEASURES.into_iter().find(|measure| *measure == key) else {
            let near = closest(&key, MEASURES).map(|near| format!("did you mean '{near}'? ")).unwrap_or_default();
            let hint = format!("{near}{BOUNDS_HINT}");
            return Err(Error::invalid(format!("there are no bounds of '{key}'")).with_hint(hint).at(name.span));
        };
        if given.contains(&measure) {
            return Err(wrong(format!("bounds of {measure} are given twice")).at(name.span));
        }
        given.push(measure);
        let items = list_items(list);
        if items.is_empty() {
            return Err(wrong(format!("the bounds of {measure} are empty")).at(name.span));
        }
        for (i, item) in items.into_iter().enumerate() {
            let expr = planner.expr(item)?;
            planner.push(Role::Constant(measure, i), expr, name.span);
        }
    }
    Ok(())
}
