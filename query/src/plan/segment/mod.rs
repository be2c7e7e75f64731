//! SEGMENT on the frame of operators: [`args`] reads the call, [`shape`] its boolean expressions and [`user_conditions`] what
//! these say of tags and profiles, [`constants`] makes rules of them and [`whose`] knows the users of tags and profiles,
//! [`indexes`] asks the bitmaps, [`worker`] reads the users whom these leave open, [`finish`] makes rows.

pub(crate) mod args;
mod constants;
mod finish;
mod indexes;
mod shape;
mod user_conditions;
mod whose;
mod worker;

use super::node::{OperatorNode, Role};
use super::operator::{Answer, Ask, Chosen, Coverage, Found, Indexed, Operator, Wanted};
use super::table_scan::total;
use crate::error::Result;
use chrono_tz::Tz;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::execution::memory_pool::MemoryReservation;
use indexes::ShardUsers;
use shape::Shape;
use std::fmt;
use std::sync::Arc;
use trodden_engine::members::Members;
use trodden_engine::scan::KeySpace;
pub(crate) use whose::Asked;
pub(crate) use worker::SegmentWorker;

/// The shape of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Emit {
    Count,
    Users,
    Overlap,
    Lift,
}

impl Emit {
    const ALL: [Self; 4] = [Self::Count, Self::Users, Self::Overlap, Self::Lift];
    const WORDS: [&'static str; 4] = ["count", "users", "overlap", "lift"];

    fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// What is fixed when the statement is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Segment {
    emit: Emit,
    /// `where`.
    chosen: Option<Shape>,
    /// The segments that are compared, and their names.
    segments: Vec<(String, Shape)>,
    /// For each `DID` the number of its condition.
    deeds: Vec<usize>,
    /// How many conditions on users there are, of tags and profiles.
    sets: usize,
}

impl Segment {
    /// Whether its answer is its users.
    pub(crate) fn is_of_users(&self) -> bool {
        self.emit == Emit::Users
    }

    /// The users that were found, in a table of so many shards.
    ///
    /// # Errors
    /// `Corrupt` if ids cannot be read; `Cancelled`.
    pub(crate) fn members(
        &self,
        spec: &Asked,
        answer: &Answer<'_>,
        found: Vec<Found<'_, SegmentWorker>>,
        shards: usize,
    ) -> Result<Members> {
        let mut members = Members::none(shards);
        for sets in finish::sets(spec, answer, found.into_iter().map(|(worker, _)| worker).collect())? {
            members.shards[sets.shard as usize] = Arc::clone(&sets.rules[0]);
        }
        Ok(members)
    }

    /// Users who may be in it, by the bitmaps alone.
    ///
    /// # Errors
    /// `Corrupt` if an index cannot be read.
    pub(crate) fn possible(&self, spec: &Asked, ask: &Ask<'_>) -> Result<Members> {
        let shards = indexes::read(spec, ask)?;
        Ok(Members { shards: shards.into_iter().map(|shard| Arc::clone(&shard.rules[0].possible)).collect() })
    }
}

impl Operator for Segment {
    type Spec = Asked;
    type Worker = SegmentWorker;

    const NAME: &'static str = "SEGMENT";
    const NODE: &'static str = "Segment";
    const SCAN: &'static str = "SegmentScan";

    fn fields(&self, user: Field, _by: Vec<Field>, _columns: Vec<Field>) -> Vec<Field> {
        let whole = |name: &str| Field::new(name, DataType::Int64, false);
        let number = |name: &str| Field::new(name, DataType::Float64, true);
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        match self.emit {
            Emit::Count => vec![whole("users"), whole("of_users"), number("share")],
            Emit::Users => vec![user],
            Emit::Overlap => {
                let sizes = [whole("users_a"), whole("users_b"), whole("users")];
                let shares = [number("share_of_a"), number("jaccard")];
                [vec![text("segment_a"), text("segment_b")], sizes.to_vec(), shares.to_vec()].concat()
            }
            Emit::Lift => vec![
                text("segment"),
                whole("users_inside"),
                number("share_inside"),
                whole("users_outside"),
                number("share_outside"),
                number("lift"),
                number("z"),
                number("p_value"),
            ],
        }
    }

    fn spec(&self, node: &OperatorNode<Self>, default_zone: Tz, complete: bool) -> Result<Asked> {
        constants::spec(self, node, default_zone, complete)
    }

    fn describe(&self, node: &OperatorNode<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |shape: &Shape| shape.show(node).to_string();
        let chosen = self.chosen.iter().map(|chosen| format!("where={}", show(chosen)));
        let segments: Vec<String> = self.segments.iter().map(|(name, of)| format!("{name}: {}", show(of))).collect();
        let segments = (!segments.is_empty()).then(|| format!("segments=[{}]", segments.join(", ")));
        f.write_str(&chosen.chain(segments).collect::<Vec<_>>().join(", "))?;
        node.describe_constants(&["as_of", "time_zone"], f)?;
        node.describe_frame(f)?;
        write!(f, ", emit={}", self.emit.word())
    }

    /// Whoever has an event is a known user.
    fn every_event(&self, _spec: &Asked) -> Result<bool> {
        Ok(true)
    }

    fn reads_every_event(&self, spec: &Asked, ask: &Ask<'_>) -> Result<bool> {
        Ok(!indexes::knows_users(&spec.rules, ask))
    }

    fn few_rows(&self, _spec: &Asked) -> Option<usize> {
        match self.emit {
            Emit::Count => Some(1),
            Emit::Users => None,
            Emit::Overlap => Some(self.segments.len() * self.segments.len()),
            Emit::Lift => Some(self.segments.len()),
        }
    }

    fn worker(&self, spec: &Asked, _by_columns: usize, _wanted: &Wanted<'_>) -> Result<SegmentWorker> {
        Ok(SegmentWorker::new(&spec.rules))
    }

    fn choose(&self, spec: &Asked, ask: &Ask<'_>) -> Result<Chosen> {
        let open: Vec<_> = indexes::read(spec, ask)?.iter().map(ShardUsers::open).collect();
        let note = format!("{} users whom bitmaps leave open", total(&open));
        Ok(Chosen { users: Some(open), counted: 0, note })
    }

    fn finish(&self, spec: &Asked, answer: &Answer<'_>, found: Vec<Found<'_, SegmentWorker>>) -> Result<RecordBatch> {
        let shards = finish::sets(spec, answer, found.into_iter().map(|(worker, _)| worker).collect())?;
        match self.emit {
            Emit::Count => finish::count(answer, &shards),
            Emit::Users => finish::users(answer, &shards),
            Emit::Overlap => finish::overlap(answer, &shards, &self.segments),
            Emit::Lift => finish::lift(answer, &shards, &self.segments),
        }
    }

    fn coverage(&self, spec: &Asked, ask: &Ask<'_>) -> Result<Option<Coverage>> {
        let shards = indexes::read(spec, ask)?;
        let reason = if shards.iter().all(|shard| shard.open().is_empty()) {
            return Ok(Some(Coverage::Index("bitmaps".into())));
        } else if shards.iter().any(|shard| !shard.known.is_exact()) {
            "bitmaps do not say who has an event in the input"
        } else {
            "bitmaps do not say all of what was done"
        };
        Ok(Some(Coverage::Scan(reason.into())))
    }

    fn by_indexes(
        &self,
        spec: &Asked,
        ask: &Ask<'_>,
        reservation: &MemoryReservation,
    ) -> Result<Option<Indexed<SegmentWorker>>> {
        let shards = indexes::read(spec, ask)?;
        let rest = shards.iter().map(ShardUsers::open).collect();
        let worker = SegmentWorker::of_indexes(&spec.rules, shards);
        let reservation = reservation.new_empty();
        reservation.try_resize(super::operator::Worker::heap_bytes(&worker))?;
        Ok(Some(Indexed { found: vec![(worker, KeySpace::new(0), Some(reservation))], rest }))
    }
}

/// The role of an argument of a `DID`.
fn deed_constant(name: &'static str, deed: usize) -> Role {
    Role::Constant(name, deed)
}
