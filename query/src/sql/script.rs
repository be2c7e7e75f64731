//! Cut a script into statements. Tokens keep their places in the whole script, so that every error points into it.

use super::dialect::SqlDialect;
use crate::error::Result;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};
use std::ops::Range;

/// The dialect of statements.
pub(crate) const DIALECT: SqlDialect = SqlDialect;

/// A statement before parsing.
#[derive(Debug, Clone)]
pub(crate) struct RawStatement {
    /// Its tokens without the semicolon; the first is no whitespace.
    pub(crate) tokens: Vec<TokenWithSpan>,
    /// Its text.
    pub(crate) text: String,
    /// Where it begins in the script.
    pub(crate) start: Location,
    /// The number of the last of its parameters `$1`, `$2`, …. Known once it is parsed.
    pub(crate) parameters: usize,
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
        let Some((first, last)) = significant(part) else { continue };
        let (tokens, start) = (part[first..=last].to_vec(), part[first].span.start);
        let text = script[offsets.range(&part[first], &part[last])].to_string();
        statements.push(RawStatement { tokens, text, start, parameters: 0 });
    }
    Ok(statements)
}

/// The statements of a text that may not be whole yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScriptCut {
    /// Where the statements are, as bytes, without their semicolons and the comments around them.
    pub statements: Vec<Range<usize>>,
    /// More has to follow: the last statement has no semicolon, or a text in quotes or a comment is open.
    pub open: bool,
}

/// Cut `script` into statements as the parser does. Unlike [`Database::parse`](crate::Database::parse) it takes any text:
/// what cannot be read is part of the last statement, so that running it tells what is wrong.
pub fn cut_script(script: &str) -> ScriptCut {
    let mut tokens = Vec::new();
    let error = Tokenizer::new(&DIALECT, script).tokenize_with_location_into_buf(&mut tokens).err();
    let offsets = Offsets::new(script);
    let mut cut = ScriptCut::default();
    let parts: Vec<&[TokenWithSpan]> = tokens.split(|token| token.token == Token::SemiColon).collect();
    for part in &parts {
        cut.statements.extend(significant(part).map(|(first, last)| offsets.range(&part[first], &part[last])));
    }
    let Some(tail) = parts.last() else { return cut };
    let has_tail = significant(tail).is_some();
    cut.open = has_tail;
    if let Some(error) = error {
        // What stands behind the last token that could be read belongs to the last statement.
        let start = match (has_tail, tail.last(), tokens.last()) {
            (true, ..) => cut.statements.pop().map_or(0, |range| range.start),
            (_, Some(blank), _) => offsets.byte(blank.span.end),
            (_, None, last) => last.map_or(0, |semicolon| offsets.byte(semicolon.span.end)),
        };
        let end = script.trim_end().len();
        cut.open =
            ["Unterminated", "EOF"].iter().any(|word| error.message.contains(word)) || !script[..end].ends_with(';');
        if start < end {
            cut.statements.push(start..end);
        }
    }
    cut
}

/// The first and the last token of `part` that are more than white space and comments.
fn significant(part: &[TokenWithSpan]) -> Option<(usize, usize)> {
    let significant = |token: &TokenWithSpan| !matches!(token.token, Token::Whitespace(_) | Token::EOF);
    let first = part.iter().position(significant)?;
    Some((first, part.iter().rposition(significant).unwrap_or(first)))
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

    fn range(&self, first: &TokenWithSpan, last: &TokenWithSpan) -> Range<usize> {
        let (start, end) = (self.byte(first.span.start), self.byte(last.span.end));
        start..end.max(start)
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
    fn a_text_is_cut_as_it_is_parsed() {
        let script =
            "SELECT E'it\\'s; so', ';', \"a;b\", `c;d` -- one; two\nFROM t /* ; /* ; */ ; */;\n;; SELECT $x$;$x$, 'ü';";
        let cut = cut_script(script);
        let texts: Vec<&str> = cut.statements.iter().map(|range| &script[range.clone()]).collect();
        let parsed: Vec<String> = split(script).unwrap().into_iter().map(|statement| statement.text).collect();
        assert_eq!(texts, parsed);
        assert_eq!(texts.len(), 2);
        assert!(!cut.open);
    }

    #[test]
    fn a_text_that_is_not_whole_keeps_what_is_there() {
        for (script, statements, open) in [
            ("", 0, false),
            ("-- nothing\n /* at all */ ; ", 0, false),
            ("SELECT 1", 1, true),
            ("SELECT 1; SELECT 'a;", 2, true),
            ("SELECT 1; -- so", 1, false),
            ("SELECT 1; 'a;", 2, true),
            ("SELECT E'it\\';", 1, true),
        ] {
            let cut = cut_script(script);
            assert_eq!((cut.statements.len(), cut.open), (statements, open), "{script}");
        }
        assert!(cut_script("SELECT 1; /* x").open);
        assert_eq!(cut_script("SELECT 1; SELECT 'a;").statements[1], 10..20);
    }

    #[test]
    fn an_open_string_is_a_syntax_error_with_its_place() {
        let error = split("SELECT 1;\nSELECT 'oops").unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Syntax);
        assert_eq!(error.span().map(|span| span.line), Some(2));
    }
}
