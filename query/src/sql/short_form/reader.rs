//! Reading the tokens of a short form.

use super::{Form, end_of_group, is_word, text, word};
use crate::error::{Error, ErrorKind, Result};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

const UNITS: [&str; 14] = [
    "second",
    "seconds",
    "minute",
    "minutes",
    "hour",
    "hours",
    "day",
    "days",
    "week",
    "weeks",
    "millisecond",
    "milliseconds",
    "microsecond",
    "microseconds",
];

/// The name of an event, and the condition in parentheses behind it.
pub(super) struct Event {
    pub(super) name: TokenWithSpan,
    pub(super) condition: Vec<TokenWithSpan>,
}

/// Reads a short form from left to right.
pub(super) struct Reader<'a> {
    pub(super) form: &'static Form,
    pub(super) tokens: &'a [TokenWithSpan],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn peek(&self) -> Option<&'a TokenWithSpan> {
        self.tokens.get(self.at)
    }

    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|token| is_word(token, word));
        self.at += usize::from(found);
        found
    }

    pub(super) fn take(&mut self, wanted: &Token) -> bool {
        let found = self.peek().is_some_and(|token| token.token == *wanted);
        self.at += usize::from(found);
        found
    }

    pub(super) fn error(&self, expected: &str) -> Error {
        let (found, span) = match self.peek() {
            Some(token) => (format!("'{}'", token.token), token.span),
            None => ("the end".to_string(), self.tokens.last().map_or(Span::empty(), |token| token.span)),
        };
        let Form { operator, grammar, .. } = self.form;
        let message = format!("expected {expected} in the short {operator}, found {found}");
        Error::new(ErrorKind::Syntax, message).with_hint(format!("it reads {grammar}")).at(span)
    }

    /// What stands in the parentheses that open here.
    pub(super) fn group(&mut self) -> Result<Vec<TokenWithSpan>> {
        let start = self.at + 1;
        let end = end_of_group(self.tokens, start);
        if end == self.tokens.len() {
            return Err(self.error("a closing ')'"));
        }
        self.at = end + 1;
        Ok(self.tokens[start..end].to_vec())
    }

    /// The tokens up to one of `words` outside of parentheses.
    pub(super) fn until(&mut self, words: &[&str]) -> Vec<TokenWithSpan> {
        self.until_token(&|token| words.iter().any(|word| is_word(token, word)))
    }

    /// The tokens up to the next clause.
    pub(super) fn until_clause(&mut self) -> Vec<TokenWithSpan> {
        let form = self.form;
        self.until_token(&|token| is_word(token, "FROM") || form.clauses.iter().any(|word| is_word(token, word)))
    }

    pub(super) fn until_token(&mut self, ends: &dyn Fn(&TokenWithSpan) -> bool) -> Vec<TokenWithSpan> {
        let (start, mut depth) = (self.at, 0usize);
        while let Some(token) = self.peek() {
            match token.token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                _ if depth == 0 && ends(token) => break,
                _ => {}
            }
            self.at += 1;
        }
        self.tokens[start..self.at].to_vec()
    }

    /// The name of an event, or another single word, and the condition in parentheses behind it.
    pub(super) fn event(&mut self, expected: &str) -> Result<Event> {
        let name = match self.peek() {
            Some(token) if matches!(&token.token, Token::Word(_) | Token::SingleQuotedString(_)) => token.clone(),
            _ => return Err(self.error(expected)),
        };
        self.at += 1;
        let opens = self.peek().is_some_and(|token| token.token == Token::LParen);
        let condition = if opens { self.group()? } else { Vec::new() };
        Ok(Event { name, condition })
    }

    /// `7 DAYS`, or any expression such as `INTERVAL '7' DAY` or `$1`.
    pub(super) fn span_of_time(&mut self) -> Result<Vec<TokenWithSpan>> {
        let (Some(number), unit) = (self.peek(), self.tokens.get(self.at + 1)) else {
            return Err(self.error("a span of time such as 7 DAYS"));
        };
        let unit_name = unit.map(|unit| unit.token.to_string().to_lowercase()).unwrap_or_default();
        if let Token::Number(digits, _) = &number.token {
            if !UNITS.contains(&unit_name.as_str()) {
                self.at += 1;
                return Err(self.error("a unit such as DAYS or HOURS"));
            }
            self.at += 2;
            let span = text(format!("{digits} {unit_name}"), number.span);
            return Ok(vec![word("INTERVAL", number.span), span]);
        }
        let tokens = self.until_clause();
        if tokens.is_empty() { Err(self.error("a span of time such as 7 DAYS")) } else { Ok(tokens) }
    }
}
