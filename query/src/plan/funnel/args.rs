//! From a call of FUNNEL to its logical node.

use super::{Emit, Funnel};
use crate::behavior::funnel::{Count, STEPS_MAX};
use crate::error::{Error, Result};
use crate::plan::arguments::{Call, NamedArgument, Signature, list_items, part_arguments, string_literal};
use crate::plan::node::{OperatorNode, Role};
use crate::plan::planner::Planner;
use crate::sql::short_form::unused;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Function, Ident, Spanned};
use datafusion::sql::sqlparser::tokenizer::Span;

/// The words of FUNNEL.
pub(crate) const SIGNATURE: Signature = Signature {
    operator: "FUNNEL",
    arguments: &[
        "steps",
        "within",
        "step_within",
        "order",
        "ties",
        "exclude",
        "hold",
        "count",
        "attribution",
        "bucket",
        "emit",
        "by",
        "time_zone",
        "user",
        "time",
        "name",
    ],
    parts: &["STEPS", "EXCLUDE"],
    example: "FUNNEL(events, STEPS(viewed => 'product_view', bought => 'purchase'), within => INTERVAL '7' DAY)",
};

/// Plan a call of FUNNEL over `input`.
///
/// # Errors
/// `InvalidInput` or `NotFound` at the argument that is wrong.
pub(crate) fn plan(
    mut call: Call,
    input: LogicalPlan,
    context: &mut dyn RelationPlannerContext,
) -> Result<OperatorNode<Funnel>> {
    let mut planner = Planner::new(&SIGNATURE, &mut call, &input, context)?;
    let step_names = steps(&mut planner, &mut call)?;
    let excludes = excludes(&mut planner, &mut call, step_names.len())?;
    let hold = planner.list(&mut call, "hold", Role::Column)?;
    let by = planner.by(&mut call)?;
    planner.list(&mut call, "step_within", |i| Role::Constant("step_within", i))?;
    for name in ["within", "order", "ties", "attribution", "time_zone"] {
        planner.constant(&mut call, name)?;
    }
    let bucketed = planner.calendar_constant(&mut call, "bucket")?;
    let count = match planner.word(&mut call, "count", &["users", "attempts"])? {
        Some(1) => Count::Attempts,
        _ => Count::Users,
    };
    let emit = match planner.word(&mut call, "emit", &["steps", "users"])? {
        Some(1) => Emit::Users,
        _ => Emit::Steps,
    };
    let funnel = Funnel { step_names, excludes, hold: hold > 0, grouped: !by.is_empty(), emit, count, bucketed };
    planner.finish(funnel, by, input, call.span)
}

fn steps(planner: &mut Planner<'_>, call: &mut Call) -> Result<Vec<String>> {
    let at = call.parts.iter().position(|part| part.name.to_string().eq_ignore_ascii_case("STEPS"));
    let part = at.map(|at| call.parts.remove(at));
    let again = call.parts.iter().find(|part| part.name.to_string().eq_ignore_ascii_case("STEPS"));
    if let Some(again) = again {
        return Err(twice(again.name.span()));
    }
    let list = call.take("steps");
    let steps = match (part, list) {
        (Some(part), None) => part_arguments(part)?,
        (None, Some(NamedArgument { value: SqlExpr::Function(part), .. }))
            if part.name.to_string().eq_ignore_ascii_case("STEPS") =>
        {
            part_arguments(part)?
        }
        (None, Some(list)) => list_items(list.value).into_iter().map(|item| (None, item)).collect(),
        (None, None) => {
            return Err(Error::invalid("FUNNEL needs its steps").with_hint(SIGNATURE.example).at(call.span));
        }
        (Some(part), Some(_)) => {
            return Err(twice(part.name.span()));
        }
    };
    let count = steps.len();
    if count == 0 {
        return Err(Error::invalid("FUNNEL needs at least one step").with_hint(SIGNATURE.example).at(call.span));
    }
    if count > STEPS_MAX {
        return Err(Error::invalid(format!("FUNNEL takes at most {STEPS_MAX} steps, not {count}"))
            .with_hint("join neighbouring steps with OR, or ask two funnels")
            .at(steps[STEPS_MAX].1.span()));
    }
    let mut names = Vec::with_capacity(count);
    for (i, (name, expr)) in steps.into_iter().enumerate() {
        let span = name.as_ref().map_or_else(|| expr.span(), |name| name.span);
        names.push(step_name(planner, name, &expr, &names)?);
        let condition = planner.condition(expr)?;
        planner.push(Role::Condition(i), condition, span);
    }
    Ok(names)
}

fn step_name(planner: &Planner<'_>, name: Option<Ident>, expr: &SqlExpr, taken: &[String]) -> Result<String> {
    let Some(name) = name else {
        let text = string_literal(expr).map_or_else(|| expr.to_string(), String::from);
        return Ok(unused(text, taken));
    };
    let span = name.span;
    let name = planner.context.normalize_ident(name);
    if taken.contains(&name) {
        return Err(Error::invalid(format!("two steps are called '{name}'"))
            .with_hint(format!("call one of them '{}'", unused(name.clone(), taken)))
            .at(span));
    }
    Ok(name)
}

/// `exclude => EXCLUDE(…)`, a list of them, or `EXCLUDE(…)` without a name.
fn excludes(planner: &mut Planner<'_>, call: &mut Call, steps: usize) -> Result<usize> {
    let mut parts: Vec<Function> = Vec::new();
    if let Some(argument) = call.take("exclude") {
        for item in list_items(argument.value) {
            match item {
                SqlExpr::Function(part) if part.name.to_string().eq_ignore_ascii_case("EXCLUDE") => {
                    parts.push(part);
                }
                other => {
                    return Err(Error::invalid(format!("exclude takes EXCLUDE(…), not '{other}'"))
                        .with_hint("exclude => EXCLUDE('refund', after => 1, before => 2)")
                        .at(other.span()));
                }
            }
        }
    }
    parts.append(&mut call.parts);
    let count = parts.len();
    for (i, part) in parts.into_iter().enumerate() {
        exclude(planner, i, steps, part)?;
    }
    Ok(count)
}

fn exclude(planner: &mut Planner<'_>, index: usize, steps: usize, part: Function) -> Result<()> {
    let span = part.name.span();
    let (mut condition, mut after, mut before) = (None, None, None);
    for (name, value) in part_arguments(part)? {
        let place = name.as_ref().map_or_else(|| value.span(), |name| name.span);
        let key = name.as_ref().map(|name| name.value.to_lowercase());
        let slot = match key.as_deref() {
            None => &mut condition,
            Some("after") => &mut after,
            Some("before") => &mut before,
            Some(other) => {
                return Err(Error::invalid(format!("EXCLUDE has no argument '{other}'"))
                    .with_hint("EXCLUDE(condition, after => step, before => step)")
                    .at(place));
            }
        };
        if slot.replace((value, place)).is_some() {
            let what = key.unwrap_or_else(|| "condition".into());
            return Err(Error::invalid(format!("EXCLUDE has more than one '{what}'"))
                .with_hint("join conditions with OR, or use several EXCLUDE")
                .at(place));
        }
    }
    let Some((condition, place)) = condition else {
        return Err(Error::invalid("EXCLUDE needs a condition")
            .with_hint("EXCLUDE('refund', after => 1, before => 2)")
            .at(span));
    };
    let condition = planner.condition(condition)?;
    planner.push(Role::Condition(steps + index), condition, place);
    for (name, value) in [("after", after), ("before", before)] {
        if let Some((value, place)) = value {
            let value = planner.expr(value)?;
            planner.push(Role::Constant(name, index), value, place);
        }
    }
    Ok(())
}

fn twice(span: Span) -> Error {
    Error::invalid("the steps are given twice").with_hint("put all steps into one STEPS(…)").at(span)
}
