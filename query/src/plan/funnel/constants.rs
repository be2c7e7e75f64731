//! The constant arguments of FUNNEL, as the kernel takes them.

use super::Funnel;
use crate::behavior::funnel::{Attribution, EXCLUDES_MAX, Exclude, FunnelSpec, Order, Ties};
use crate::error::{Error, Result, listed};
use crate::plan::constants;
use crate::plan::node::{OperatorNode, Role};
use chrono_tz::Tz;
use datafusion::scalar::ScalarValue;

/// See [`crate::plan::operator::Operator::spec`].
pub(super) fn spec(
    funnel: &Funnel,
    node: &OperatorNode<Funnel>,
    default_zone: Tz,
    complete: bool,
) -> Result<FunnelSpec> {
    let mut spec = FunnelSpec::new(funnel.step_names.iter().cloned());
    spec.count = funnel.count;
    spec.hold = funnel.hold;
    spec.within_us = node.constant(("within", 0), complete, |v| constants::interval_us(v, "within"))?.flatten();
    spec.step_within_us = step_within(node, spec.steps.len() - 1, complete)?;
    let orders = [("ordered", Order::Ordered), ("strict", Order::Strict), ("any", Order::Any)];
    let order = node.constant(("order", 0), complete, |v| constants::word(v, "order", &orders))?;
    spec.order = order.unwrap_or_default();
    let ties = [("any", Ties::Any), ("arrival", Ties::Arrival), ("increase", Ties::Increase)];
    spec.ties = node.constant(("ties", 0), complete, |v| constants::word(v, "ties", &ties))?.unwrap_or_default();
    let attribution = |v: &ScalarValue| attribution(funnel, v);
    spec.attribution = node.constant(("attribution", 0), complete, attribution)?.unwrap_or_default();
    spec.bucket = node.constant(("bucket", 0), complete, constants::bucket)?;
    spec.time_zone = node.constant(("time_zone", 0), complete, constants::time_zone)?.unwrap_or(default_zone);
    for i in 0..funnel.excludes {
        let step = |v: &ScalarValue| step_number(funnel, v, "EXCLUDE");
        let after = node.constant(("after", i), complete, step)?.unwrap_or(1);
        let before = node.constant(("before", i), complete, step)?.unwrap_or(funnel.step_names.len());
        spec.excludes.push(Exclude { after, before });
    }
    spec.validate().map_err(|error| place(node, Error::from(error), &spec))?;
    Ok(spec)
}

/// The kernel names the argument at the start of its message: put the error there, at the one of several that is wrong.
fn place(node: &OperatorNode<Funnel>, error: Error, spec: &FunnelSpec) -> Error {
    let argument = error.message().split([':', ' ']).next().unwrap_or_default().to_string();
    let steps = spec.steps.len();
    let role = match argument.as_str() {
        "within" => Role::Constant("within", 0),
        "step_within" => {
            let wrong = spec.step_within_us.iter().position(|limit| limit.is_some_and(|us| us <= 0));
            // One interval may stand for all gaps.
            let given = node.exprs_of(|i| Role::Constant("step_within", i)).len();
            Role::Constant("step_within", wrong.unwrap_or(0).min(given.saturating_sub(1)))
        }
        "exclude" => {
            let wrong = spec.excludes.iter().position(|e| e.after < 1 || e.before > steps || e.after >= e.before);
            let too_many = (spec.excludes.len() > EXCLUDES_MAX).then_some(EXCLUDES_MAX);
            Role::Condition(steps + too_many.or(wrong).unwrap_or(0))
        }
        "attribution" => Role::Constant("attribution", 0),
        "bucket" => Role::Constant("bucket", 0),
        _ => Role::Condition(0),
    };
    error.at(node.span(role))
}

fn step_within(node: &OperatorNode<Funnel>, gaps: usize, complete: bool) -> Result<Vec<Option<i64>>> {
    let mut limits = Vec::new();
    for i in 0..node.exprs_of(|i| Role::Constant("step_within", i)).len() {
        let read = |v: &ScalarValue| constants::interval_us(v, "step_within");
        limits.push(node.constant(("step_within", i), complete, read)?.flatten());
    }
    Ok(if let [one] = limits[..] { vec![one; gaps] } else { limits })
}

fn attribution(funnel: &Funnel, value: &ScalarValue) -> Result<Attribution> {
    match constants::text(value) {
        Some(text) if text.eq_ignore_ascii_case("first") => Ok(Attribution::First),
        Some(text) if text.eq_ignore_ascii_case("last") => Ok(Attribution::Last),
        _ => step_number(funnel, value, "attribution").map(Attribution::Step),
    }
}

/// A step by its number, from 1, or by its name.
fn step_number(funnel: &Funnel, value: &ScalarValue, argument: &str) -> Result<usize> {
    let names = &funnel.step_names;
    if let Some(text) = constants::text(value) {
        if let Some(at) = names.iter().position(|name| name == text) {
            return Ok(at + 1);
        }
        return Err(Error::invalid(format!("{argument}: no step is called '{text}'"))
            .with_hint(format!("the steps are {}", listed(names.iter().map(String::as_str)))));
    }
    match constants::integer(value).map(usize::try_from) {
        Some(Ok(number)) => Ok(number),
        _ => Err(Error::invalid(format!("{argument} needs the number or the name of a step, not {value}"))),
    }
}
