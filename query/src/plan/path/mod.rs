//! PATH on the frame of operators: [`args`] reads the call, [`worker`] runs the kernel and keeps counts, or [`user_ways`],
//! [`finish`] makes rows.

pub(crate) mod args;
mod constants;
mod finish;
mod user_ways;
mod worker;

use super::node::{OperatorNode, Role, time_type};
use super::operator::{Answer, Ask, Chosen, Found, Operator, Wanted};
use super::table_scan::total;
use crate::behavior::path::{self, PathSpec};
use crate::error::Result;
use chrono_tz::Tz;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field};
use std::fmt;
use std::sync::Arc;
use worker::PathWorker;

/// The shape of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Emit {
    Paths,
    Edges,
    Transitions,
    Users,
}

impl Emit {
    /// Its words in SQL.
    const WORDS: [&'static str; 4] = ["paths", "edges", "transitions", "users"];
    const ALL: [Self; 4] = [Self::Paths, Self::Edges, Self::Transitions, Self::Users];

    fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// What is fixed when the statement is read. The conditions are `start`, `end` and `exclude`, as far as they are given; the
/// columns are `node`, and the one that names the session, where one does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Path {
    emit: Emit,
    has_start: bool,
    has_end: bool,
    has_exclude: bool,
    /// Whether a column names the session.
    is_named: bool,
}

impl Operator for Path {
    type Spec = PathSpec;
    type Worker = PathWorker;

    const NAME: &'static str = "PATH";
    const NODE: &'static str = "Path";
    const SCAN: &'static str = "PathScan";

    fn fields(&self, user: Field, by: Vec<Field>, _columns: Vec<Field>) -> Vec<Field> {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let count = |name: &str| Field::new(name, DataType::Int64, false);
        let number = |name: &str| Field::new(name, DataType::Float64, true);
        let list = |name: &str, of: DataType, nullable: bool| {
            Field::new(name, DataType::List(Arc::new(Field::new_list_field(of, true))), nullable)
        };
        let own = match self.emit {
            Emit::Paths => {
                let path = list("path", DataType::Utf8, true);
                vec![path, count("sessions"), count("users"), number("share"), number("median_seconds")]
            }
            Emit::Edges => {
                let step = Field::new("step", DataType::Int64, true);
                let (source, target) = (text("source"), text("target"));
                vec![step, source, target, count("sessions"), count("users"), number("median_seconds")]
            }
            Emit::Transitions => {
                let (source, target) = (text("source"), text("target"));
                let (probability, median) = (number("probability"), number("median_seconds"));
                vec![source, target, count("count"), count("users"), probability, median]
            }
            Emit::Users => {
                let exited = Field::new("exited", DataType::Boolean, false);
                vec![list("path", DataType::Utf8, false), list("step_times", time_type(), false), exited]
            }
        };
        let first = if self.emit == Emit::Users { vec![user] } else { Vec::new() };
        first.into_iter().chain(by).chain(own).collect()
    }

    fn spec(&self, node: &OperatorNode<Self>, default_zone: Tz, complete: bool) -> Result<PathSpec> {
        constants::spec(self, node, default_zone, complete)
    }

    fn describe(&self, node: &OperatorNode<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = node.exprs_of(Role::Column);
        let (nodes, session) = columns.split_at(1.min(columns.len()));
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        write!(f, "node={}", nodes.join(", "))?;
        for condition in self.conditions().iter().zip(node.exprs_of(Role::Condition)) {
            write!(f, ", {}={}", condition.0.0, condition.1)?;
        }
        node.describe_list("session", session, f)?;
        node.describe_constants(&["session", "anchor", "steps", "collapse", "top", "time_zone"], f)?;
        node.describe_frame(f)?;
        write!(f, ", emit={}", self.emit.word())
    }

    /// Every event that is not excluded is a stop.
    fn every_event(&self, _spec: &PathSpec) -> Result<bool> {
        Ok(true)
    }

    fn few_rows(&self, spec: &PathSpec) -> Option<usize> {
        (self.emit != Emit::Users).then_some(spec.top as usize + 1)
    }

    fn worker(&self, spec: &PathSpec, by_columns: usize, wanted: &Wanted<'_>) -> Result<PathWorker> {
        let wanted = path::Wanted { users: wanted.any(&["users"]), durations: wanted.any(&["median_seconds"]) };
        PathWorker::new(self, spec, by_columns, wanted)
    }

    fn choose(&self, _spec: &PathSpec, ask: &Ask<'_>) -> Result<Chosen> {
        let (mut users, mut notes) = (None, Vec::new());
        for (condition, (name, bit)) in ask.conditions.iter().zip(self.conditions()) {
            if bit == path::EXCLUDE {
                continue;
            }
            let (found, _) = ask.users(condition.clone())?;
            notes.push(format!("{} users with {name}", total(&found)));
            users = Some(match users.take() {
                None => found,
                Some(earlier) => std::iter::zip::<Vec<_>, Vec<_>>(earlier, found).map(|(a, b)| a & b).collect(),
            });
        }
        let note = if notes.is_empty() { "all users".into() } else { format!("{}, from bitmaps", notes.join(", ")) };
        Ok(Chosen { users, counted: 0, note })
    }

    fn finish(&self, spec: &PathSpec, answer: &Answer<'_>, found: Vec<Found<'_, PathWorker>>) -> Result<RecordBatch> {
        match self.emit {
            Emit::Users => user_ways::finish(answer, found),
            Emit::Paths | Emit::Edges | Emit::Transitions => finish::finish(spec, answer, found),
        }
    }
}

impl Path {
    /// The conditions that are given, in their order: the argument, and the bit that the kernel has for it.
    fn conditions(&self) -> Vec<(&'static str, u64)> {
        let all = [
            (self.has_start, "start", path::START),
            (self.has_end, "end", path::END),
            (self.has_exclude, "exclude", path::EXCLUDE),
        ];
        all.into_iter().filter(|(is_given, ..)| *is_given).map(|(_, name, bit)| (name, bit)).collect()
    }
}
