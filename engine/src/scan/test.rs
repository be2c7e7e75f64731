//! Truth values, and tests of one value against literals.

use crate::predicate::CompareOp;
use crate::segment::{INSIDE, NULL, OUTSIDE, double_key};
use crate::types::Value;
use std::cmp::Ordering;
use std::ops::RangeInclusive;

/// A truth value of three-valued logic, ordered so that AND is the minimum and OR the maximum.
pub(crate) type Truth = u8;
/// False.
pub(crate) const FALSE: Truth = 0;
/// NULL: neither.
pub(crate) const UNKNOWN: Truth = 1;
/// True.
pub(crate) const TRUE: Truth = 2;

// Tests of stored numbers give truth values.
const _: () = assert!(OUTSIDE == FALSE && NULL == UNKNOWN && INSIDE == TRUE);

/// The truth value of a boolean.
pub(crate) fn truth(value: bool) -> Truth {
    if value { TRUE } else { FALSE }
}

/// A test of one non-NULL value against one or more literals of the column's type in the table's schema.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    /// `value op literal`
    Compare(CompareOp, Value),
    /// `value IN (literals)`
    In(Vec<Value>),
}

/// The values that pass a test, as a range of numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ValueRange {
    /// Of BIGINT or TIMESTAMP.
    Integer(RangeInclusive<i64>),
    /// Of DOUBLE, as order keys.
    Double(RangeInclusive<i64>),
}

impl Test {
    /// The values that pass, where they are one range of numbers.
    pub(crate) fn range(&self) -> Option<ValueRange> {
        let Self::Compare(op, literal) = self else { return None };
        let (at, make): (i64, fn(RangeInclusive<i64>) -> ValueRange) = match literal {
            Value::BigInt(literal) | Value::Timestamp(literal) => (*literal, ValueRange::Integer),
            Value::Double(literal) => (double_key(literal.to_bits() as i64), ValueRange::Double),
            _ => return None,
        };
        // An empty range where there is nothing below or above.
        const NOTHING: RangeInclusive<i64> = RangeInclusive::new(1, 0);
        Some(make(match op {
            CompareOp::Eq => at..=at,
            CompareOp::NotEq => return None,
            CompareOp::Lt => at.checked_sub(1).map_or(NOTHING, |last| i64::MIN..=last),
            CompareOp::LtEq => i64::MIN..=at,
            CompareOp::Gt => at.checked_add(1).map_or(NOTHING, |first| first..=i64::MAX),
            CompareOp::GtEq => at..=i64::MAX,
        }))
    }

    /// The literals of which a value must be one to pass, where that is the test.
    pub(crate) fn equals(&self) -> Option<&[Value]> {
        match self {
            Self::Compare(CompareOp::Eq, value) => Some(std::slice::from_ref(value)),
            Self::In(values) => Some(values),
            Self::Compare(..) => None,
        }
    }

    /// Test a text.
    pub(crate) fn text(&self, value: &str) -> bool {
        match self {
            Self::Compare(op, Value::Text(literal)) => holds(*op, value.as_bytes().cmp(literal.as_bytes())),
            Self::In(literals) => literals.iter().any(|l| matches!(l, Value::Text(l) if l == value)),
            Self::Compare(..) => false,
        }
    }

    /// Test an integer or a timestamp. A DOUBLE literal comes with a column that was widened after this value was
    /// stored.
    pub(crate) fn integer(&self, value: i64) -> bool {
        match self {
            Self::Compare(op, Value::BigInt(l) | Value::Timestamp(l)) => holds(*op, value.cmp(l)),
            Self::Compare(_, Value::Double(_)) => self.double(value as f64),
            Self::In(literals) => literals.iter().any(|l| match l {
                Value::BigInt(l) | Value::Timestamp(l) => *l == value,
                Value::Double(l) => *l == value as f64,
                _ => false,
            }),
            Self::Compare(..) => false,
        }
    }

    /// Test a double. NaN equals NaN and is larger than all others.
    pub(crate) fn double(&self, value: f64) -> bool {
        match self {
            Self::Compare(op, Value::Double(l)) => holds(*op, compare_doubles(value, *l)),
            Self::In(literals) => {
                literals.iter().any(|l| matches!(l, Value::Double(l) if compare_doubles(value, *l) == Ordering::Equal))
            }
            Self::Compare(..) => false,
        }
    }

    /// Test a boolean.
    pub(crate) fn boolean(&self, value: bool) -> bool {
        match self {
            Self::Compare(op, Value::Boolean(l)) => holds(*op, value.cmp(l)),
            Self::In(literals) => literals.iter().any(|l| matches!(l, Value::Boolean(l) if *l == value)),
            Self::Compare(..) => false,
        }
    }

    /// Whether a value between `min` and `max` can pass: the zone map's question. True when in doubt.
    pub(crate) fn can_pass(&self, min: &Value, max: &Value) -> bool {
        let between = |l: &Value| match (order(l, min), order(l, max)) {
            (Some(low), Some(high)) => low != Ordering::Less && high != Ordering::Greater,
            _ => true,
        };
        match self {
            Self::In(literals) => literals.iter().any(between),
            Self::Compare(op, l) => {
                let (Some(low), Some(high)) = (order(min, l), order(max, l)) else { return true };
                match op {
                    CompareOp::Eq => between(l),
                    CompareOp::NotEq => !(low == Ordering::Equal && high == Ordering::Equal),
                    CompareOp::Lt => low == Ordering::Less,
                    CompareOp::LtEq => low != Ordering::Greater,
                    CompareOp::Gt => high == Ordering::Greater,
                    CompareOp::GtEq => high != Ordering::Less,
                }
            }
        }
    }
}

/// Order of two doubles: total order, with -0 equal to 0.
pub(crate) fn compare_doubles(a: f64, b: f64) -> Ordering {
    (a + 0.0).total_cmp(&(b + 0.0))
}

fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::BigInt(a) | Value::Timestamp(a), Value::BigInt(b) | Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => Some(compare_doubles(*a, *b)),
        (Value::Boolean(a), Value::Boolean(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn holds(op: CompareOp, ordering: Ordering) -> bool {
    match op {
        CompareOp::Eq => ordering == Ordering::Equal,
        CompareOp::NotEq => ordering != Ordering::Equal,
        CompareOp::Lt => ordering == Ordering::Less,
        CompareOp::LtEq => ordering != Ordering::Greater,
        CompareOp::Gt => ordering == Ordering::Greater,
        CompareOp::GtEq => ordering != Ordering::Less,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_passes() {
        let doubles = [f64::NEG_INFINITY, -2.5, -0.0, 0.0, 1e-300, 2.5, f64::INFINITY, f64::NAN, -f64::NAN];
        let integers = [i64::MIN, -1, 0, 1, i64::MAX];
        for op in [CompareOp::Eq, CompareOp::Lt, CompareOp::LtEq, CompareOp::Gt, CompareOp::GtEq] {
            for literal in doubles {
                let test = Test::Compare(op, Value::Double(literal));
                let Some(ValueRange::Double(range)) = test.range() else { panic!("{op:?} {literal}") };
                for value in doubles {
                    let inside = range.contains(&double_key(value.to_bits() as i64));
                    assert_eq!(inside, test.double(value), "{value} {op:?} {literal}");
                }
            }
            for literal in integers {
                let test = Test::Compare(op, Value::BigInt(literal));
                let Some(ValueRange::Integer(range)) = test.range() else { panic!("{op:?} {literal}") };
                assert!(integers.iter().all(|value| range.contains(value) == test.integer(*value)), "{op:?} {literal}");
            }
        }
        assert_eq!(Test::Compare(CompareOp::NotEq, Value::BigInt(1)).range(), None);
    }
}
