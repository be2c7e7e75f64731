//! The clauses of a short form, in any order, each at most once.

use super::reader::{Event, Reader};
use super::{Form, is_word, name_of, parenthesised, symbol, text, word};
use crate::error::{Error, ErrorKind, Result};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// What stands behind the word of a clause.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    /// Nothing.
    Nothing,
    /// `7 DAYS`, or an expression.
    SpanOfTime,
    /// Everything up to the next clause.
    Expressions,
    /// A group in parentheses.
    Group,
}

/// The clauses that were found: the word of each, and what stands behind it.
pub(super) struct Clauses {
    found: Vec<(&'static str, TokenWithSpan, Vec<TokenWithSpan>)>,
}

impl Clauses {
    /// Read clauses up to `FROM`, and that word. `before` says what else might have stood here.
    pub(super) fn read(reader: &mut Reader<'_>, kinds: &[(&'static str, Value)], before: &str) -> Result<Self> {
        let mut clauses = Self { found: Vec::new() };
        while !reader.take_word("FROM") {
            let start = reader.at;
            let Some((name, kind)) = kinds.iter().find(|(name, _)| reader.take_word(name)) else {
                let words: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
                return Err(reader.error(&format!("{before}{} or FROM", words.join(", "))));
            };
            let value = match kind {
                Value::Nothing => Vec::new(),
                Value::SpanOfTime => reader.span_of_time()?,
                Value::Expressions => reader.until_clause(),
                Value::Group => {
                    if reader.peek().is_none_or(|token| token.token != Token::LParen) {
                        return Err(reader.error(&format!("'(' after {name}")));
                    }
                    reader.group()?
                }
            };
            if value.is_empty() && !matches!(kind, Value::Nothing) {
                return Err(reader.error("something after this word"));
            }
            let word = &reader.tokens[start];
            if clauses.found.iter().any(|(found, ..)| found == name) {
                let message = format!("{} stands twice in the short {}", word.token, reader.form.operator);
                return Err(Error::new(ErrorKind::Syntax, message).at(word.span));
            }
            clauses.found.push((name, word.clone(), value));
        }
        Ok(clauses)
    }

    /// What stands behind the word `name`.
    pub(super) fn get(&self, name: &str) -> Option<&[TokenWithSpan]> {
        self.found.iter().find(|(found, ..)| *found == name).map(|(_, _, value)| value.as_slice())
    }

    /// The word itself, where it stands.
    pub(super) fn word(&self, name: &str) -> Option<&TokenWithSpan> {
        self.found.iter().find(|(found, ..)| *found == name).map(|(_, word, _)| word)
    }

    /// `BY a, b` as `by => (a, b)`, and the arguments that `WITH (…)` holds.
    pub(super) fn by_and_with(&self) -> impl Iterator<Item = Vec<TokenWithSpan>> {
        let by = self.get("BY").map(|by| super::argument("by", parenthesised(by.to_vec())));
        by.into_iter().chain(self.get("WITH").map(<[_]>::to_vec))
    }
}

/// What `name => …` among the arguments says: the column that names the event. A string is the name of a column there.
pub(super) fn name_column(form: &'static Form, with: &[TokenWithSpan]) -> Option<Vec<TokenWithSpan>> {
    let mut reader = Reader { form, tokens: with, at: 0 };
    while reader.at < with.len() {
        let argument = reader.until_token(&|token| token.token == Token::Comma);
        reader.at += 1;
        if let [name, arrow, value @ ..] = argument.as_slice()
            && is_word(name, "name")
            && arrow.token == Token::RArrow
        {
            return Some(match value {
                [TokenWithSpan { token: Token::SingleQuotedString(text), span }] => {
                    vec![TokenWithSpan::new(Token::make_word(text, Some('"')), *span)]
                }
                [one] => vec![one.clone()],
                many => parenthesised(many.to_vec()),
            });
        }
    }
    None
}

/// `'purchase'`, or `event = 'purchase' AND (condition)`, with the column that `name` gives in place of `event`.
pub(super) fn condition_of(event: Event, column: Option<&[TokenWithSpan]>) -> Vec<TokenWithSpan> {
    let place = event.name.span;
    let name = text(name_of(&event.name), place);
    if event.condition.is_empty() {
        return vec![name];
    }
    let mut out = match column {
        Some(column) => column.to_vec(),
        None => vec![word("event", place)],
    };
    let and = Token::Word(Word { value: "AND".into(), quote_style: None, keyword: Keyword::AND });
    out.extend([symbol(Token::Eq, place), name, symbol(and, place), symbol(Token::LParen, place)]);
    out.extend(event.condition);
    out.push(symbol(Token::RParen, place));
    out
}
