//! Cut a script into statements. Tokens keep their places in the whole script, so that every error points into it.

use crate::error::Result;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

/// The dialect of trodden: DataFusion's generic one, where `name => value` is an argument.
pub(crate) const DIALECT: GenericDialect = GenericDialect {};

/// A statement before parsing.
#[derive(Debug, Clone)]
pub(crate) struct RawStatement {
    /// Its tokens without the semicolon; the first is no whitespace.
    pub(crate) tokens: Vec<TokenWithSpan>,
    /// Its text.
    pub(crate) text: String,
}

/// The statements of `script`, without the empty ones.
///
/// # Errors
/// `Syntax` for text that is no SQL at all, such as a string that never ends.
pub(crate) fn split(script: &str) -> Result<Vec<RawStatement>> {
    let tokens = Tokenizer::new(&DIALECT, script).tokenize_with_location().map_err(ParserError::from)?;
    let offsets = Offsets::new(script);
    let mut statements = Vec::new();
    for part in tokens.split(|token| token.token == Token::SemiColon) {
        let significant = |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::EOF);
        let Some(first) = part.iter().position(significant) else { continue };
        let last = part.iter().rposition(significant).unwrap_or(first);
        let tokens = part[first..=last].to_vec();
        let text = offsets.slice(tokens[0].span.start, part[last].span.end).to_string();
        statements.push(RawStatement { tokens, text });
    }
    Ok(statements)
}

/// Byte offsets of lines, to cut text by line and column.
struct Offsets<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, lines: std::iter::once(0).chain(starts).collect() }
    }

    fn byte(&self, location: Location) -> usize {
        let line = usize::try_from(location.line).unwrap_or(1).max(1) - 1;
        let column = usize::try_from(location.column).unwrap_or(1).max(1) - 1;
        let Some(&start) = self.lines.get(line) else { return self.text.len() };
        let rest = &self.text[start..];
        start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
    }

    fn slice(&self, start: Location, end: Location) -> &'a str {
        let (start, end) = (self.byte(start), self.byte(end));
        &self.text[start..end.max(start)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_keep_their_text_and_place() {
        let script = "-- hello\nSELECT 'a;b';;\n  SELECT ü, 2 -- end\n;";
        let parts = split(script).unwrap();
        let texts: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
        assert_eq!(texts, ["SELECT 'a;b'", "SELECT ü, 2"]);
        assert_eq!(parts[1].tokens[0].span.start, Location::new(3, 3));
    }

    #[test]
    fn an_open_string_is_a_syntax_error_with_its_place() {
        let error = split("SELECT 1;\nSELECT 'oops").unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Syntax);
        assert_eq!(error.span().map(|span| span.line), Some(2));
    }
}
