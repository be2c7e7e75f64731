//! From the arguments of a segment to rules over deeds: `DID` with its numbers becomes "at least so many", and not "at least
//! one more than at most".

use super::shape::Shape;
use super::whose::{Asked, UserSet};
use super::{Segment, deed_constant};
use crate::behavior::segment::{Deed, Rule, SegmentSpec};
use crate::error::{Error, Result};
use crate::plan::constants;
use crate::plan::node::{OperatorNode, Role};
use chrono_tz::Tz;
use datafusion::scalar::ScalarValue;

/// See [`crate::plan::operator::Operator::spec`].
pub(super) fn spec(segment: &Segment, node: &OperatorNode<Segment>, default_zone: Tz, complete: bool) -> Result<Asked> {
    let instant = |name: &'static str| node.constant((name, 0), complete, |v| constants::instant_us(v, name));
    let as_of_us = instant("as_of")?;
    let time_zone = node.constant(("time_zone", 0), complete, constants::time_zone)?.unwrap_or(default_zone);
    let moment_us = as_of_us.or(instant("now")?).unwrap_or(i64::MAX - 1);
    let conditions = node.exprs_of(Role::Whose);
    let sets: Vec<UserSet> = conditions.iter().filter_map(|condition| UserSet::of(condition)).collect();
    if complete && sets.len() < conditions.len() {
        return Err(Error::unsupported("tags and profiles cannot be asked here")
            .with_hint("ask them in a query over an event table"));
    }
    let mut rules = Rules { node, complete, as_of_us, moment_us, deeds: Vec::new() };
    let chosen = segment.chosen.as_ref().map(|shape| rules.rule(shape)).transpose()?;
    let segments = segment.segments.iter().map(|(_, shape)| rules.rule(shape)).collect::<Result<_>>()?;
    let rules = SegmentSpec { sets: conditions.len(), deeds: rules.deeds, chosen, segments, as_of_us, time_zone };
    Ok(Asked { rules, sets })
}

/// Makes rules, and collects what they ask.
struct Rules<'a> {
    node: &'a OperatorNode<Segment>,
    complete: bool,
    as_of_us: Option<i64>,
    /// From where `within` counts back.
    moment_us: i64,
    deeds: Vec<Deed>,
}

impl Rules<'_> {
    fn rule(&mut self, shape: &Shape) -> Result<Rule> {
        Ok(match shape {
            Shape::Did(deed) => self.did(*deed)?,
            Shape::Whose(set) => Rule::Atom(*set),
            Shape::All(parts) => {
                // What a part asks together with others is asked of the same users.
                let mut all = Vec::new();
                for part in parts {
                    match self.rule(part)? {
                        Rule::All(inner) => all.extend(inner),
                        rule => all.push(rule),
                    }
                }
                Rule::All(all)
            }
            Shape::Any(parts) => Rule::Any(parts.iter().map(|part| self.rule(part)).collect::<Result<_>>()?),
            Shape::Not(inner) => match self.rule(inner)? {
                Rule::Not(inner) => Rule::All(vec![*inner]),
                rule => Rule::Not(Box::new(rule)),
            },
        })
    }

    fn did(&mut self, deed: usize) -> Result<Rule> {
        let Numbers { least, most, days } = self.numbers(deed)?;
        let (from_us, until_us) = self.time(deed)?;
        let condition = self.node.operator.deeds[deed];
        let mut ask = |at_least: u32, in_days: bool| {
            let asked = Deed { condition, from_us, until_us, in_days: in_days && at_least > 1, at_least };
            let known = self.deeds.iter().position(|known| *known == asked);
            let place = known.unwrap_or_else(|| {
                self.deeds.push(asked);
                self.deeds.len() - 1
            });
            Rule::Atom(self.node.operator.sets + place)
        };
        let mut parts = Vec::new();
        if least > 0 {
            parts.push(ask(least, false));
        }
        if let Some(days) = days.filter(|days| *days > 1 || least == 0) {
            parts.push(ask(days, true));
        }
        // More than the largest number cannot be counted, so it is no limit.
        if let Some(more) = most.and_then(|most| most.checked_add(1)) {
            parts.push(Rule::Not(Box::new(ask(more, false))));
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Rule::All(parts) })
    }

    fn numbers(&self, deed: usize) -> Result<Numbers> {
        let number =
            |name: &'static str| self.node.constant((name, deed), self.complete, |value| whole_number(value, name));
        let (at_least, at_most, exactly) = (number("at_least")?, number("at_most")?, number("exactly")?);
        let days = number("days_at_least")?;
        let at = |name: &'static str, message: String, hint: &str| {
            Err(Error::invalid(message).with_hint(hint).at(self.node.span(deed_constant(name, deed))))
        };
        let is_given = |name: &'static str| self.node.expr(deed_constant(name, deed)).is_some();
        if is_given("exactly") && (is_given("at_least") || is_given("at_most")) {
            return at("exactly", "exactly stands alone".into(), "leave at_least and at_most away");
        }
        let least = at_least.or(exactly).unwrap_or(1);
        let most = at_most.or(exactly);
        if let (Some(most), true) = (most, self.complete || at_least.is_some() || !is_given("at_least"))
            && most < least
        {
            let message = format!("nobody can do something at least {least} and at most {most} times");
            return at("at_most", message, "at_least is 1 where it is left out; DID_NOT(…) is for those who never did");
        }
        if days == Some(0) {
            return at("days_at_least", "days_at_least is 1 or more".into(), "leave it away to count no days");
        }
        Ok(Numbers { least, most, days })
    }

    /// The first instant that counts, and the first one that does not any more.
    fn time(&self, deed: usize) -> Result<(i64, i64)> {
        let span = |name: &'static str| self.node.span(deed_constant(name, deed));
        let instant = |name: &'static str| {
            self.node.constant((name, deed), self.complete, |value| constants::instant_us(value, name))
        };
        let (since, until) = (instant("since")?, instant("until")?);
        if let (Some(since), Some(until)) = (since, until)
            && until <= since
        {
            return Err(Error::invalid("until does not come after since")
                .with_hint("since => TIMESTAMP '2026-03-01', until => TIMESTAMP '2026-04-01' is March")
                .at(span("until")));
        }
        let within = self.node.constant(("within", deed), self.complete, within_us)?;
        let mut from_us = since.unwrap_or(i64::MIN);
        let mut until_us = until.unwrap_or(i64::MAX);
        if let Some(within_us) = within.flatten() {
            from_us = from_us.max(self.moment_us.saturating_sub(within_us));
            until_us = until_us.min(self.moment_us.saturating_add(1));
        }
        if let Some(as_of_us) = self.as_of_us {
            until_us = until_us.min(as_of_us.saturating_add(1));
        }
        Ok((from_us, until_us))
    }
}

/// How often.
struct Numbers {
    least: u32,
    most: Option<u32>,
    days: Option<u32>,
}

fn whole_number(value: &ScalarValue, name: &str) -> Result<u32> {
    constants::integer(value).and_then(|number| u32::try_from(number).ok()).ok_or_else(|| {
        Error::invalid(format!("{name} needs a whole number from 0 on, not {value}"))
            .with_hint(format!("for example {name} => 2"))
    })
}

fn within_us(value: &ScalarValue) -> Result<Option<i64>> {
    match constants::interval_us(value, "within")? {
        Some(us) if us <= 0 => Err(Error::invalid("within: the interval must be longer than zero")
            .with_hint("for example within => INTERVAL '30' DAY")),
        us => Ok(us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole() {
        assert_eq!(whole_number(&ScalarValue::from(3_i64), "at_least").unwrap(), 3);
        for wrong in [ScalarValue::from(-1_i64), ScalarValue::from(1.5), ScalarValue::from("x"), ScalarValue::Null] {
            assert!(whole_number(&wrong, "at_least").unwrap_err().hint().is_some());
        }
        assert!(within_us(&ScalarValue::from("0 days")).is_err());
        assert_eq!(within_us(&ScalarValue::from("2 hours")).unwrap(), Some(7_200_000_000));
        assert_eq!(within_us(&ScalarValue::Null).unwrap(), None);
    }
}
