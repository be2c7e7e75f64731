//! ```text
//! FUNNEL step [-> step]… [WITHIN n unit] [BY expr, …] [WITH (key => value, …)] FROM relation [WHERE condition]
//!   [ORDER BY …] [LIMIT …] [OFFSET …]
//! step:  name | 'name'  [(condition)]  [AS label]
//! ```

use super::clauses::{Clauses, Value, condition_of, name_column};
use super::reader::{Event, Reader};
use super::{Form, argument, name_of, symbol, unused, word};
use crate::error::Result;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

pub(super) static FORM: Form = Form {
    operator: "FUNNEL",
    grammar: "FUNNEL a AS x -> b(price > 10) -> c WITHIN 7 DAYS BY country FROM events WHERE …",
    clauses: &["WITHIN", "BY", "WITH"],
    begins_with_from: false,
    arguments,
};

struct Step {
    event: Event,
    label: Option<TokenWithSpan>,
}

fn step(reader: &mut Reader<'_>) -> Result<Step> {
    let event = reader.event("a step: the name of an event")?;
    let label = match reader.take_word("AS") {
        false => None,
        true => match reader.peek().map(|token| &token.token) {
            Some(Token::Word(_) | Token::SingleQuotedString(_)) => {
                reader.at += 1;
                Some(reader.tokens[reader.at - 1].clone())
            }
            _ => return Err(reader.error("a name after AS")),
        },
    };
    Ok(Step { event, label })
}

fn arguments(reader: &mut Reader<'_>) -> Result<Vec<Vec<TokenWithSpan>>> {
    let mut steps = vec![step(reader)?];
    while reader.take(&Token::Arrow) {
        steps.push(step(reader)?);
    }
    let kinds = [("WITHIN", Value::SpanOfTime), ("BY", Value::Expressions), ("WITH", Value::Group)];
    let clauses = Clauses::read(reader, &kinds, "'->', ")?;
    let column = clauses.get("WITH").and_then(|with| name_column(reader.form, with));
    let mut arguments = vec![part(steps, column.as_deref())];
    arguments.extend(clauses.get("WITHIN").map(|within| argument("within", within.to_vec())));
    arguments.extend(clauses.by_and_with());
    Ok(arguments)
}

/// `STEPS(label => condition, …)`.
fn part(steps: Vec<Step>, column: Option<&[TokenWithSpan]>) -> Vec<TokenWithSpan> {
    let span = steps[0].event.name.span;
    let mut out = vec![word("STEPS", span), symbol(Token::LParen, span)];
    let labels = labels(&steps);
    for (i, (step, label)) in steps.into_iter().zip(labels).enumerate() {
        let place = step.event.name.span;
        if i > 0 {
            out.push(symbol(Token::Comma, place));
        }
        out.push(TokenWithSpan::new(Token::make_word(&label, Some('"')), step.label.map_or(place, |label| label.span)));
        out.push(symbol(Token::RArrow, place));
        out.extend(condition_of(step.event, column));
    }
    out.push(symbol(Token::RParen, span));
    out
}

/// A label a step: as given, else the event's name; a repeated name gets a number.
fn labels(steps: &[Step]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::with_capacity(steps.len());
    for step in steps {
        let label = match &step.label {
            Some(label) => name_of(label),
            None => unused(name_of(&step.event.name), &labels),
        };
        labels.push(label);
    }
    labels
}
