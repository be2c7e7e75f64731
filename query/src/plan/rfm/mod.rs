//! RFM on the frame of operators: [`args`] reads the call, [`worker`] keeps what each user did, [`finish`] adds up values,
//! finds scores among all users, and makes rows.

pub(crate) mod args;
mod constants;
mod customers;
mod finish;
mod worker;

use super::compare::{Compared, Of, Shares, says_nothing_to};
use super::node::{OperatorNode, Role, time_type};
use super::operator::{Answer, Ask, Chosen, Found, Operator, Wanted};
use super::table_scan::total;
use crate::behavior::rfm::RfmSpec;
use crate::error::Result;
use chrono_tz::Tz;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field};
use std::fmt;
use worker::RfmWorker;

/// The shape of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Emit {
    Segments,
    Users,
    Cells,
}

impl Emit {
    /// Its words in SQL.
    const WORDS: [&'static str; 3] = ["segments", "users", "cells"];
    const ALL: [Self; 3] = [Self::Segments, Self::Users, Self::Cells];
}

/// The measures that bounds are given for, and the names of their constants.
const MEASURES: [&str; 3] = ["recency", "frequency", "monetary"];

/// What is fixed when the statement is read. The condition is `on`, the column is `value`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Rfm {
    /// Whether `on` is given; otherwise any event counts.
    on: bool,
    emit: Emit,
}

impl Operator for Rfm {
    type Spec = RfmSpec;
    type Worker = RfmWorker;

    const NAME: &'static str = "RFM";
    const NODE: &'static str = "Rfm";
    const SCAN: &'static str = "RfmScan";

    fn fields(&self, user: Field, by: Vec<Field>, _columns: Vec<Field>) -> Vec<Field> {
        let count = |name: &str| Field::new(name, DataType::Int64, false);
        let number = |name: &str| Field::new(name, DataType::Float64, false);
        let mean = |name: &str| Field::new(name, DataType::Float64, true);
        let segment = Field::new("segment", DataType::Utf8, false);
        match self.emit {
            Emit::Segments => {
                let means = vec![mean("mean_recency_days"), mean("mean_frequency")];
                let counts = vec![segment, count("users"), number("share")];
                [by, counts, means, vec![number("monetary")]].concat()
            }
            Emit::Users => {
                let last = Field::new("last_at", time_type(), false);
                let measures = vec![last, count("recency_days"), count("frequency"), number("monetary")];
                let scores = MEASURES.map(|measure| count(&format!("{measure}_score"))).to_vec();
                [vec![user], by, measures, scores, vec![segment]].concat()
            }
            Emit::Cells => {
                let scores = vec![count("recency_score"), count("frequency_score"), segment];
                [by, scores, vec![count("users"), number("share"), number("monetary")]].concat()
            }
        }
    }

    fn spec(&self, node: &OperatorNode<Self>, default_zone: Tz, complete: bool) -> Result<RfmSpec> {
        constants::spec(node, default_zone, complete)
    }

    fn describe(&self, node: &OperatorNode<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match node.expr(Role::Condition(0)) {
            Some(condition) if self.on => write!(f, "on=[{condition}]")?,
            _ => write!(f, "on=[any event]")?,
        }
        node.describe_list("value", &node.exprs_of(Role::Column), f)?;
        node.describe_constants(&["as_of", "scores"], f)?;
        for measure in MEASURES {
            node.describe_list(measure, &node.exprs_of(|i| Role::Constant(measure, i)), f)?;
        }
        node.describe_constants(&["time_zone"], f)?;
        node.describe_frame(f)?;
        write!(f, ", emit={}", Emit::WORDS[self.emit as usize])
    }

    fn every_event(&self, _spec: &RfmSpec) -> Result<bool> {
        Ok(false)
    }

    fn worker(&self, spec: &RfmSpec, by_columns: usize, _wanted: &Wanted<'_>) -> Result<RfmWorker> {
        Ok(RfmWorker::new(spec.as_of_us, by_columns))
    }

    fn choose(&self, _spec: &RfmSpec, ask: &Ask<'_>) -> Result<Chosen> {
        let (users, _) = ask.users(ask.conditions[0].clone())?;
        let note = format!("{} users with such an event, from bitmaps", total(&users));
        Ok(Chosen { users: Some(users), counted: 0, note })
    }

    fn finish(&self, spec: &RfmSpec, answer: &Answer<'_>, found: Vec<Found<'_, RfmWorker>>) -> Result<RecordBatch> {
        finish::finish(self.emit, spec, answer, found)
    }
}

impl Compared for Rfm {
    fn shares(&self, by: usize) -> Result<Shares> {
        if self.emit != Emit::Segments {
            let argument = format!("emit => '{}'", Emit::WORDS[self.emit as usize]);
            let hint = "leave emit away: the users of each segment are compared, as shares of all customers";
            return Err(says_nothing_to(&argument, hint));
        }
        Ok(Shares { groups: by, rows: by..by + 1, complete: None, users: by + 1, of: Of::AllRows })
    }
}
