//! Statements about tags: `CREATE TAG`, `REFRESH TAG`, `DROP TAG`, `SHOW TAGS`.

use super::duration;
use super::statement::{NamedOption, next_words, option_text, skip};
use crate::error::{Error, ErrorKind, Result};
use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName, Query, Spanned, Value};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

/// What is asked of tags.
#[derive(Debug, Clone)]
pub(crate) enum TagCommand {
    Create {
        name: Ident,
        table: ObjectName,
        or_replace: bool,
        if_not_exists: bool,
        source: TagSource,
        every_us: Option<i64>,
    },
    /// One, or all.
    Refresh {
        name: Option<Ident>,
        table: ObjectName,
    },
    Drop {
        name: Ident,
        table: ObjectName,
        if_exists: bool,
    },
    /// Of one table, or of all.
    Show {
        table: Option<ObjectName>,
    },
}

/// Who is in a tag.
#[derive(Debug, Clone)]
pub(crate) enum TagSource {
    Query(Box<Query>),
    List(Vec<String>),
}

/// A statement about tags; `None` for another one.
///
/// # Errors
/// `Syntax` with the place.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<TagCommand>> {
    let words: [String; 4] = next_words(parser);
    Ok(Some(match words.each_ref().map(String::as_str) {
        ["CREATE", "TAG", ..] => {
            skip(parser, 2);
            create(parser, false)?
        }
        ["CREATE", "OR", "REPLACE", "TAG"] => {
            skip(parser, 4);
            create(parser, true)?
        }
        ["DROP", "TAG", ..] => {
            skip(parser, 2);
            drop_tag(parser)?
        }
        ["REFRESH", what @ ("TAG" | "TAGS"), ..] => {
            skip(parser, 2);
            refresh(parser, what == "TAGS")?
        }
        ["SHOW", "TAGS", ..] => {
            skip(parser, 2);
            show(parser)?
        }
        _ => return Ok(None),
    }))
}

/// After `CREATE [OR REPLACE] TAG`.
fn create(parser: &mut Parser<'_>, or_replace: bool) -> Result<TagCommand> {
    let before = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let name = parser.parse_identifier()?;
    let if_not_exists = before || parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    let table = on_table(parser)?;
    let source = if parser.parse_keyword(Keyword::AS) {
        TagSource::Query(parser.parse_query()?)
    } else if parser.parse_keyword(Keyword::FROM) {
        TagSource::List(listed_users(parser)?)
    } else {
        return Err(expected("AS (SELECT user_id …) or FROM ('user', …)", parser));
    };
    let every_us = if word(parser, "REFRESH") {
        let query = matches!(source, TagSource::Query(_));
        if !query {
            return Err(Error::invalid("a list of users stays as it is").with_hint("leave REFRESH away"));
        }
        if !word(parser, "EVERY") {
            return Err(expected("EVERY", parser));
        }
        Some(interval(parser)?)
    } else {
        None
    };
    Ok(TagCommand::Create { name, table, or_replace, if_not_exists, source, every_us })
}

/// After `DROP TAG`.
///
/// # Errors
/// `Syntax` with the place.
fn drop_tag(parser: &mut Parser<'_>) -> Result<TagCommand> {
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let name = parser.parse_identifier()?;
    Ok(TagCommand::Drop { name, table: on_table(parser)?, if_exists })
}

/// After `REFRESH TAG` or `REFRESH TAGS`.
///
/// # Errors
/// `Syntax` with the place.
fn refresh(parser: &mut Parser<'_>, all: bool) -> Result<TagCommand> {
    let name = if all { None } else { Some(parser.parse_identifier()?) };
    Ok(TagCommand::Refresh { name, table: on_table(parser)? })
}

/// After `SHOW TAGS`.
///
/// # Errors
/// `Syntax` with the place.
fn show(parser: &mut Parser<'_>) -> Result<TagCommand> {
    let named = parser.parse_one_of_keywords(&[Keyword::ON, Keyword::FROM, Keyword::IN]).is_some();
    let table = if named { Some(parser.parse_object_name(false)?) } else { None };
    Ok(TagCommand::Show { table })
}

fn on_table(parser: &mut Parser<'_>) -> Result<ObjectName> {
    match parser.parse_keyword(Keyword::ON) {
        true => Ok(parser.parse_object_name(false)?),
        false => Err(expected("ON and the table of the tag", parser)),
    }
}

fn listed_users(parser: &mut Parser<'_>) -> Result<Vec<String>> {
    parser.expect_token(&Token::LParen)?;
    let users = parser.parse_comma_separated(|parser| parser.parse_expr())?;
    parser.expect_token(&Token::RParen)?;
    let text = |user: Expr| match user {
        Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)) => {
            Ok(value.value.into_string().unwrap_or_default())
        }
        other => {
            let message = format!("the users of a list are texts, not {other}");
            Err(Error::invalid(message).with_hint("write them in quotes: FROM ('u1', 'u2')").at(other.span()))
        }
    };
    users.into_iter().map(text).collect()
}

/// `INTERVAL '1' HOUR`, or `'1 hour'`.
fn interval(parser: &mut Parser<'_>) -> Result<i64> {
    let start = parser.peek_token().span;
    let value = parser.parse_expr()?;
    let span = start.union(&value.span());
    let option = NamedOption { name: "every".into(), value, span: start };
    let us = duration::parse_us(&option_text(&option)?).map_err(|error| error.at(span))?;
    match us > 0 {
        true => Ok(us),
        false => Err(Error::invalid("a tag is refreshed in intervals longer than 0").at(span)),
    }
}

/// Whether the next token is this word, which is taken then.
pub(super) fn word(parser: &mut Parser<'_>, wanted: &str) -> bool {
    let is_it = match parser.peek_token().token {
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted),
        _ => false,
    };
    if is_it {
        parser.next_token();
    }
    is_it
}

pub(super) fn expected(what: &str, parser: &Parser<'_>) -> Error {
    let found = parser.peek_token();
    let shown = if found.token == Token::EOF { "the end".to_string() } else { format!("'{}'", found.token) };
    Error::new(ErrorKind::Syntax, format!("expected {what}, found {shown}")).at(found.span)
}
