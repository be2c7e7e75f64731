//! FUNNEL on the frame of operators: [`args`] reads the call, [`worker`] runs the kernel and keeps [`results`], [`finish`]
//! makes rows.

pub(crate) mod args;
mod constants;
mod finish;
mod results;
mod worker;

use super::compare::{Compared, Of, Shares, says_nothing_to};
use super::node::{OperatorNode, Role, time_type};
use super::operator::{Answer, Ask, Chosen, Found, Operator, Wanted};
use super::table_scan::total;
use crate::behavior::funnel::{Count, FunnelKernel, FunnelSpec, Order};
use crate::error::Result;
use chrono_tz::Tz;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field};
use roaring::RoaringBitmap;
use std::fmt;
use std::sync::Arc;
use trodden_engine::predicate::Predicate;
use worker::FunnelWorker;

/// Columns of `emit => 'steps'` that need the times of the chosen chains.
const DURATIONS: [&str; 3] = ["median_seconds", "p90_seconds", "median_seconds_total"];

/// The shape of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Emit {
    Steps,
    Users,
}

/// What is fixed when the statement is read: names, and all that decides the columns of the answer. The conditions are
/// the steps, then the exclusions; the columns are those of `hold`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Funnel {
    step_names: Vec<String>,
    excludes: usize,
    hold: bool,
    /// Whether there is `by`.
    grouped: bool,
    emit: Emit,
    count: Count,
    bucketed: bool,
}

impl Operator for Funnel {
    type Spec = FunnelSpec;
    type Worker = FunnelWorker;

    const NAME: &'static str = "FUNNEL";
    const NODE: &'static str = "Funnel";
    const SCAN: &'static str = "FunnelScan";

    fn fields(&self, user: Field, by: Vec<Field>, _columns: Vec<Field>) -> Vec<Field> {
        match self.emit {
            Emit::Steps => self.step_fields(by),
            Emit::Users => user_fields(user, by),
        }
    }

    fn spec(&self, node: &OperatorNode<Self>, default_zone: Tz, complete: bool) -> Result<FunnelSpec> {
        constants::spec(self, node, default_zone, complete)
    }

    fn describe(&self, node: &OperatorNode<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions = node.exprs_of(Role::Condition);
        let (steps, excludes) = conditions.split_at(self.step_names.len().min(conditions.len()));
        let steps: Vec<String> = self.step_names.iter().zip(steps).map(|(n, e)| format!("{n}: {e}")).collect();
        write!(f, "steps=[{}]", steps.join(", "))?;
        node.describe_constants(&["within", "order", "ties", "attribution", "bucket", "time_zone"], f)?;
        node.describe_list("step_within", &node.exprs_of(|i| Role::Constant("step_within", i)), f)?;
        node.describe_list("exclude", excludes, f)?;
        node.describe_list("hold", &node.exprs_of(Role::Column), f)?;
        node.describe_frame(f)?;
        if self.count == Count::Attempts {
            f.write_str(", count=attempts")?;
        }
        let emit = if self.emit == Emit::Users { "users" } else { "steps" };
        write!(f, ", emit={emit}")
    }

    fn every_event(&self, spec: &FunnelSpec) -> Result<bool> {
        Ok(FunnelKernel::new(spec.clone())?.needs_every_event())
    }

    fn worker(&self, spec: &FunnelSpec, by_columns: usize, wanted: &Wanted<'_>) -> Result<FunnelWorker> {
        let worker = FunnelWorker::new(spec, self, by_columns)?;
        Ok(if wanted.any(&DURATIONS) { worker } else { worker.without_durations() })
    }

    /// Where the bitmaps know exactly who entered, those without any second step need not be read.
    fn choose(&self, spec: &FunnelSpec, ask: &Ask<'_>) -> Result<Chosen> {
        let steps = spec.steps.len();
        if spec.order == Order::Any {
            let (users, _) = ask.users(Predicate::Or(ask.conditions[..steps].to_vec()))?;
            let note = format!("{} users with any step, from bitmaps", total(&users));
            return Ok(Chosen { users: Some(users), counted: 0, note });
        }
        let (mut users, exact) = ask.users(ask.conditions[0].clone())?;
        let first = total(&users);
        if !exact || !self.counts_users_only() {
            let note = format!("{first} users with step 1, from bitmaps");
            return Ok(Chosen { users: Some(users), counted: 0, note });
        }
        if steps == 1 {
            users.iter_mut().for_each(RoaringBitmap::clear);
        } else {
            let (second, _) = ask.users(ask.conditions[1].clone())?;
            users.iter_mut().zip(second).for_each(|(users, second)| *users &= second);
        }
        let both = total(&users);
        let note = format!("{first} users with step 1, {both} with steps 1 and 2, from bitmaps");
        Ok(Chosen { users: Some(users), counted: first - both, note })
    }

    fn finish(
        &self,
        spec: &FunnelSpec,
        answer: &Answer<'_>,
        found: Vec<Found<'_, FunnelWorker>>,
    ) -> Result<RecordBatch> {
        let finisher = finish::Finisher { funnel: self, spec, answer };
        match self.emit {
            Emit::Steps => finisher.steps(found),
            Emit::Users => finisher.users(found),
        }
    }
}

impl Compared for Funnel {
    fn shares(&self, by: usize) -> Result<Shares> {
        if self.emit == Emit::Users {
            let hint = "leave emit away: the users of each step are compared, as shares of those of the first one";
            return Err(says_nothing_to("emit => 'users'", hint));
        }
        if self.count == Count::Attempts {
            let hint = "leave count away: attempts of one user depend on each other, and the test is one of users";
            return Err(says_nothing_to("count => 'attempts'", hint));
        }
        let groups = by + usize::from(self.bucketed);
        Ok(Shares { groups, rows: groups..groups + 2, complete: None, users: groups + 2, of: Of::FirstRow })
    }
}

impl Funnel {
    fn counts_users_only(&self) -> bool {
        let plain = !self.grouped && !self.bucketed && !self.hold;
        plain && self.emit == Emit::Steps && self.count == Count::Users
    }

    fn step_fields(&self, by: Vec<Field>) -> Vec<Field> {
        let mut fields = by;
        if self.bucketed {
            fields.push(Field::new("bucket", time_type(), false));
        }
        let counted = if self.count == Count::Attempts { "attempts" } else { "users" };
        fields.extend([
            Field::new("step", DataType::Int64, false),
            Field::new("step_name", DataType::Utf8, false),
            Field::new(counted, DataType::Int64, false),
            Field::new("conversion", DataType::Float64, true),
            Field::new("step_conversion", DataType::Float64, true),
            Field::new("dropped", DataType::Int64, false),
            Field::new("median_seconds", DataType::Float64, true),
            Field::new("p90_seconds", DataType::Float64, true),
            Field::new("median_seconds_total", DataType::Float64, true),
        ]);
        fields
    }
}

fn user_fields(user: Field, by: Vec<Field>) -> Vec<Field> {
    let times = DataType::List(Arc::new(Field::new_list_field(time_type(), true)));
    let mut fields = vec![user];
    fields.extend(by);
    fields.extend([
        Field::new("entered_at", time_type(), false),
        Field::new("level", DataType::Int64, false),
        Field::new("step_times", times, false),
        Field::new("drop_reason", DataType::Utf8, true),
    ]);
    fields
}
