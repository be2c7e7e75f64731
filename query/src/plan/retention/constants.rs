//! The constant arguments of RETENTION, as the kernel takes them.

use super::Retention;
use crate::behavior::retention::{Cohorts, Mode, Period, Periods, RetentionSpec, Windows};
use crate::error::{Error, Result};
use crate::plan::constants::{self, CalendarSpan};
use crate::plan::node::{OperatorNode, Role};
use chrono::Weekday;
use chrono_tz::Tz;
use datafusion::scalar::ScalarValue;

const DAY_US: i64 = 86_400_000_000;
const PERIOD_HINT: &str =
    "period is INTERVAL '1' DAY, '1' WEEK or '1' MONTH, or a number of days such as INTERVAL '7' DAY";

/// See [`crate::plan::operator::Operator::spec`].
pub(super) fn spec(
    retention: &Retention,
    node: &OperatorNode<Retention>,
    default_zone: Tz,
    complete: bool,
) -> Result<RetentionSpec> {
    let mut spec = RetentionSpec { time_zone: default_zone, ..RetentionSpec::default() };
    let starts_on = node.constant(("week_start", 0), complete, constants::weekday)?.unwrap_or(Weekday::Mon);
    let read = |value: &ScalarValue| period(value, starts_on);
    spec.period = node.constant(("period", 0), complete, read)?.unwrap_or_default();
    spec.periods = periods(retention, node, complete)?;
    let modes = [
        ("on", Mode::On),
        ("on_or_after", Mode::OnOrAfter),
        ("on_or_before", Mode::OnOrBefore),
        ("streak", Mode::Streak),
    ];
    spec.mode = node.constant(("mode", 0), complete, |v| constants::word(v, "mode", &modes))?.unwrap_or_default();
    let cohorts = [("first", Cohorts::First), ("every", Cohorts::Every)];
    let cohort = node.constant(("cohort", 0), complete, |v| constants::word(v, "cohort", &cohorts))?;
    spec.cohort = cohort.unwrap_or_default();
    let windows = [("calendar", Windows::Calendar), ("rolling", Windows::Rolling)];
    let window = node.constant(("windows", 0), complete, |v| constants::word(v, "windows", &windows))?;
    spec.windows = window.unwrap_or_default();
    let count = |v: &ScalarValue| whole_number(v, "min_count");
    spec.min_count = node.constant(("min_count", 0), complete, count)?.unwrap_or(1);
    spec.time_zone = node.constant(("time_zone", 0), complete, constants::time_zone)?.unwrap_or(default_zone);
    spec.validate().map_err(|error| place(node, Error::from(error), &spec))?;
    Ok(spec)
}

fn periods(retention: &Retention, node: &OperatorNode<Retention>, complete: bool) -> Result<Periods> {
    let number = |v: &ScalarValue| whole_number(v, "periods");
    let count = node.constant(("periods", 0), complete, number)?;
    if !retention.bracketed {
        return Ok(count.map_or_else(Periods::default, Periods::Count));
    }
    let mut brackets = Vec::new();
    for i in 0..node.exprs_of(|i| Role::Constant("brackets", i)).len() {
        match node.constant(("brackets", i), complete, |v| whole_number(v, "brackets"))? {
            Some(bracket) => brackets.push(bracket),
            // Not known yet: what the others are is looked at when it is.
            None => return Ok(Periods::default()),
        }
    }
    Ok(Periods::Brackets(brackets))
}

/// The kernel names the argument at the start of its message: put the error there.
fn place(node: &OperatorNode<Retention>, error: Error, spec: &RetentionSpec) -> Error {
    let argument = error.message().split(':').next().unwrap_or_default();
    let role = match argument {
        "periods" => Role::Constant("periods", 0),
        "brackets" => Role::Constant("brackets", wrong_bracket(&spec.periods)),
        "min_count" => Role::Constant("min_count", 0),
        _ => Role::Constant("period", 0),
    };
    let span = node.span(role);
    error.at(span)
}

/// The first bracket that does not come after the one before.
fn wrong_bracket(periods: &Periods) -> usize {
    let Periods::Brackets(brackets) = periods else { return 0 };
    brackets.windows(2).position(|pair| pair[0] >= pair[1]).map_or_else(
        || if brackets.first() == Some(&0) { 0 } else { brackets.len().saturating_sub(1) },
        |before| before + 1,
    )
}

fn whole_number(value: &ScalarValue, argument: &str) -> Result<u32> {
    constants::integer(value).and_then(|number| u32::try_from(number).ok()).ok_or_else(|| {
        Error::invalid(format!("{argument} needs a whole number from 0 up, not {value}"))
            .with_hint(format!("for example {argument} => {}", if argument == "brackets" { "[1, 3, 7]" } else { "8" }))
    })
}

fn period(value: &ScalarValue, starts_on: Weekday) -> Result<Period> {
    Ok(match constants::calendar_span(value, "period", PERIOD_HINT)? {
        CalendarSpan::Day => Period::Day,
        CalendarSpan::Week => Period::Week { starts_on },
        CalendarSpan::Month => Period::Month,
        CalendarSpan::Us(us) if us > 0 && us % DAY_US == 0 => {
            Period::Days(u32::try_from(us / DAY_US).unwrap_or(u32::MAX))
        }
        CalendarSpan::Us(_) => {
            let message = "period is a whole number of days, or one week or month";
            return Err(Error::invalid(message).with_hint(PERIOD_HINT));
        }
    })
}
