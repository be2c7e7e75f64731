//! LIFECYCLE on the frame of operators: [`args`] reads the call, [`worker`] finds what users are in their periods, [`days`]
//! tells it from day bitmaps where they cover the question, [`finish`] makes rows.

pub(crate) mod args;
mod days;
mod finish;
mod worker;

use super::constants;
use super::day_bitmaps;
use super::node::{OperatorNode, Role, time_type};
use super::operator::{Answer, Ask, Chosen, Coverage, Found, Indexed, Operator, Wanted};
use super::table_scan::total;
use crate::behavior::lifecycle::LifecycleSpec;
use crate::behavior::periods::Calendar;
use crate::error::{Error, Result};
use chrono::Weekday;
use chrono_tz::Tz;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::execution::memory_pool::MemoryReservation;
use std::fmt;
use worker::LifecycleWorker;

const PERIOD_HINT: &str = "period is INTERVAL '1' DAY, '1' WEEK or '1' MONTH";

/// The shape of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Emit {
    Periods,
    Users,
}

/// What is fixed when the statement is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Lifecycle {
    /// Whether `on` is given; otherwise any event counts.
    on: bool,
    emit: Emit,
}

impl Operator for Lifecycle {
    type Spec = LifecycleSpec;
    type Worker = LifecycleWorker;

    const NAME: &'static str = "LIFECYCLE";
    const NODE: &'static str = "Lifecycle";
    const SCAN: &'static str = "LifecycleScan";

    fn fields(&self, user: Field, by: Vec<Field>, _columns: Vec<Field>) -> Vec<Field> {
        let (period, status) = (Field::new("period", time_type(), false), Field::new("status", DataType::Utf8, false));
        match self.emit {
            Emit::Periods => {
                let users = Field::new("users", DataType::Int64, false);
                let complete = Field::new("complete", DataType::Boolean, false);
                [vec![period], by, vec![status, users, complete]].concat()
            }
            Emit::Users => [vec![user], by, vec![period, status]].concat(),
        }
    }

    fn spec(&self, node: &OperatorNode<Self>, default_zone: Tz, complete: bool) -> Result<LifecycleSpec> {
        let starts_on = node.constant(("week_start", 0), complete, constants::weekday)?.unwrap_or(Weekday::Mon);
        let period = |value: &_| constants::calendar_period(value, "period", starts_on, PERIOD_HINT);
        let period = node.constant(("period", 0), complete, period)?.unwrap_or_default();
        let time_zone = node.constant(("time_zone", 0), complete, constants::time_zone)?.unwrap_or(default_zone);
        let instant = |name: &'static str| node.constant((name, 0), complete, |v| constants::instant_us(v, name));
        let calendar = Calendar { period, time_zone };
        let spec = LifecycleSpec { calendar, from_us: instant("from")?, to_us: instant("to")? };
        spec.validate().map_err(|error| Error::from(error).at(node.span(Role::Constant("to", 0))))?;
        Ok(spec)
    }

    fn describe(&self, node: &OperatorNode<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match node.expr(Role::Condition(0)) {
            Some(condition) if self.on => write!(f, "on=[{condition}]")?,
            _ => write!(f, "on=[any event]")?,
        }
        node.describe_constants(&["period", "week_start", "from", "to", "time_zone"], f)?;
        node.describe_frame(f)?;
        write!(f, ", emit={}", if self.emit == Emit::Users { "users" } else { "periods" })
    }

    fn every_event(&self, _spec: &LifecycleSpec) -> Result<bool> {
        Ok(false)
    }

    fn worker(&self, spec: &LifecycleSpec, by_columns: usize, _wanted: &Wanted<'_>) -> Result<LifecycleWorker> {
        Ok(LifecycleWorker::new(spec, self.emit, by_columns))
    }

    fn choose(&self, _spec: &LifecycleSpec, ask: &Ask<'_>) -> Result<Chosen> {
        let (users, _) = ask.users(ask.conditions[0].clone())?;
        let note = format!("{} users who were active, from bitmaps", total(&users));
        Ok(Chosen { users: Some(users), counted: 0, note })
    }

    fn finish(
        &self,
        spec: &LifecycleSpec,
        answer: &Answer<'_>,
        found: Vec<Found<'_, LifecycleWorker>>,
    ) -> Result<RecordBatch> {
        match self.emit {
            Emit::Periods => finish::periods(spec, answer, found),
            Emit::Users => finish::users(spec, answer, found),
        }
    }

    fn coverage(&self, spec: &LifecycleSpec, ask: &Ask<'_>) -> Result<Option<Coverage>> {
        let whole = spec.calendar.has_whole_days(ask.times());
        day_bitmaps::coverage(ask, spec.calendar.time_zone, whole).map(Some)
    }

    fn by_indexes(
        &self,
        spec: &LifecycleSpec,
        ask: &Ask<'_>,
        reservation: &MemoryReservation,
    ) -> Result<Option<Indexed<LifecycleWorker>>> {
        if !matches!(self.coverage(spec, ask)?, Some(Coverage::Index(_))) {
            return Ok(None);
        }
        let make = || LifecycleWorker::new(spec, self.emit, ask.by_columns.len());
        day_bitmaps::by_shards(ask, reservation, make, |worker, shard, days| days::count(worker, spec, shard, days))
    }
}
