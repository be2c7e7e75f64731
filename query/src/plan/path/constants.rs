//! The constant arguments of PATH, as the kernel takes them.

use super::Path;
use crate::behavior::path::{Anchor, PathSpec, Sessions};
use crate::error::{Error, Result};
use crate::plan::constants;
use crate::plan::node::{OperatorNode, Role};
use chrono_tz::Tz;
use datafusion::scalar::ScalarValue;

/// See [`crate::plan::operator::Operator::spec`]. `time_zone` is checked, although no path depends on it.
pub(super) fn spec(path: &Path, node: &OperatorNode<Path>, _default_zone: Tz, complete: bool) -> Result<PathSpec> {
    let mut spec = PathSpec { has_start: path.has_start, has_end: path.has_end, ..PathSpec::default() };
    let gap = node.constant(("session", 0), complete, |v| constants::interval_us(v, "session"))?;
    spec.sessions = match gap {
        _ if path.is_named => Sessions::Named,
        Some(Some(gap_us)) => Sessions::GapUs(gap_us),
        Some(None) => Sessions::Whole,
        None => spec.sessions,
    };
    let anchors = [("first", Anchor::First), ("each", Anchor::Each)];
    let anchor = node.constant(("anchor", 0), complete, |v| constants::word(v, "anchor", &anchors))?;
    spec.anchor = anchor.unwrap_or_default();
    spec.steps = node.constant(("steps", 0), complete, |v| number(v, "steps"))?.unwrap_or(spec.steps);
    spec.top = node.constant(("top", 0), complete, |v| number(v, "top"))?.unwrap_or(spec.top);
    spec.collapse = node.constant(("collapse", 0), complete, truth)?.unwrap_or(spec.collapse);
    node.constant(("time_zone", 0), complete, constants::time_zone)?;
    spec.validate().map_err(|error| place(node, Error::from(error)))?;
    Ok(spec)
}

/// The kernel names the argument at the start of its message: put the error there.
fn place(node: &OperatorNode<Path>, error: Error) -> Error {
    let names = ["session", "anchor", "steps", "top"];
    let at = names.into_iter().find(|name| error.message().starts_with(&format!("{name}:")));
    let span = at.map(|name| node.span(Role::Constant(name, 0)));
    match span {
        Some(span) => error.at(span),
        None => error,
    }
}

fn number(value: &ScalarValue, argument: &str) -> Result<u32> {
    // What is too large for the kernel is refused by it, with its limits.
    let number =
        constants::integer(value).map(|number| u32::try_from(number).unwrap_or(if number < 0 { 0 } else { u32::MAX }));
    number.ok_or_else(|| {
        Error::invalid(format!("{argument} needs a whole number, not {value}"))
            .with_hint(format!("for example {argument} => 10"))
    })
}

fn truth(value: &ScalarValue) -> Result<bool> {
    match value {
        ScalarValue::Boolean(Some(truth)) => Ok(*truth),
        other => Err(Error::invalid(format!("collapse needs true or false, not {other}"))
            .with_hint("collapse => false keeps equal neighbours apart")),
    }
}
