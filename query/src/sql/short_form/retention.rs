//! ```text
//! RETENTION [start [-> return]] [DAILY | WEEKLY | MONTHLY] [FOR n [unit]] [BY expr, …] [WITH (key => value, …)]
//!   FROM relation [WHERE condition] [ORDER BY …] [LIMIT …] [OFFSET …]
//! start, return:  name | 'name' | ANY  [(condition)]
//! unit:  DAYS | WEEKS | MONTHS
//! ```

use super::clauses::{Clauses, Value, condition_of, name_column};
use super::reader::{Event, Reader};
use super::{Form, argument, is_word, parenthesised, text, word};
use crate::error::{Error, ErrorKind, Result};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

pub(super) static FORM: Form = Form {
    operator: "RETENTION",
    grammar: "RETENTION signup -> purchase WEEKLY FOR 8 WEEKS BY channel FROM events WHERE …",
    clauses: &["DAILY", "WEEKLY", "MONTHLY", "FOR", "BY", "WITH"],
    begins_with_from: false,
    arguments,
};

/// The word for a period, the words for several of them, and the period as an argument.
const PERIODS: [(&str, [&str; 2], &str); 3] = [
    ("DAILY", ["DAY", "DAYS"], "day"),
    ("WEEKLY", ["WEEK", "WEEKS"], "week"),
    ("MONTHLY", ["MONTH", "MONTHS"], "month"),
];

fn arguments(reader: &mut Reader<'_>) -> Result<Vec<Vec<TokenWithSpan>>> {
    let start = event(reader, "the event that starts")?;
    let returns = match reader.take(&Token::Arrow) {
        true => Some(reader.event("the event that counts as coming back")?),
        false => None,
    };
    let kinds = [
        ("DAILY", Value::Nothing),
        ("WEEKLY", Value::Nothing),
        ("MONTHLY", Value::Nothing),
        ("FOR", Value::Expressions),
        ("BY", Value::Expressions),
        ("WITH", Value::Group),
    ];
    let clauses = Clauses::read(reader, &kinds, if returns.is_none() { "'->', " } else { "" })?;
    let column = clauses.get("WITH").and_then(|with| name_column(reader.form, with));
    let mut arguments = Vec::new();
    for (name, event) in [("start", start), ("return", returns)] {
        let condition = event.and_then(|event| condition(event, column.as_deref()));
        arguments.extend(condition.map(|condition| argument(name, condition)));
    }
    arguments.extend(periods(&clauses)?);
    arguments.extend(clauses.by_and_with());
    Ok(arguments)
}

/// An event, unless a clause follows at once.
fn event(reader: &mut Reader<'_>, expected: &str) -> Result<Option<Event>> {
    let is_clause =
        reader.peek().is_some_and(|token| ["FROM"].iter().chain(reader.form.clauses).any(|word| is_word(token, word)));
    if is_clause { Ok(None) } else { reader.event(expected).map(Some) }
}

/// The condition of an event; `None` for `ANY`.
fn condition(event: Event, column: Option<&[TokenWithSpan]>) -> Option<Vec<TokenWithSpan>> {
    match is_word(&event.name, "ANY") {
        false => Some(condition_of(event, column)),
        true if event.condition.is_empty() => None,
        true => Some(parenthesised(event.condition)),
    }
}

/// `period` and `periods`: the length by its own word, or by the unit of `FOR`.
fn periods(clauses: &Clauses) -> Result<Vec<Vec<TokenWithSpan>>> {
    let given: Vec<_> =
        PERIODS.iter().filter_map(|(name, units, period)| Some((clauses.word(name)?, units, *period))).collect();
    if let [_, (second, ..), ..] = given[..] {
        return Err(Error::new(ErrorKind::Syntax, format!("{} contradicts the word before", second.token))
            .with_hint("a period is DAILY, WEEKLY or MONTHLY")
            .at(second.span));
    }
    let mut length = given.first().map(|(word, _, period)| (*period, word.span));
    let mut arguments = Vec::new();
    if let Some(value) = clauses.get("FOR") {
        let mut count = value.to_vec();
        let unit = count.last().and_then(|last| {
            let found = PERIODS.iter().find(|(_, units, _)| units.iter().any(|unit| is_word(last, unit)));
            found.map(|(_, _, period)| (*period, last.span))
        });
        if let Some((unit, span)) = unit {
            count.pop();
            match length {
                Some((period, _)) if period != unit => {
                    let message = format!("FOR counts periods, and a period is a {period} here");
                    return Err(Error::new(ErrorKind::Syntax, message)
                        .with_hint(format!("write FOR n {}S", period.to_uppercase()))
                        .at(span));
                }
                _ => length = length.or(Some((unit, span))),
            }
        }
        if count.is_empty() {
            return Err(Error::new(ErrorKind::Syntax, "FOR needs a number of periods")
                .with_hint("write FOR 8 WEEKS")
                .at(value[0].span));
        }
        arguments.push(argument("periods", count));
    }
    if let Some((period, span)) = length {
        arguments.push(argument("period", vec![word("INTERVAL", span), text(format!("1 {period}"), span)]));
    }
    Ok(arguments)
}
