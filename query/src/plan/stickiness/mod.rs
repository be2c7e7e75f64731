//! STICKINESS on the frame of operators: [`args`] reads the call, [`worker`] finds the days of users, [`days`] tells them from
//! day bitmaps where they cover the question, [`finish`] makes rows.

pub(crate) mod args;
mod days;
mod finish;
mod worker;

use super::compare::{Compared, Of, Shares, says_nothing_to};
use super::constants;
use super::day_bitmaps;
use super::node::{OperatorNode, Role, time_type};
use super::operator::{Answer, Ask, Chosen, Coverage, Found, Indexed, Operator, Wanted};
use super::table_scan::total;
use crate::behavior::periods::{Calendar, Period};
use crate::behavior::stickiness::StickinessSpec;
use crate::error::{Error, Result};
use chrono::Weekday;
use chrono_tz::Tz;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::execution::memory_pool::MemoryReservation;
use std::fmt;
use std::sync::Arc;
use worker::StickinessWorker;

const WITHIN_HINT: &str = "within is INTERVAL '1' WEEK or INTERVAL '1' MONTH";

/// The shape of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Emit {
    Histogram,
    Active,
    Users,
}

impl Emit {
    /// Its words in SQL.
    const WORDS: [&'static str; 3] = ["histogram", "active", "users"];
    const ALL: [Self; 3] = [Self::Histogram, Self::Active, Self::Users];
}

/// What is fixed when the statement is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Stickiness {
    /// Whether `on` is given; otherwise any event counts.
    on: bool,
    emit: Emit,
}

impl Operator for Stickiness {
    type Spec = StickinessSpec;
    type Worker = StickinessWorker;

    const NAME: &'static str = "STICKINESS";
    const NODE: &'static str = "Stickiness";
    const SCAN: &'static str = "StickinessScan";

    fn fields(&self, user: Field, by: Vec<Field>, _columns: Vec<Field>) -> Vec<Field> {
        let count = |name: &str| Field::new(name, DataType::Int64, false);
        let ratio = |name: &str| Field::new(name, DataType::Float64, true);
        let (period, complete) =
            (Field::new("period", time_type(), false), Field::new("complete", DataType::Boolean, false));
        match self.emit {
            Emit::Histogram => {
                let share = Field::new("share", DataType::Float64, false);
                [vec![period], by, vec![count("days"), count("users"), share, complete]].concat()
            }
            Emit::Active => {
                let day = Field::new("day", time_type(), false);
                let counts = vec![count("dau"), count("wau"), count("mau")];
                let ratios = vec![ratio("dau_wau"), ratio("dau_mau"), ratio("wau_mau"), complete];
                [vec![day], by, counts, ratios].concat()
            }
            Emit::Users => {
                let days = DataType::List(Arc::new(Field::new_list_field(time_type(), true)));
                [vec![user], by, vec![period, count("days"), Field::new("active_days", days, false)]].concat()
            }
        }
    }

    fn spec(&self, node: &OperatorNode<Self>, default_zone: Tz, complete: bool) -> Result<StickinessSpec> {
        let starts_on = node.constant(("week_start", 0), complete, constants::weekday)?.unwrap_or(Weekday::Mon);
        let period = |value: &_| constants::calendar_period(value, "within", starts_on, WITHIN_HINT);
        let period = node.constant(("within", 0), complete, period)?.unwrap_or(Period::Month);
        let time_zone = node.constant(("time_zone", 0), complete, constants::time_zone)?.unwrap_or(default_zone);
        let spec = StickinessSpec { within: Calendar { period, time_zone } };
        spec.validate().map_err(|error| Error::from(error).at(node.span(Role::Constant("within", 0))))?;
        Ok(spec)
    }

    fn describe(&self, node: &OperatorNode<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match node.expr(Role::Condition(0)) {
            Some(condition) if self.on => write!(f, "on=[{condition}]")?,
            _ => write!(f, "on=[any event]")?,
        }
        node.describe_constants(&["within", "week_start", "time_zone"], f)?;
        node.describe_frame(f)?;
        write!(f, ", emit={}", Emit::WORDS[self.emit as usize])
    }

    fn every_event(&self, _spec: &StickinessSpec) -> Result<bool> {
        Ok(false)
    }

    fn worker(&self, spec: &StickinessSpec, by_columns: usize, _wanted: &Wanted<'_>) -> Result<StickinessWorker> {
        Ok(StickinessWorker::new(spec, self.emit, by_columns))
    }

    fn choose(&self, _spec: &StickinessSpec, ask: &Ask<'_>) -> Result<Chosen> {
        let (users, _) = ask.users(ask.conditions[0].clone())?;
        let note = format!("{} users who were active, from bitmaps", total(&users));
        Ok(Chosen { users: Some(users), counted: 0, note })
    }

    fn finish(
        &self,
        spec: &StickinessSpec,
        answer: &Answer<'_>,
        found: Vec<Found<'_, StickinessWorker>>,
    ) -> Result<RecordBatch> {
        match self.emit {
            Emit::Histogram => finish::histogram(spec, answer, found),
            Emit::Active => finish::active(spec, answer, found),
            Emit::Users => finish::users(spec, answer, found),
        }
    }

    fn coverage(&self, spec: &StickinessSpec, ask: &Ask<'_>) -> Result<Option<Coverage>> {
        let whole = spec.within.has_whole_days(ask.times());
        day_bitmaps::coverage(ask, spec.within.time_zone, whole).map(Some)
    }

    fn by_indexes(
        &self,
        spec: &StickinessSpec,
        ask: &Ask<'_>,
        reservation: &MemoryReservation,
    ) -> Result<Option<Indexed<StickinessWorker>>> {
        if !matches!(self.coverage(spec, ask)?, Some(Coverage::Index(_))) {
            return Ok(None);
        }
        let make = || StickinessWorker::new(spec, self.emit, ask.by_columns.len());
        day_bitmaps::by_shards(ask, reservation, make, days::count)
    }
}

impl Compared for Stickiness {
    fn shares(&self, by: usize) -> Result<Shares> {
        if self.emit != Emit::Histogram {
            let argument = format!("emit => '{}'", Emit::WORDS[self.emit as usize]);
            let hint = "leave emit away: how many users have so many days is compared, as a share of the active ones";
            return Err(says_nothing_to(&argument, hint));
        }
        let (groups, users) = (1 + by, 2 + by);
        Ok(Shares { groups, rows: groups..groups + 1, complete: Some(users + 2), users, of: Of::AllRows })
    }
}
