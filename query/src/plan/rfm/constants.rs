//! The constant arguments of RFM, as the kernel takes them.

use super::{MEASURES, Rfm};
use crate::behavior::rfm::{Bounds, RfmSpec};
use crate::error::{Error, Result};
use crate::plan::constants;
use crate::plan::node::{OperatorNode, Role};
use chrono_tz::Tz;
use datafusion::arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

/// See [`crate::plan::operator::Operator::spec`].
pub(super) fn spec(node: &OperatorNode<Rfm>, default_zone: Tz, complete: bool) -> Result<RfmSpec> {
    let as_of_us = node.constant(("as_of", 0), complete, |v| constants::instant_us(v, "as_of"))?;
    let time_zone = node.constant(("time_zone", 0), complete, constants::time_zone)?.unwrap_or(default_zone);
    let scores = node.constant(("scores", 0), complete, whole_number)?;
    let [recency, frequency, monetary] = MEASURES.map(|measure| bounds(node, measure, complete));
    let (recency, frequency, monetary) = (recency?, frequency?, monetary?);
    let mut spec = RfmSpec { as_of_us, time_zone, ..RfmSpec::default() };
    spec.scores = scores.unwrap_or(spec.scores);
    // Where a value is not known yet, how many there are says nothing.
    let is_known = complete || (scores.is_some() || node.expr(Role::Constant("scores", 0)).is_none());
    if let (Some(recency), Some(frequency), Some(monetary), true) = (recency, frequency, monetary, is_known) {
        spec.bounds = Bounds { recency, frequency, monetary };
    }
    spec.validate().map_err(|error| place(node, Error::from(error)))?;
    Ok(spec)
}

/// The bounds of a measure; `None` where one is not known yet.
fn bounds(node: &OperatorNode<Rfm>, measure: &'static str, complete: bool) -> Result<Option<Vec<f64>>> {
    let count = node.exprs_of(|i| Role::Constant(measure, i)).len();
    let read = |value: &ScalarValue| match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(number))) if value.data_type().is_numeric() => Ok(number),
        _ => Err(Error::invalid(format!("a bound of {measure} is a number, not {value}"))
            .with_hint(format!("for example {measure} => [10, 50, 100, 500]"))),
    };
    (0..count).map(|i| node.constant((measure, i), complete, read)).collect()
}

/// The kernel names the argument at the start of its message: put the error there.
fn place(node: &OperatorNode<Rfm>, error: Error) -> Error {
    let named = |name: &&&str| error.message().starts_with(&format!("{name}:"));
    let name = MEASURES.iter().find(named).copied().unwrap_or("scores");
    let span = node.span(Role::Constant(name, 0));
    error.at(span)
}

fn whole_number(value: &ScalarValue) -> Result<u32> {
    constants::integer(value).and_then(|number| u32::try_from(number).ok()).ok_or_else(|| {
        Error::invalid(format!("scores needs a whole number, not {value}")).with_hint("for example scores => 5")
    })
}
