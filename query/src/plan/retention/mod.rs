//! RETENTION on the frame of operators: [`args`] reads the call, [`worker`] runs the kernel and keeps what it finds,
//! [`days`] answers from day bitmaps where they cover the question, [`finish`] makes rows. [`merge_rule`] finds out that nobody
//! looks at cohorts.

pub(crate) mod args;
mod constants;
mod days;
mod finish;
pub(crate) mod merge_rule;
mod worker;

use super::compare::{Compared, Of, Shares, says_nothing_to};
use super::node::{OperatorNode, Role, time_type};
use super::operator::{Answer, Ask, Chosen, Coverage, Found, Indexed, Operator, Wanted};
use super::table_scan::total;
use crate::behavior::retention::RetentionSpec;
use crate::error::Result;
use chrono_tz::Tz;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::execution::memory_pool::MemoryReservation;
use std::fmt;
use std::sync::Arc;
use worker::RetentionWorker;

/// The condition that puts a user into a cohort, among those of the node.
const START: usize = 0;
/// The condition that counts as coming back.
const RETURN: usize = 1;

/// Cohorts that a table has, about.
const COHORTS: usize = 100;

/// The shape of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Emit {
    Matrix,
    Users,
}

/// What is fixed when the statement is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Retention {
    /// Whether `start` and `return` are given; otherwise any event satisfies them.
    start: bool,
    returns: bool,
    bracketed: bool,
    emit: Emit,
    /// Nobody looks at cohorts, and those of a group are one.
    merged: bool,
}

impl Operator for Retention {
    type Spec = RetentionSpec;
    type Worker = RetentionWorker;

    const NAME: &'static str = "RETENTION";
    const NODE: &'static str = "Retention";
    const SCAN: &'static str = "RetentionScan";

    fn fields(&self, user: Field, by: Vec<Field>, _columns: Vec<Field>) -> Vec<Field> {
        let cohort = Field::new("cohort", time_type(), false);
        let number = |name: &str| Field::new(name, DataType::Int64, false);
        match self.emit {
            Emit::Matrix => {
                let mut fields = vec![cohort];
                fields.extend(by);
                fields.extend([number("cohort_users"), number("period"), number("users")]);
                fields.push(Field::new("rate", DataType::Float64, false));
                fields.push(Field::new("complete", DataType::Boolean, false));
                fields
            }
            Emit::Users => {
                let periods = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
                let mut fields = vec![user];
                fields.extend(by);
                fields.extend([cohort, Field::new("started_at", time_type(), false)]);
                fields.push(Field::new("periods", periods, false));
                fields
            }
        }
    }

    fn spec(&self, node: &OperatorNode<Self>, default_zone: Tz, complete: bool) -> Result<RetentionSpec> {
        constants::spec(self, node, default_zone, complete)
    }

    fn describe(&self, node: &OperatorNode<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions = node.exprs_of(Role::Condition);
        let condition = |given: bool, at: usize| match conditions.get(at) {
            Some(condition) if given => condition.to_string(),
            _ => "any event".into(),
        };
        write!(f, "start=[{}], return=[{}]", condition(self.start, START), condition(self.returns, RETURN))?;
        node.describe_constants(&["period", "periods"], f)?;
        node.describe_list("brackets", &node.exprs_of(|i| Role::Constant("brackets", i)), f)?;
        node.describe_constants(&["mode", "cohort", "windows", "min_count", "week_start", "time_zone"], f)?;
        node.describe_frame(f)?;
        let emit = if self.emit == Emit::Users { "users" } else { "matrix" };
        write!(f, ", emit={emit}")?;
        if self.merged { write!(f, ", cohorts=merged") } else { Ok(()) }
    }

    fn every_event(&self, _spec: &RetentionSpec) -> Result<bool> {
        Ok(false)
    }

    fn few_rows(&self, spec: &RetentionSpec) -> Option<usize> {
        let cohorts = if self.merged { 1 } else { COHORTS };
        (self.emit == Emit::Matrix).then(|| cohorts * spec.periods.rows())
    }

    fn worker(&self, spec: &RetentionSpec, by_columns: usize, _wanted: &Wanted<'_>) -> Result<RetentionWorker> {
        RetentionWorker::new(spec, self.emit, by_columns)
    }

    fn choose(&self, _spec: &RetentionSpec, ask: &Ask<'_>) -> Result<Chosen> {
        let (users, _) = ask.users(ask.conditions[START].clone())?;
        let note = format!("{} users with the start event, from bitmaps", total(&users));
        Ok(Chosen { users: Some(users), counted: 0, note })
    }

    fn finish(
        &self,
        spec: &RetentionSpec,
        answer: &Answer<'_>,
        found: Vec<Found<'_, RetentionWorker>>,
    ) -> Result<RecordBatch> {
        match self.emit {
            Emit::Matrix => finish::matrix(spec, self.merged, answer, found),
            Emit::Users => finish::users(spec, answer, found),
        }
    }

    fn coverage(&self, spec: &RetentionSpec, ask: &Ask<'_>) -> Result<Option<Coverage>> {
        days::coverage(self, spec, ask).map(Some)
    }

    fn by_indexes(
        &self,
        spec: &RetentionSpec,
        ask: &Ask<'_>,
        reservation: &MemoryReservation,
    ) -> Result<Option<Indexed<RetentionWorker>>> {
        days::by_indexes(self, spec, ask, reservation)
    }
}

impl Compared for Retention {
    fn shares(&self, by: usize) -> Result<Shares> {
        if self.emit == Emit::Users {
            let hint = "leave emit away: the users of each period are compared, as shares of their cohort";
            return Err(says_nothing_to("emit => 'users'", hint));
        }
        let (groups, of, period) = (1 + by, 1 + by, 2 + by);
        let (users, complete) = (period + 1, period + 3);
        Ok(Shares { groups, rows: period..period + 1, complete: Some(complete), users, of: Of::Column(of) })
    }
}
