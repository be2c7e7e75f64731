//! ```text
//! PATH [FROM stop] [TO stop] [STEPS n] [BY expr, …] [WITH (key => value, …)] FROM relation [WHERE condition]
//!   [ORDER BY …] [LIMIT …] [OFFSET …]
//! stop:  name | 'name'  [(condition)]
//! ```
//!
//! The last FROM in front of WHERE is that of the relation.

use super::clauses::{Clauses, Value, condition_of, name_column};
use super::reader::{Event, Reader};
use super::{Form, argument, is_word};
use crate::error::{Error, ErrorKind, Result};
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;

pub(super) static FORM: Form = Form {
    operator: "PATH",
    grammar: "PATH FROM signup TO purchase(price > 10) STEPS 5 BY country FROM events WHERE …",
    clauses: &["TO", "STEPS", "BY", "WITH"],
    begins_with_from: true,
    arguments,
};

fn arguments(reader: &mut Reader<'_>) -> Result<Vec<Vec<TokenWithSpan>>> {
    let ends = ends(reader)?;
    let kinds = [("STEPS", Value::Expressions), ("BY", Value::Expressions), ("WITH", Value::Group)];
    let clauses = Clauses::read(reader, &kinds, "")?;
    let column = clauses.get("WITH").and_then(|with| name_column(reader.form, with));
    let mut arguments = Vec::new();
    for (name, event) in ["start", "end"].into_iter().zip(ends) {
        arguments.extend(event.map(|event| argument(name, condition_of(event, column.as_deref()))));
    }
    arguments.extend(clauses.get("STEPS").map(|steps| argument("steps", steps.to_vec())));
    arguments.extend(clauses.by_and_with());
    Ok(arguments)
}

/// `FROM stop` and `TO stop`, in any order.
fn ends(reader: &mut Reader<'_>) -> Result<[Option<Event>; 2]> {
    let mut ends = [None, None];
    loop {
        let at = reader.at;
        let place = if reader.take_word("TO") {
            1
        } else if reader.peek().is_some_and(|token| is_word(token, "FROM")) && another_from(reader) {
            reader.at += 1;
            0
        } else {
            return Ok(ends);
        };
        let event = reader.event(if place == 0 { "the event that starts" } else { "the event that ends" })?;
        if ends[place].replace(event).is_some() {
            let word = &reader.tokens[at];
            return Err(Error::new(ErrorKind::Syntax, format!("{} stands twice in the short PATH", word.token))
                .with_hint(format!("it reads {}", FORM.grammar))
                .at(word.span));
        }
    }
}

/// Whether behind the FROM that `reader` stands at there is another one.
fn another_from(reader: &Reader<'_>) -> bool {
    let mut ahead = Reader { form: reader.form, tokens: reader.tokens, at: reader.at + 1 };
    loop {
        ahead.until(&["FROM", "WHERE", "ORDER", "LIMIT", "OFFSET"]);
        match ahead.peek() {
            // IS DISTINCT FROM is no clause.
            Some(token) if is_word(token, "FROM") && is_word(&ahead.tokens[ahead.at - 1], "DISTINCT") => ahead.at += 1,
            Some(token) => return is_word(token, "FROM"),
            None => return false,
        }
    }
}
