//! The constant arguments of SESSIONS, as the kernel takes them.

use super::UserSessions;
use crate::behavior::path::Sessions;
use crate::behavior::sessions::SessionsSpec;
use crate::error::{Error, Result};
use crate::plan::constants;
use crate::plan::node::{OperatorNode, Role};
use chrono_tz::Tz;
use datafusion::scalar::ScalarValue;

/// See [`crate::plan::operator::Operator::spec`].
pub(super) fn spec(
    sessions: &UserSessions,
    node: &OperatorNode<UserSessions>,
    default_zone: Tz,
    complete: bool,
) -> Result<SessionsSpec> {
    let mut spec = SessionsSpec::default();
    let gap = node.constant(("session", 0), complete, |v| constants::interval_us(v, "session"))?;
    spec.sessions = match gap {
        _ if sessions.is_named => Sessions::Named,
        Some(Some(gap_us)) => Sessions::GapUs(gap_us),
        Some(None) => Sessions::Whole,
        None => spec.sessions,
    };
    spec.collapse = node.constant(("collapse", 0), complete, truth)?.unwrap_or(spec.collapse);
    spec.bucket = node.constant(("bucket", 0), complete, constants::bucket)?;
    spec.time_zone = node.constant(("time_zone", 0), complete, constants::time_zone)?.unwrap_or(default_zone);
    spec.validate().map_err(|error| place(node, Error::from(error)))?;
    Ok(spec)
}

/// The kernel names the argument at the start of its message: put the error there.
fn place(node: &OperatorNode<UserSessions>, error: Error) -> Error {
    let name = if error.message().starts_with("bucket:") { "bucket" } else { "session" };
    let span = node.span(Role::Constant(name, 0));
    error.at(span)
}

fn truth(value: &ScalarValue) -> Result<bool> {
    match value {
        ScalarValue::Boolean(Some(truth)) => Ok(*truth),
        other => Err(Error::invalid(format!("collapse needs true or false, not {other}"))
            .with_hint("collapse => false makes every event a stop")),
    }
}
