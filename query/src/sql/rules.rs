//! Statements about rules: `CREATE RULE`, `DROP RULE`, `SHOW RULES`.

use super::statement::{next_words, skip};
use super::tags::{expected, word};
use crate::error::{Error, Result};
use datafusion::sql::sqlparser::ast::{Expr, Ident, ObjectName};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

/// What is asked of rules.
#[expect(clippy::large_enum_variant, reason = "one of them a statement, and short-lived")]
#[derive(Debug, Clone)]
pub(crate) enum RuleCommand {
    Create {
        name: Ident,
        table: ObjectName,
        or_replace: bool,
        action: RuleAction,
        condition: Option<Expr>,
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

/// What a rule does.
#[derive(Debug, Clone)]
pub(crate) enum RuleAction {
    DropBots,
    Limit { events: u64, window_us: i64 },
    Sample { percent: f64 },
    Reject { reason: Option<String> },
    RenameEvent { from: String, to: String },
    Rename { from: Ident, to: Ident },
    Map { column: Ident, pairs: Vec<(String, String)>, otherwise: Option<String> },
    Mask(Vec<Ident>),
    Hash(Vec<Ident>),
}

/// A statement about rules; `None` for another one.
///
/// # Errors
/// `Syntax` and `InvalidInput` with the place.
pub(super) fn parse(parser: &mut Parser<'_>) -> Result<Option<RuleCommand>> {
    let words: [String; 4] = next_words(parser);
    Ok(Some(match words.each_ref().map(String::as_str) {
        ["CREATE", "RULE", ..] => {
            skip(parser, 2);
            create(parser, false)?
        }
        ["CREATE", "OR", "REPLACE", "RULE"] => {
            skip(parser, 4);
            create(parser, true)?
        }
        ["DROP", "RULE", ..] => {
            skip(parser, 2);
            let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
            let name = parser.parse_identifier()?;
            RuleCommand::Drop { name, table: on_table(parser)?, if_exists }
        }
        ["SHOW", "RULES", ..] => {
            skip(parser, 2);
            let named = parser.parse_one_of_keywords(&[Keyword::ON, Keyword::FROM, Keyword::IN]).is_some();
            RuleCommand::Show { table: if named { Some(parser.parse_object_name(false)?) } else { None } }
        }
        _ => return Ok(None),
    }))
}

/// After `CREATE [OR REPLACE] RULE`.
fn create(parser: &mut Parser<'_>, or_replace: bool) -> Result<RuleCommand> {
    let name = parser.parse_identifier()?;
    let table = on_table(parser)?;
    if !parser.parse_keyword(Keyword::AS) {
        return Err(expected("AS and what the rule does", parser));
    }
    let action = action(parser)?;
    let condition = if parser.parse_keyword(Keyword::WHERE) {
        Some(parser.parse_expr()?)
    } else if parser.peek_token().token == Token::EOF {
        None
    } else {
        return Err(expected("WHERE or the end of the statement", parser));
    };
    Ok(RuleCommand::Create { name, table, or_replace, action, condition })
}

fn on_table(parser: &mut Parser<'_>) -> Result<ObjectName> {
    match parser.parse_keyword(Keyword::ON) {
        true => Ok(parser.parse_object_name(false)?),
        false => Err(expected("ON and the table of the rule", parser)),
    }
}

fn action(parser: &mut Parser<'_>) -> Result<RuleAction> {
    let [first]: [String; 1] = next_words(parser);
    let action: fn(&mut Parser<'_>) -> Result<RuleAction> = match first.as_str() {
        "DROP" => bots,
        "LIMIT" => limit,
        "SAMPLE" => sample,
        "REJECT" => reject,
        "RENAME" => rename,
        "MAP" => map,
        "MASK" => |parser| Ok(RuleAction::Mask(properties(parser)?)),
        "HASH" => |parser| Ok(RuleAction::Hash(properties(parser)?)),
        _ => return Err(expected("DROP BOTS, LIMIT, SAMPLE, REJECT, RENAME, MAP, MASK or HASH", parser)),
    };
    skip(parser, 1);
    action(parser)
}

fn bots(parser: &mut Parser<'_>) -> Result<RuleAction> {
    match word(parser, "BOTS") {
        true => Ok(RuleAction::DropBots),
        false => Err(expected("BOTS", parser)
            .with_hint("DROP BOTS drops by user agent, LIMIT by rate, and REJECT by a condition")),
    }
}

/// After `LIMIT`: `n EVENTS PER unit`.
fn limit(parser: &mut Parser<'_>) -> Result<RuleAction> {
    let span = parser.peek_token().span;
    let events = number(parser, "a number of events")?;
    let Some(events) = events.parse::<u64>().ok().filter(|events| (1..=u64::from(u32::MAX)).contains(events)) else {
        return Err(Error::invalid("a limit is a whole number of events, from 1 on").at(span));
    };
    if !(word(parser, "EVENTS") || word(parser, "EVENT")) {
        return Err(expected("EVENTS", parser));
    }
    if !word(parser, "PER") {
        return Err(expected("PER", parser));
    }
    let units = [("SECOND", 1_000_000), ("MINUTE", 60_000_000), ("HOUR", 3_600_000_000)];
    match units.into_iter().find(|(unit, _)| word(parser, unit)) {
        Some((_, window_us)) => Ok(RuleAction::Limit { events, window_us }),
        None => Err(expected("SECOND, MINUTE or HOUR", parser)),
    }
}

/// After `SAMPLE`: `p PERCENT`.
fn sample(parser: &mut Parser<'_>) -> Result<RuleAction> {
    let span = parser.peek_token().span;
    let percent = number(parser, "a share of users, such as 10")?;
    if !word(parser, "PERCENT") {
        return Err(expected("PERCENT", parser));
    }
    match percent.parse::<f64>().ok().filter(|percent| *percent > 0.0 && *percent <= 100.0) {
        Some(percent) => Ok(RuleAction::Sample { percent }),
        None => Err(Error::invalid(format!("a sample is of more than 0 and at most 100 percent, not {percent}"))
            .with_hint("REJECT refuses all")
            .at(span)),
    }
}

fn reject(parser: &mut Parser<'_>) -> Result<RuleAction> {
    let has_reason = matches!(parser.peek_token().token, Token::SingleQuotedString(_));
    let reason = if has_reason { Some(parser.parse_literal_string()?) } else { None };
    Ok(RuleAction::Reject { reason })
}

/// After `RENAME`: `EVENT 'a' TO 'b'`, or `a TO b`.
fn rename(parser: &mut Parser<'_>) -> Result<RuleAction> {
    let [first, second] = parser.peek_tokens::<2>();
    let is_event = matches!(&first, Token::Word(word) if word.value.eq_ignore_ascii_case("event"));
    if is_event && matches!(second, Token::SingleQuotedString(_)) {
        skip(parser, 1);
        let from = parser.parse_literal_string()?;
        to(parser)?;
        return Ok(RuleAction::RenameEvent { from, to: event_name(parser)? });
    }
    if is_event {
        let span = parser.peek_token().span;
        return Err(Error::invalid("the column 'event' cannot be renamed")
            .with_hint("events are renamed by RENAME EVENT 'a' TO 'b', or MAP event ('a' TO 'b')")
            .at(span));
    }
    let from = property(parser)?;
    to(parser)?;
    Ok(RuleAction::Rename { from, to: property(parser)? })
}

/// After `MAP`: `column ('a' TO 'b', … [ELSE 'c'])`.
fn map(parser: &mut Parser<'_>) -> Result<RuleAction> {
    let column = property(parser)?;
    let is_event = column.value.eq_ignore_ascii_case("event");
    let value = |parser: &mut Parser<'_>| match is_event {
        true => event_name(parser),
        false => Ok(parser.parse_literal_string()?),
    };
    parser.expect_token(&Token::LParen)?;
    let (mut pairs, mut otherwise) = (Vec::<(String, String)>::new(), None);
    loop {
        if parser.parse_keyword(Keyword::ELSE) {
            otherwise = Some(value(parser)?);
            break;
        }
        let span = parser.peek_token().span;
        let from = parser.parse_literal_string()?;
        if pairs.iter().any(|(known, _)| *known == from) {
            return Err(Error::invalid(format!("'{from}' is mapped twice")).at(span));
        }
        to(parser)?;
        pairs.push((from, value(parser)?));
        if pairs.len() > PAIRS_MAX {
            return Err(Error::invalid(format!("a MAP has at most {PAIRS_MAX} pairs")).at(span));
        }
        // A comma before ELSE may stand or not.
        let is_else = matches!(parser.peek_token().token, Token::Word(word) if word.keyword == Keyword::ELSE);
        if !is_else && !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(RuleAction::Map { column, pairs, otherwise })
}

/// Most pairs of a `MAP`.
const PAIRS_MAX: usize = 10_000;

fn to(parser: &mut Parser<'_>) -> Result<()> {
    match parser.parse_keyword(Keyword::TO) {
        true => Ok(()),
        false => Err(expected("TO", parser)),
    }
}

fn event_name(parser: &mut Parser<'_>) -> Result<String> {
    let span = parser.peek_token().span;
    let name = parser.parse_literal_string()?;
    match name.is_empty() || name.len() > trodden_engine::ingest::MAX_NAME_BYTES {
        true => Err(Error::invalid("the name of an event is neither empty nor longer than 65,535 bytes").at(span)),
        false => Ok(name),
    }
}

fn properties(parser: &mut Parser<'_>) -> Result<Vec<Ident>> {
    let mut all = vec![property(parser)?];
    while parser.consume_token(&Token::Comma) {
        all.push(property(parser)?);
    }
    Ok(all)
}

fn property(parser: &mut Parser<'_>) -> Result<Ident> {
    let name = parser.parse_identifier()?;
    match parser.peek_token().token {
        Token::Period => Err(Error::invalid("a name with dots is written in quotes")
            .with_hint(format!("such as \"{}.…\"", name.value))
            .at(name.span)),
        _ => Ok(name),
    }
}

fn number(parser: &mut Parser<'_>, what: &str) -> Result<String> {
    match parser.peek_token().token {
        Token::Number(text, _) => {
            parser.next_token();
            Ok(text)
        }
        _ => Err(expected(what, parser)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::sql::script::split;
    use crate::sql::statement::{self, Command};

    fn rule(action: &str) -> Result<RuleCommand> {
        let mut raw = split(&format!("CREATE RULE r ON e AS {action}"))?.remove(0);
        match statement::parse(&mut raw)? {
            Command::Rule(command) => Ok(command),
            other => panic!("no rule: {other:?}"),
        }
    }

    #[test]
    fn every_form_is_read() {
        for action in [
            "DROP BOTS",
            "drop bots where user_id <> 'me'",
            "LIMIT 5 EVENTS PER SECOND",
            "LIMIT 1 EVENT PER hour WHERE event = 'view'",
            "SAMPLE 12.5 PERCENT",
            "REJECT",
            "REJECT 'too old' WHERE ts < '2020-01-01'",
            "RENAME EVENT 'a' TO 'b'",
            "RENAME mail TO \"e-mail\"",
            "MAP plan ('a' TO 'b')",
            "MAP plan ('a' TO 'b', 'c' TO 'd' ELSE 'e')",
            "MAP plan ('a' TO 'b', ELSE 'e')",
            "MAP event (ELSE 'e') WHERE event LIKE 'x%'",
            "MASK phone, \"context.traits.email\"",
            "HASH user_id, phone",
        ] {
            assert!(matches!(rule(action), Ok(RuleCommand::Create { .. })), "{action}: {:?}", rule(action));
        }
    }

    #[test]
    fn mistakes_are_told_at_their_place() {
        for (action, column, says) in [
            ("", 23, "what the rule does"),
            ("DROP", 27, "BOTS"),
            ("LIMIT 0 EVENTS PER SECOND", 29, "whole number"),
            ("LIMIT 5 EVENTS PER DAY", 42, "SECOND, MINUTE or HOUR"),
            ("SAMPLE 0 PERCENT", 30, "more than 0"),
            ("SAMPLE 10", 32, "PERCENT"),
            ("RENAME EVENT 'a' TO ''", 43, "neither empty"),
            ("RENAME event TO b", 30, "RENAME EVENT"),
            ("MAP plan ('a' TO 'b', 'a' TO 'c')", 45, "twice"),
            ("MASK a.b", 28, "in quotes"),
            ("MASK a b", 30, "WHERE"),
        ] {
            let error = rule(action).expect_err(action);
            assert!(matches!(error.kind(), ErrorKind::Syntax | ErrorKind::InvalidInput), "{action}: {error}");
            if !action.is_empty() {
                // Behind the last word there is no place.
                let place = if error.message().contains("found the end") { None } else { Some(column) };
                assert_eq!(error.span().map(|span| span.column), place, "{action}: {error}");
                assert!(error.to_string().contains(says), "{action}: {error}");
            }
        }
    }
}
