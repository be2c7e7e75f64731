//! ```text
//! RECOMMEND item [FOR USER id | FOR ITEM id | FOR ITEMS (id, …) | FOR EACH ITEM] [USING algorithm] [TOP n]
//!   [WITH (key => value, …)] FROM relation [WHERE condition] [ORDER BY …] [LIMIT …] [OFFSET …]
//! ```

use super::clauses::{Clauses, Value};
use super::reader::Reader;
use super::{Form, argument, is_word, name_of, text};
use crate::error::{Error, ErrorKind, Result};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

pub(super) static FORM: Form = Form {
    operator: "RECOMMEND",
    grammar: "RECOMMEND product_id FOR USER 'u1' USING item_knn TOP 10 FROM events WHERE …",
    clauses: &["FOR", "USING", "TOP", "WITH"],
    begins_with_from: false,
    arguments,
};

/// The words behind `FOR`, and the arguments that they mean.
const TARGETS: [(&str, &str); 3] = [("USER", "for_user"), ("ITEM", "for_item"), ("ITEMS", "for_items")];

fn arguments(reader: &mut Reader<'_>) -> Result<Vec<Vec<TokenWithSpan>>> {
    let item = reader.until_clause();
    if item.is_empty() {
        return Err(reader.error("the column that names the item"));
    }
    let kinds = [
        ("FOR", Value::Expressions),
        ("USING", Value::Expressions),
        ("TOP", Value::Expressions),
        ("WITH", Value::Group),
    ];
    let clauses = Clauses::read(reader, &kinds, "")?;
    let mut arguments = vec![argument("item", item)];
    if let Some(target) = clauses.get("FOR") {
        arguments.push(target_argument(target)?);
    }
    // A single word is the name of an algorithm, with or without quotes.
    let named = |using: &[TokenWithSpan]| match using {
        [one] if matches!(one.token, Token::Word(_)) => vec![text(name_of(one), one.span)],
        many => many.to_vec(),
    };
    arguments.extend(clauses.get("USING").map(|using| argument("using", named(using))));
    arguments.extend(clauses.get("TOP").map(|top| argument("top", top.to_vec())));
    arguments.extend(clauses.by_and_with());
    Ok(arguments)
}

fn target_argument(target: &[TokenWithSpan]) -> Result<Vec<TokenWithSpan>> {
    let [word, value @ ..] = target else { return Ok(Vec::new()) };
    if is_word(word, "EACH") {
        return match value {
            [item] if is_word(item, "ITEM") => Ok(argument("emit", vec![text("items", item.span)])),
            _ => Err(Error::new(ErrorKind::Syntax, "FOR EACH takes the word ITEM")
                .with_hint("write FOR EACH ITEM, or leave it away for a list for every user")
                .at(word.span)),
        };
    }
    let found = TARGETS.iter().find(|(name, _)| is_word(word, name));
    match found {
        Some((_, name)) if !value.is_empty() => Ok(argument(name, value.to_vec())),
        _ => Err(Error::new(
            ErrorKind::Syntax,
            format!("expected USER, ITEM or ITEMS and what it is, or EACH ITEM, found '{}'", word.token),
        )
        .with_hint("write FOR USER 'u1', FOR ITEM 42, FOR ITEMS (1, 2), or FOR EACH ITEM")
        .at(word.span)),
    }
}
