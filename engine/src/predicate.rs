//! Conditions over one event, in a form that indexes and encoded columns can answer.

use crate::error::Result;
use crate::members::Members;
use crate::types::Value;
use arrow_array::{BooleanArray, RecordBatch};
use std::fmt;
use std::sync::Arc;

/// A column of an event table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ColumnRef {
    /// `user_id`.
    User,
    /// `ts`.
    Time,
    /// `event`.
    Event,
    /// `event_id`.
    EventId,
    /// A property column, by name.
    Property(String),
}

impl ColumnRef {
    /// The column that SQL calls `name`.
    pub fn from_name(name: &str) -> Self {
        match name {
            "user_id" => Self::User,
            "ts" => Self::Time,
            "event" => Self::Event,
            "event_id" => Self::EventId,
            _ => Self::Property(name.to_string()),
        }
    }

    /// The name in SQL.
    pub fn name(&self) -> &str {
        match self {
            Self::User => "user_id",
            Self::Time => "ts",
            Self::Event => "event",
            Self::EventId => "event_id",
            Self::Property(name) => name,
        }
    }
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// `=`
    Eq,
    /// `<>`
    NotEq,
    /// `<`
    Lt,
    /// `<=`
    LtEq,
    /// `>`
    Gt,
    /// `>=`
    GtEq,
}

/// A condition over rows that the engine cannot take apart; the layer above evaluates it on a batch.
pub trait RowPredicate: Send + Sync + fmt::Debug {
    /// The columns that [`RowPredicate::evaluate`] needs, in the order in which the batch has them.
    fn columns(&self) -> &[ColumnRef];

    /// One truth value a row: true, false or NULL.
    ///
    /// # Errors
    /// Whatever the evaluation of the expression raises, such as an overflow.
    fn evaluate(&self, batch: &RecordBatch) -> Result<BooleanArray>;
}

/// A condition over one event, in SQL's three-valued logic: comparing with NULL is neither true nor false, and a row
/// satisfies the condition only where it is true. The type of `value` matches the type of the column in the table's
/// schema (a BIGINT literal against a DOUBLE column arrives as `Value::Double`).
#[derive(Debug, Clone)]
pub enum Predicate {
    /// Always true.
    True,
    /// Never true: false.
    False,
    /// Never true: NULL.
    Unknown,
    /// All of them.
    And(Vec<Predicate>),
    /// Any of them.
    Or(Vec<Predicate>),
    /// The opposite; of NULL it is NULL.
    Not(Box<Predicate>),
    /// `column op value`. A NULL value makes it NULL.
    Compare {
        /// Left side.
        column: ColumnRef,
        /// Comparison. Text compares by bytes; doubles as IEEE totalOrder with -0 = 0, as DataFusion does.
        op: CompareOp,
        /// Right side.
        value: Value,
    },
    /// `column IN (values)`; values are not NULL.
    In {
        /// Left side.
        column: ColumnRef,
        /// The list.
        values: Vec<Value>,
    },
    /// `column IS NULL`.
    IsNull(ColumnRef),
    /// The user is one of these; never NULL.
    Members(Arc<Members>),
    /// Anything else, evaluated by the layer above.
    Custom(Arc<dyn RowPredicate>),
}

impl Predicate {
    /// `event = name`.
    pub fn event_is(name: impl Into<String>) -> Self {
        Self::Compare { column: ColumnRef::Event, op: CompareOp::Eq, value: Value::Text(name.into()) }
    }

    /// Both conditions, flattened.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, p) | (p, Self::True) => p,
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::And(mut a), Self::And(b)) => {
                a.extend(b);
                Self::And(a)
            }
            (Self::And(mut a), p) => {
                a.push(p);
                Self::And(a)
            }
            (p, Self::And(mut b)) => {
                b.insert(0, p);
                Self::And(b)
            }
            (a, b) => Self::And(vec![a, b]),
        }
    }
}
