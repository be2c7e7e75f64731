//! The short forms for a person at the prompt, one a file: [`funnel`], [`path`], [`retention`], [`recommend`].
//!
//! A short form is rewritten, token by token, into `SELECT * FROM OPERATOR(relation, argument, …)`, and so means exactly
//! that; what orders and cuts stands behind, and so is about the rows of the answer. Tokens keep their places, so that an
//! error points at what the person wrote.

mod clauses;
mod funnel;
mod path;
mod reader;
mod recommend;
mod retention;

use crate::error::{Error, ErrorKind, Result};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};
use reader::Reader;

/// A short form.
struct Form {
    /// The word that begins it, and the operator that it means.
    operator: &'static str,
    /// An example, for messages.
    grammar: &'static str,
    /// The words that begin its clauses, `FROM` aside.
    clauses: &'static [&'static str],
    /// Whether its first word may be `FROM`, of a clause of its own or of the relation.
    begins_with_from: bool,
    /// Reads all before `FROM`: the arguments of the operator, as the tokens between its commas.
    arguments: fn(&mut Reader<'_>) -> Result<Vec<Vec<TokenWithSpan>>>,
}

static FORMS: [&Form; 4] = [&funnel::FORM, &path::FORM, &retention::FORM, &recommend::FORM];

/// The tokens with every short form rewritten, at the start of a statement, after `EXPLAIN`, after the `AS` of a view
/// or a prepared statement, and in parentheses.
pub(crate) fn expand(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let mut tokens: Vec<_> = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let mut at = 0;
    while at < tokens.len() {
        if let Some(form) = short_form_at(&tokens, at) {
            let end = end_of_group(&tokens, at);
            let rewritten = rewrite(form, &tokens[at..end])?;
            let length = rewritten.len();
            tokens.splice(at..end, rewritten);
            at += length;
        } else {
            at += 1;
        }
    }
    Ok(tokens)
}

/// The short form that begins at `at`. The word may as well be the name of a table or a column.
fn short_form_at(tokens: &[TokenWithSpan], at: usize) -> Option<&'static Form> {
    let form = FORMS.into_iter().find(|form| is_word(&tokens[at], form.operator))?;
    let followed = tokens.get(at + 1).is_some_and(|token| {
        let is_first = matches!(token.token, Token::Word(_) | Token::SingleQuotedString(_));
        is_first && (form.begins_with_from || !is_word(token, "FROM"))
    });
    let Some(before) = at.checked_sub(1).map(|i| &tokens[i]) else {
        return (followed || tokens.len() == 1).then_some(form);
    };
    let first = |words: &[&str]| words.iter().any(|word| is_word(&tokens[0], word));
    let format = at >= 2 && is_word(&tokens[at - 2], "FORMAT");
    let head = first(&["EXPLAIN"]) && (["EXPLAIN", "ANALYZE", "VERBOSE"].iter().any(|w| is_word(before, w)) || format);
    let body = first(&["CREATE", "PREPARE"]) && first_as(tokens) == Some(at - 1);
    let inside = || before.token == Token::LParen && goes_on_as_short_form(form, tokens, at) && is_relation(tokens, at);
    (followed && (head || body || inside())).then_some(form)
}

/// Whether a relation may stand in the parentheses that `at` is the first in: `substring(path FROM 2)` has none.
fn is_relation(tokens: &[TokenWithSpan], at: usize) -> bool {
    at.checked_sub(2).is_none_or(|before| match &tokens[before].token {
        Token::Word(word) => {
            word.keyword != Keyword::NoKeyword
                && !["SUBSTRING", "TRIM", "EXTRACT", "OVERLAY"].contains(&word.value.to_uppercase().as_str())
        }
        _ => true,
    })
}

/// The first `AS` outside of parentheses: what follows it is what a view, a table or a prepared statement is.
fn first_as(tokens: &[TokenWithSpan]) -> Option<usize> {
    let mut depth = 0usize;
    tokens.iter().position(|token| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && is_word(token, "AS")
    })
}

/// Whether what stands behind `(FUNNEL` goes on as the short form does: with a clause, or with a first step.
fn goes_on_as_short_form(form: &'static Form, tokens: &[TokenWithSpan], at: usize) -> bool {
    let end = end_of_group(tokens, at);
    if form.begins_with_from && tokens[..end].get(at + 1).is_some_and(|token| is_word(token, "FROM")) {
        return true;
    }
    let is_clause = |token: &TokenWithSpan| form.clauses.iter().any(|word| is_word(token, word));
    let mut next = at + 1;
    if !tokens[..end].get(next).is_some_and(is_clause) {
        next += 1;
    }
    if tokens.get(next).is_some_and(|token| token.token == Token::LParen) {
        next = end_of_group(tokens, next + 1) + 1;
    }
    let Some(token) = tokens[..end].get(next) else { return false };
    let arrow = token.token == Token::Arrow;
    let clause = is_clause(token) || ["AS", "FROM"].iter().any(|word| is_word(token, word));
    let mut inside = Reader { form, tokens: &tokens[..end], at: next };
    inside.until(&["FROM"]);
    arrow || clause && inside.peek().is_some()
}

fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}

/// The end of the parentheses around `at`, or of the statement.
fn end_of_group(tokens: &[TokenWithSpan], at: usize) -> usize {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket if depth == 0 => return i,
            Token::RParen | Token::RBracket => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

fn word(text: &str, span: Span) -> TokenWithSpan {
    TokenWithSpan::new(Token::make_word(text, None), span)
}

fn symbol(token: Token, span: Span) -> TokenWithSpan {
    TokenWithSpan::new(token, span)
}

fn text(text: impl Into<String>, span: Span) -> TokenWithSpan {
    TokenWithSpan::new(Token::SingleQuotedString(text.into()), span)
}

/// `name => value`.
fn argument(name: &str, value: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let place = value.first().map_or(Span::empty(), |token| token.span);
    let mut tokens = vec![word(name, place), symbol(Token::RArrow, place)];
    tokens.extend(value);
    tokens
}

/// `(tokens)`.
fn parenthesised(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let place = tokens.first().map_or(Span::empty(), |token| token.span);
    let open = std::iter::once(symbol(Token::LParen, place));
    open.chain(tokens).chain(std::iter::once(symbol(Token::RParen, place))).collect()
}

/// The name that a word or a string stands for. Unquoted words keep their case: event names are data.
fn name_of(token: &TokenWithSpan) -> String {
    match &token.token {
        Token::Word(word) => word.value.clone(),
        Token::SingleQuotedString(text) => text.clone(),
        other => other.to_string(),
    }
}

fn rewrite(form: &'static Form, tokens: &[TokenWithSpan]) -> Result<Vec<TokenWithSpan>> {
    let mut reader = Reader { form, tokens, at: 1 };
    let arguments = (form.arguments)(&mut reader)?;
    let source = read_source(&mut reader)?;
    Ok(assemble(tokens[0].span, form, arguments, source))
}

/// What stands behind FROM.
struct Source {
    relation: Vec<TokenWithSpan>,
    condition: Vec<TokenWithSpan>,
    /// `ORDER BY … LIMIT … OFFSET …`, which are about the rows of the answer.
    tail: Vec<TokenWithSpan>,
}

/// Words that end the relation and the condition.
const TAIL: [&str; 4] = ["ORDER", "LIMIT", "OFFSET", "FETCH"];
/// Words that would make the input something else than it seems to be.
const REFUSED: [&str; 9] =
    ["GROUP", "HAVING", "UNION", "INTERSECT", "EXCEPT", "MINUS", "WINDOW", "QUALIFY", "DISTRIBUTE"];

fn read_source(reader: &mut Reader<'_>) -> Result<Source> {
    let ends: Vec<&str> = ["WHERE"].iter().chain(&TAIL).chain(&REFUSED).chain(reader.form.clauses).copied().collect();
    let relation = reader.until(&ends);
    if relation.is_empty() {
        return Err(reader.error("a table after FROM"));
    }
    refuse(reader, reader.form.clauses, "stands before FROM")?;
    let ends: Vec<&str> = TAIL.iter().chain(&REFUSED).copied().collect();
    let condition = if reader.take_word("WHERE") { reader.until(&ends) } else { Vec::new() };
    refuse(reader, &REFUSED, "has no place")?;
    let tail = reader.until(&REFUSED);
    refuse(reader, &REFUSED, "has no place")?;
    Ok(Source { relation, condition, tail })
}

fn refuse(reader: &Reader<'_>, words: &[&str], why: &str) -> Result<()> {
    match reader.peek() {
        Some(token) if words.iter().any(|word| is_word(token, word)) => {
            let Form { operator, grammar, clauses, .. } = reader.form;
            let message = format!("{} {why} in the short {operator}", token.token.to_string().to_uppercase());
            let hint = if words == *clauses {
                format!("it reads {grammar}")
            } else {
                format!(
                    "it is the whole answer; put it in parentheses to go on: SELECT … FROM ({operator} …) …, \
                     or {operator} … FROM (SELECT …) AS t"
                )
            };
            Err(Error::new(ErrorKind::Syntax, message).with_hint(hint).at(token.span))
        }
        _ => Ok(()),
    }
}

fn assemble(span: Span, form: &Form, arguments: Vec<Vec<TokenWithSpan>>, source: Source) -> Vec<TokenWithSpan> {
    let Source { relation, condition, tail } = source;
    let mut out = vec![word("SELECT", span), symbol(Token::Mul, span), word("FROM", span), word(form.operator, span)];
    out.push(symbol(Token::LParen, span));
    if condition.is_empty() && relation.len() == 1 {
        out.extend(relation);
    } else {
        out.extend([symbol(Token::LParen, span), word("SELECT", span), symbol(Token::Mul, span), word("FROM", span)]);
        out.extend(relation);
        if !condition.is_empty() {
            out.push(word("WHERE", span));
            out.extend(condition);
        }
        out.push(symbol(Token::RParen, span));
    }
    for argument in arguments {
        out.push(symbol(Token::Comma, argument.first().map_or(span, |token| token.span)));
        out.extend(argument);
    }
    out.push(symbol(Token::RParen, span));
    out.extend(tail);
    out
}

/// `name`, or `name_2`, `name_3`, … where it is taken.
pub(crate) fn unused(name: String, taken: &[String]) -> String {
    if !taken.contains(&name) {
        return name;
    }
    let numbered = (2..).map(|n| format!("{name}_{n}"));
    numbered.into_iter().find(|candidate| !taken.contains(candidate)).unwrap_or(name)
}

#[cfg(test)]
mod tests;
