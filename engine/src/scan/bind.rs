//! What does this condition mean in this segment? Texts become tables over the segment's dictionaries, users become
//! ordinals, negations move down to the leaves (which three-valued logic allows), so that evaluation needs no NOT.

use super::test::{FALSE, TRUE, Test, Truth, UNKNOWN};
use crate::error::Result;
use crate::predicate::{ColumnRef, CompareOp, Predicate, RowPredicate};
use crate::segment::Segment;
use crate::table::Snapshot;
use crate::types::{ColumnType, Value};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// A condition bound to one segment.
#[derive(Debug)]
pub(crate) enum Node {
    /// The same for every row.
    Const(Truth),
    /// All of them.
    And(Vec<Node>),
    /// Any of them.
    Or(Vec<Node>),
    /// By the code of the event name.
    Event(Vec<bool>),
    /// By time.
    Time { test: Test, negated: bool },
    /// By the user's ordinal.
    Users { ordinals: Arc<RoaringBitmap>, negated: bool },
    /// By the text of the user id.
    UserText { test: Test, negated: bool },
    /// A stored text column: by the code in the dictionary, or by the text where a block is stored plain.
    Text { name: String, passes: Vec<bool>, test: Test, negated: bool },
    /// Any other stored column; `wanted` is its type in the table's schema.
    Scalar { name: String, wanted: ColumnType, test: Test, negated: bool },
    /// Whether a stored column has no value.
    IsNull { name: String, negated: bool },
    /// Evaluated by the layer above.
    Custom { predicate: Arc<dyn RowPredicate>, negated: bool },
}

/// What the event's name alone says about a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByEvent {
    /// It may be true.
    pub(crate) can: bool,
    /// It is true whatever the rest of the row says.
    pub(crate) always: bool,
}

/// Binds conditions to one segment of one shard.
pub(crate) struct Binder<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) shard: usize,
    pub(crate) segment: &'a Segment,
}

impl Binder<'_> {
    /// Bind `predicate`, or its opposite.
    pub(crate) fn bind(&self, predicate: &Predicate, negated: bool) -> Result<Node> {
        Ok(match predicate {
            Predicate::True => Node::Const(if negated { FALSE } else { TRUE }),
            Predicate::False => Node::Const(if negated { TRUE } else { FALSE }),
            Predicate::Unknown => Node::Const(UNKNOWN),
            Predicate::Not(inner) => self.bind(inner, !negated)?,
            Predicate::And(parts) => self.bind_parts(parts, negated, !negated)?,
            Predicate::Or(parts) => self.bind_parts(parts, negated, negated)?,
            Predicate::Compare { value: Value::Null, .. } => Node::Const(UNKNOWN),
            Predicate::Compare { column, op, value } => {
                self.bind_test(column, Test::Compare(*op, value.clone()), negated)?
            }
            Predicate::In { column, values } => self.bind_test(column, Test::In(values.clone()), negated)?,
            Predicate::IsNull(column) => self.bind_is_null(column, negated),
            Predicate::Members(members) => Node::Users { ordinals: members.of_shard(self.shard), negated },
            Predicate::Custom(predicate) => Node::Custom { predicate: Arc::clone(predicate), negated },
        })
    }

    fn bind_parts(&self, parts: &[Predicate], negated: bool, all: bool) -> Result<Node> {
        let nodes = parts.iter().map(|part| self.bind(part, negated)).collect::<Result<Vec<_>>>()?;
        let (neutral, absorbing) = if all { (TRUE, FALSE) } else { (FALSE, TRUE) };
        let mut kept = Vec::with_capacity(nodes.len());
        for node in nodes {
            match node {
                Node::Const(truth) if truth == neutral => {}
                Node::Const(truth) if truth == absorbing => return Ok(Node::Const(absorbing)),
                node => kept.push(node),
            }
        }
        Ok(match kept.len() {
            0 => Node::Const(neutral),
            1 => kept.remove(0),
            _ if all => Node::And(kept),
            _ => Node::Or(kept),
        })
    }

    fn bind_test(&self, column: &ColumnRef, test: Test, negated: bool) -> Result<Node> {
        Ok(match column {
            ColumnRef::Event => {
                Node::Event(self.segment.event_names().iter().map(|name| test.text(name) != negated).collect())
            }
            ColumnRef::Time => Node::Time { test, negated },
            ColumnRef::User => self.bind_user(test, negated)?,
            ColumnRef::EventId => self.bind_text("event_id", test, negated)?,
            ColumnRef::Property(name) => match self.segment.schema().column(name).map(|stored| stored.column_type) {
                None => Node::Const(UNKNOWN),
                Some(ColumnType::Text) => self.bind_text(name, test, negated)?,
                Some(stored) => {
                    let wanted = self.snapshot.schema.column(name).map_or(stored, |column| column.column_type);
                    Node::Scalar { name: name.clone(), wanted, test, negated }
                }
            },
        })
    }

    fn bind_text(&self, name: &str, test: Test, negated: bool) -> Result<Node> {
        let passes = match self.segment.dictionary(name)? {
            Some(dictionary) => dictionary.iter().map(|text| test.text(text) != negated).collect(),
            None => Vec::new(),
        };
        Ok(Node::Text { name: name.to_string(), passes, test, negated })
    }

    fn bind_user(&self, test: Test, negated: bool) -> Result<Node> {
        let literals = match &test {
            Test::Compare(CompareOp::Eq, value) => std::slice::from_ref(value),
            Test::In(values) => values,
            Test::Compare(..) => return Ok(Node::UserText { test, negated }),
        };
        let mut ordinals = RoaringBitmap::new();
        for literal in literals {
            if let Value::Text(user_id) = literal
                && let Some((shard, ordinal)) = self.snapshot.ordinal_of(user_id)?
                && usize::from(shard) == self.shard
            {
                ordinals.insert(ordinal);
            }
        }
        Ok(Node::Users { ordinals: Arc::new(ordinals), negated })
    }

    fn bind_is_null(&self, column: &ColumnRef, negated: bool) -> Node {
        let constant = |is_null: bool| Node::Const(if is_null == negated { FALSE } else { TRUE });
        match column {
            ColumnRef::User | ColumnRef::Time | ColumnRef::Event => constant(false),
            ColumnRef::EventId => Node::IsNull { name: "event_id".into(), negated },
            ColumnRef::Property(name) if self.segment.schema().column(name).is_none() => constant(true),
            ColumnRef::Property(name) => Node::IsNull { name: name.clone(), negated },
        }
    }
}

impl Node {
    /// What the event name `code` alone says.
    pub(crate) fn by_event(&self, code: usize) -> ByEvent {
        match self {
            Self::Const(truth) => ByEvent { can: *truth == TRUE, always: *truth == TRUE },
            Self::Event(passes) => ByEvent { can: passes[code], always: passes[code] },
            Self::And(parts) => parts.iter().fold(ByEvent { can: true, always: true }, |sum, part| {
                let part = part.by_event(code);
                ByEvent { can: sum.can && part.can, always: sum.always && part.always }
            }),
            Self::Or(parts) => parts.iter().fold(ByEvent { can: false, always: false }, |sum, part| {
                let part = part.by_event(code);
                ByEvent { can: sum.can || part.can, always: sum.always || part.always }
            }),
            _ => ByEvent { can: true, always: false },
        }
    }

    /// Whether its evaluation looks at the codes of event names.
    pub(crate) fn reads_event(&self) -> bool {
        match self {
            Self::Event(_) => true,
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::reads_event),
            _ => false,
        }
    }

    /// Whether its evaluation may fail on some row.
    pub(crate) fn may_fail(&self) -> bool {
        match self {
            Self::Custom { .. } => true,
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::may_fail),
            _ => false,
        }
    }

    /// Whether the zone maps of block `block` leave a chance of a true row.
    pub(crate) fn can_match_block(&self, segment: &Segment, block: usize) -> bool {
        match self {
            Self::Const(truth) => *truth == TRUE,
            Self::And(parts) => parts.iter().all(|part| part.can_match_block(segment, block)),
            Self::Or(parts) => parts.iter().any(|part| part.can_match_block(segment, block)),
            Self::Time { test, negated: false } => {
                let meta = &segment.blocks()[block];
                test.can_pass(&Value::Timestamp(meta.ts_min), &Value::Timestamp(meta.ts_max))
            }
            Self::Scalar { name, wanted, test, negated: false } => match segment.block_column_range(block, name) {
                Some((min, max)) if super::column::type_of(&min) == Some(*wanted) => test.can_pass(&min, &max),
                _ => true,
            },
            Self::Users { ordinals, negated: false } => {
                let meta = &segment.blocks()[block];
                ordinals.range_cardinality(meta.first_ordinal..=meta.last_ordinal) > 0
            }
            _ => true,
        }
    }
}
