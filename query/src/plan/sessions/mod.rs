//! SESSIONS on the frame of operators: [`args`] reads the call, [`worker`] runs the kernel and keeps what it finds, [`listed`]
//! makes rows of sessions and users, [`counted`] those of summaries and stops.

pub(crate) mod args;
mod constants;
mod counted;
mod listed;
mod worker;

use super::node::{OperatorNode, Role, time_type};
use super::operator::{Answer, Ask, Chosen, Found, Operator, Wanted};
use crate::behavior::sessions::SessionsSpec;
use crate::error::Result;
use chrono_tz::Tz;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field};
use std::fmt;
use worker::SessionsWorker;

/// The shape of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Emit {
    Summary,
    Sessions,
    Stops,
    Users,
}

impl Emit {
    /// Its words in SQL.
    const WORDS: [&'static str; 4] = ["summary", "sessions", "stops", "users"];
    const ALL: [Self; 4] = [Self::Summary, Self::Sessions, Self::Stops, Self::Users];

    fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// What is fixed when the statement is read. The condition is `exclude`, where it is given; the columns are `node`, and the one
/// that names the session, where one does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct UserSessions {
    emit: Emit,
    has_exclude: bool,
    /// Whether a column names the session.
    is_named: bool,
    bucketed: bool,
}

impl Operator for UserSessions {
    type Spec = SessionsSpec;
    type Worker = SessionsWorker;

    const NAME: &'static str = "SESSIONS";
    const NODE: &'static str = "Sessions";
    const SCAN: &'static str = "SessionsScan";

    fn fields(&self, user: Field, by: Vec<Field>, _columns: Vec<Field>) -> Vec<Field> {
        let count = |name: &str| Field::new(name, DataType::Int64, false);
        let number = |name: &str| Field::new(name, DataType::Float64, true);
        let time = |name: &str| Field::new(name, time_type(), false);
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        match self.emit {
            Emit::Summary => {
                let bucket = if self.bucketed { vec![time("bucket")] } else { Vec::new() };
                let seconds = vec![count("sessions"), count("users"), number("mean_seconds"), number("median_seconds")];
                let events =
                    vec![number("mean_events"), number("median_events"), count("bounces"), number("bounce_rate")];
                [by, bucket, seconds, events].concat()
            }
            Emit::Sessions => {
                let times = vec![count("session"), time("started_at"), time("ended_at"), number("seconds")];
                let bounce = Field::new("bounce", DataType::Boolean, false);
                [vec![user], by, times, vec![count("events"), text("entry"), text("exit"), bounce]].concat()
            }
            Emit::Stops => {
                let counts = vec![text("node"), count("stops"), count("sessions"), count("users")];
                [by, counts, vec![number("median_dwell_seconds"), count("entries"), count("exits")]].concat()
            }
            Emit::Users => {
                [vec![user], by, vec![count("sessions"), number("seconds"), count("events"), count("bounces")]].concat()
            }
        }
    }

    fn spec(&self, node: &OperatorNode<Self>, default_zone: Tz, complete: bool) -> Result<SessionsSpec> {
        constants::spec(self, node, default_zone, complete)
    }

    fn describe(&self, node: &OperatorNode<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = node.exprs_of(Role::Column);
        let (nodes, session) = columns.split_at(1.min(columns.len()));
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        write!(f, "node={}", nodes.join(", "))?;
        node.describe_list("exclude", &node.exprs_of(Role::Condition), f)?;
        node.describe_list("session", session, f)?;
        node.describe_constants(&["session", "collapse", "bucket", "time_zone"], f)?;
        node.describe_frame(f)?;
        write!(f, ", emit={}", self.emit.word())
    }

    /// Every event that is not excluded is in a session.
    fn every_event(&self, _spec: &SessionsSpec) -> Result<bool> {
        Ok(true)
    }

    fn worker(&self, spec: &SessionsSpec, by_columns: usize, _wanted: &Wanted<'_>) -> Result<SessionsWorker> {
        SessionsWorker::new(self.emit, spec, by_columns)
    }

    fn choose(&self, _spec: &SessionsSpec, _ask: &Ask<'_>) -> Result<Chosen> {
        Ok(Chosen { users: None, counted: 0, note: "all users".into() })
    }

    fn finish(
        &self,
        spec: &SessionsSpec,
        answer: &Answer<'_>,
        found: Vec<Found<'_, SessionsWorker>>,
    ) -> Result<RecordBatch> {
        match self.emit {
            Emit::Summary => counted::summary(spec, answer, found),
            Emit::Stops => counted::stops(answer, found),
            Emit::Sessions => listed::sessions(answer, found),
            Emit::Users => listed::users(answer, found),
        }
    }
}
