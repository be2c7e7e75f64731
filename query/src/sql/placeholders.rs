//! Parameters written `?`, as drivers of DB-API, JDBC and ODBC write them: the n-th of a statement is `$n`.

use crate::error::{Error, Result};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Most parameters of a statement, as many as PostgreSQL takes.
const PARAMETERS_MAX: usize = 65_535;

/// The tokens with `$1`, `$2`, … in place of `?`. They keep their places.
///
/// # Errors
/// `InvalidInput` for a statement that has both kinds, at the first of the second kind.
pub(crate) fn numbered(mut tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let (mut unnumbered, mut has_named) = (0_usize, false);
    for token in &mut tokens {
        let Token::Placeholder(name) = &mut token.token else { continue };
        match name.strip_prefix('?') {
            Some("") => unnumbered += 1,
            // `?2`, as SQLite has it.
            Some(number) => {
                has_named = true;
                *name = format!("${number}");
                continue;
            }
            None => has_named = true,
        }
        if has_named && unnumbered > 0 {
            let mixed = Error::invalid("parameters are written either ? or $n, not both in one statement");
            return Err(mixed.with_hint("write $1, $2, … for all of them").at(token.span));
        }
        if !has_named {
            *name = format!("${unnumbered}");
        }
    }
    Ok(tokens)
}

/// The highest number of a parameter; 0 where there is none.
pub(crate) fn last(tokens: &[TokenWithSpan]) -> usize {
    let numbers = tokens.iter().filter_map(|token| match &token.token {
        Token::Placeholder(name) => name.strip_prefix('$')?.parse().ok(),
        _ => None,
    });
    // What is refused elsewhere is not counted: `$4000000000` asks for no list of that length.
    numbers.filter(|&number| number <= PARAMETERS_MAX).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::script::split;

    fn shown(sql: &str) -> Result<String> {
        let tokens = numbered(split(sql)?.remove(0).tokens)?;
        Ok(tokens.iter().map(|token| token.token.to_string()).collect())
    }

    #[test]
    fn question_marks_are_numbered_from_left_to_right() {
        assert_eq!(shown("SELECT ?, '?', x FROM t WHERE a = ? -- ?").unwrap(), {
            "SELECT $1, '?', x FROM t WHERE a = $2"
        });
        assert_eq!(shown("SELECT ?||'%', ?::BIGINT - ?").unwrap(), "SELECT $1||'%', $2::BIGINT - $3");
        assert_eq!(shown("SELECT ?2, ?1").unwrap(), "SELECT $2, $1");
        assert_eq!(shown("SELECT $2, $1").unwrap(), "SELECT $2, $1");
    }

    #[test]
    fn both_kinds_in_one_statement_are_refused_at_their_place() {
        for (sql, column) in [("SELECT ?, $1", 11), ("SELECT $1, ?", 12), ("SELECT ?, ?1, ?", 15)] {
            let error = shown(sql).unwrap_err();
            assert_eq!(error.span().map(|span| span.column), Some(column), "{sql}: {error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("$1")), "{error}");
        }
    }
}
