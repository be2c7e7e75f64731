//! Refuses statements whose operators make a tree too deep to walk: `a OR b OR c …` is parsed into one that is as deep as it is
//! long, and whoever copies, walks or frees it calls itself once a level.

use crate::error::{Error, ErrorKind, Result};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// Operators that may follow each other, those around an open parenthesis included. With 2 MiB of stack, which is what threads
/// have by default, there is room for about twice as many.
pub(super) const OPERATORS_MAX: usize = 1_000;

/// `UNION` and joins take this many times as much stack.
const SETS_WEIGHT: usize = 4;

/// Refuse what is deeper.
///
/// # Errors
/// `ResourceLimit` at the first operator that is too many.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut open = vec![Chain::default()];
    let mut sum = 0;
    for token in tokens {
        let Some(chain) = open.last_mut() else { return Ok(()) };
        match role(&token.token) {
            Role::Opens => open.push(Chain::default()),
            Role::Closes => {
                let closed = open.pop().map_or(0, |chain| chain.operators + chain.sets);
                sum -= closed;
                if open.is_empty() {
                    // The parser will say that there is nothing to close.
                    open.push(Chain::default());
                }
            }
            Role::Ends => sum -= std::mem::take(&mut chain.operators),
            Role::Joins => (chain.operators, sum) = (chain.operators + 1, sum + 1),
            Role::JoinsSets => (chain.sets, sum) = (chain.sets + SETS_WEIGHT, sum + SETS_WEIGHT),
            Role::Other => {}
        }
        if sum > OPERATORS_MAX {
            let message = format!("more than {OPERATORS_MAX} operators in a row");
            let hint = "write a list, as in x IN (1, 2, 3), or put the values into a table of their own and join it";
            return Err(Error::new(ErrorKind::ResourceLimit, message).with_hint(hint).at(token.span));
        }
    }
    Ok(())
}

/// What follows each other between two parentheses.
#[derive(Default)]
struct Chain {
    /// Of values, since the last comma or clause.
    operators: usize,
    /// `UNION` and its kind, and joins, weighed.
    sets: usize,
}

/// What a token does to a chain.
enum Role {
    Opens,
    Closes,
    Ends,
    Joins,
    JoinsSets,
    Other,
}

fn role(token: &Token) -> Role {
    match token {
        Token::LParen | Token::LBracket => Role::Opens,
        Token::RParen | Token::RBracket => Role::Closes,
        Token::Comma => Role::Ends,
        Token::Word(word) => match word.keyword {
            Keyword::CASE => Role::Opens,
            Keyword::END => Role::Closes,
            Keyword::SELECT | Keyword::WHERE | Keyword::HAVING | Keyword::WHEN | Keyword::THEN | Keyword::ELSE => {
                Role::Ends
            }
            Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT | Keyword::MINUS | Keyword::JOIN => Role::JoinsSets,
            Keyword::AND
            | Keyword::OR
            | Keyword::XOR
            | Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::SIMILAR
            | Keyword::REGEXP
            | Keyword::RLIKE
            | Keyword::BETWEEN
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::DIV
            | Keyword::OVERLAPS
            | Keyword::NOTNULL => Role::Joins,
            _ => Role::Other,
        },
        Token::EOF
        | Token::Number(..)
        | Token::Char(_)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::NationalStringLiteral(_)
        | Token::EscapedStringLiteral(_)
        | Token::HexStringLiteral(_)
        | Token::Whitespace(_)
        | Token::Placeholder(_)
        | Token::SemiColon
        | Token::RArrow => Role::Other,
        _ => Role::Joins,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::script::split;

    fn verdict(sql: &str) -> Result<()> {
        check(&split(sql)?[0].tokens)
    }

    #[test]
    fn long_lists_are_not_deep() {
        let many = |part: &str, between: &str, count: usize| vec![part; count].join(between);
        let most = OPERATORS_MAX;
        let shallow = [
            format!("SELECT {}", many("a + b", ", ", 5_000)),
            format!("INSERT INTO t VALUES {}", many("(1, -2, 'x' || 'y')", ", ", 5_000)),
            format!("SELECT x IN ({})", many("1", ", ", 5_000)),
            format!("SELECT CASE {} END", many("WHEN a = 1 THEN b * 2", " ", 5_000)),
            format!("SELECT {}", many("(a = 1)", " OR ", most / 2)),
            format!("SELECT {} FROM t WHERE {}", many("a", " + ", most), many("b", " AND ", most)),
            format!("SELECT f({})", many("x => 1", ", ", 5_000)),
        ];
        for sql in shallow {
            assert!(verdict(&sql).is_ok(), "{sql}");
        }
        let deep = [
            format!("SELECT {}", many("a", " + ", most + 2)),
            format!("SELECT {}", many("a = 1", " OR ", most)),
            format!("SELECT a {}", many("IS NULL", " ", most + 1)),
            format!("SELECT a{}", many("::INT", "", most + 1)),
            format!("SELECT {}", many("CASE WHEN a THEN 1 END", " + ", most + 2)),
            many("SELECT 1", " UNION ALL ", most / SETS_WEIGHT + 2),
            format!("SELECT {} (1, ({}), 2)", many("a", " + ", most / 2 + 1) + " +", many("b", " OR ", most / 2 + 1)),
        ];
        for sql in deep {
            let error = verdict(&sql).expect_err(&sql);
            assert!(error.kind() == ErrorKind::ResourceLimit && error.span().is_some() && error.hint().is_some());
        }
        for unbalanced in ["SELECT )))", "SELECT END END", "SELECT ((("] {
            assert!(verdict(unbalanced).is_ok());
        }
    }
}
