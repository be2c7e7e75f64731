//! The short form for a person at the prompt:
//!
//! ```text
//! FUNNEL step [-> step]… [WITHIN n unit] [BY expr, …] [WITH (key => value, …)] FROM relation [WHERE condition]
//!   [ORDER BY …] [LIMIT …] [OFFSET …]
//! step:  name | 'name'  [(condition)]  [AS label]
//! ```
//!
//! It is rewritten, token by token, into `SELECT * FROM FUNNEL(relation, STEPS(label => condition, …), …)`, and so means
//! exactly that; what orders and cuts stands behind, and so is about the rows of the answer. Tokens keep their places, so
//! that an error points at what the person wrote.

use crate::error::{Error, ErrorKind, Result};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

const GRAMMAR: &str = "FUNNEL a AS x -> b(price > 10) -> c WITHIN 7 DAYS BY country FROM events WHERE …";
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

/// The tokens with every short `FUNNEL` rewritten, at the start of a statement, after `EXPLAIN`, after the `AS` of a view
/// or a prepared statement, and in parentheses.
pub(crate) fn expand(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>> {
    let mut tokens: Vec<_> = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let mut at = 0;
    while at < tokens.len() {
        if starts_short_form(&tokens, at) {
            let end = end_of_group(&tokens, at);
            let rewritten = rewrite(&tokens[at..end])?;
            let length = rewritten.len();
            tokens.splice(at..end, rewritten);
            at += length;
        } else {
            at += 1;
        }
    }
    Ok(tokens)
}

/// Whether `FUNNEL` at `at` begins the short form. It may as well be the name of a table or a column.
fn starts_short_form(tokens: &[TokenWithSpan], at: usize) -> bool {
    if !is_word(&tokens[at], "FUNNEL") {
        return false;
    }
    let followed = tokens.get(at + 1).is_some_and(|token| {
        matches!(token.token, Token::Word(_) | Token::SingleQuotedString(_)) && !is_word(token, "FROM")
    });
    let Some(before) = at.checked_sub(1).map(|i| &tokens[i]) else {
        return followed || tokens.len() == 1;
    };
    let first = |words: &[&str]| words.iter().any(|word| is_word(&tokens[0], word));
    let format = at >= 2 && is_word(&tokens[at - 2], "FORMAT");
    let head = first(&["EXPLAIN"]) && (["EXPLAIN", "ANALYZE", "VERBOSE"].iter().any(|w| is_word(before, w)) || format);
    let body = first(&["CREATE", "PREPARE"]) && first_as(tokens) == Some(at - 1);
    followed && (head || body || before.token == Token::LParen && goes_on_as_short_form(tokens, at))
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

/// Whether what stands behind `(FUNNEL` reads as a first step and goes on as the short form does.
fn goes_on_as_short_form(tokens: &[TokenWithSpan], at: usize) -> bool {
    let end = end_of_group(tokens, at);
    let mut next = at + 2;
    if tokens.get(next).is_some_and(|token| token.token == Token::LParen) {
        next = end_of_group(tokens, next + 1) + 1;
    }
    let Some(token) = tokens[..end].get(next) else { return false };
    let arrow = token.token == Token::Arrow;
    let clause = ["AS", "WITHIN", "BY", "WITH", "FROM"].iter().any(|word| is_word(token, word));
    let mut inside = Reader { tokens: &tokens[..end], at: next };
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

struct Step {
    event: TokenWithSpan,
    condition: Vec<TokenWithSpan>,
    label: Option<TokenWithSpan>,
}

struct Reader<'a> {
    tokens: &'a [TokenWithSpan],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a TokenWithSpan> {
        self.tokens.get(self.at)
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|token| is_word(token, word));
        self.at += usize::from(found);
        found
    }

    fn take(&mut self, wanted: &Token) -> bool {
        let found = self.peek().is_some_and(|token| token.token == *wanted);
        self.at += usize::from(found);
        found
    }

    fn error(&self, expected: &str) -> Error {
        let (found, span) = match self.peek() {
            Some(token) => (format!("'{}'", token.token), token.span),
            None => ("the end".to_string(), self.tokens.last().map_or(Span::empty(), |token| token.span)),
        };
        let message = format!("expected {expected} in the short FUNNEL, found {found}");
        Error::new(ErrorKind::Syntax, message).with_hint(format!("it reads {GRAMMAR}")).at(span)
    }

    /// What stands in the parentheses that open here.
    fn group(&mut self) -> Result<Vec<TokenWithSpan>> {
        let start = self.at + 1;
        let end = end_of_group(self.tokens, start);
        if end == self.tokens.len() {
            return Err(self.error("a closing ')'"));
        }
        self.at = end + 1;
        Ok(self.tokens[start..end].to_vec())
    }

    /// The tokens up to one of `words` outside of parentheses.
    fn until(&mut self, words: &[&str]) -> Vec<TokenWithSpan> {
        self.until_token(&|token| words.iter().any(|word| is_word(token, word)))
    }

    fn until_token(&mut self, ends: &dyn Fn(&TokenWithSpan) -> bool) -> Vec<TokenWithSpan> {
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

    fn step(&mut self) -> Result<Step> {
        let event = match self.peek() {
            Some(token) if matches!(&token.token, Token::Word(_) | Token::SingleQuotedString(_)) => token.clone(),
            _ => return Err(self.error("a step: the name of an event")),
        };
        self.at += 1;
        let opens = self.peek().is_some_and(|token| token.token == Token::LParen);
        let condition = if opens { self.group()? } else { Vec::new() };
        let label = match self.take_word("AS") {
            false => None,
            true => match self.peek().map(|token| &token.token) {
                Some(Token::Word(_) | Token::SingleQuotedString(_)) => {
                    self.at += 1;
                    Some(self.tokens[self.at - 1].clone())
                }
                _ => return Err(self.error("a name after AS")),
            },
        };
        Ok(Step { event, condition, label })
    }

    /// `7 DAYS`, or any expression such as `INTERVAL '7' DAY` or `$1`.
    fn within(&mut self) -> Result<Vec<TokenWithSpan>> {
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
            let text = Token::SingleQuotedString(format!("{digits} {unit_name}"));
            return Ok(vec![word("INTERVAL", number.span), TokenWithSpan::new(text, number.span)]);
        }
        let tokens = self.until(&["BY", "FROM", "WITH", "WITHIN"]);
        if tokens.is_empty() { Err(self.error("a span of time such as 7 DAYS")) } else { Ok(tokens) }
    }
}

fn word(text: &str, span: Span) -> TokenWithSpan {
    TokenWithSpan::new(Token::make_word(text, None), span)
}

fn symbol(token: Token, span: Span) -> TokenWithSpan {
    TokenWithSpan::new(token, span)
}

/// The name that a word or a string stands for. Unquoted words keep their case: event names are data.
fn name_of(token: &TokenWithSpan) -> String {
    match &token.token {
        Token::Word(word) => word.value.clone(),
        Token::SingleQuotedString(text) => text.clone(),
        other => other.to_string(),
    }
}

#[derive(Default)]
struct Clauses {
    within: Option<Vec<TokenWithSpan>>,
    by: Option<Vec<TokenWithSpan>>,
    with: Option<Vec<TokenWithSpan>>,
}

fn read_clauses(reader: &mut Reader<'_>) -> Result<Clauses> {
    let mut clauses = Clauses::default();
    loop {
        let start = reader.at;
        let (slot, found) = if reader.take_word("WITHIN") {
            (&mut clauses.within, reader.within()?)
        } else if reader.take_word("BY") {
            (&mut clauses.by, reader.until(&["WITHIN", "WITH", "FROM"]))
        } else if reader.take_word("WITH") {
            if reader.peek().is_none_or(|token| token.token != Token::LParen) {
                return Err(reader.error("'(' after WITH"));
            }
            (&mut clauses.with, reader.group()?)
        } else if reader.take_word("FROM") {
            return Ok(clauses);
        } else {
            return Err(reader.error("'->', WITHIN, BY, WITH or FROM"));
        };
        if found.is_empty() {
            return Err(reader.error("something after this word"));
        }
        if slot.replace(found).is_some() {
            let clause = &reader.tokens[start];
            let message = format!("{} stands twice in the short FUNNEL", clause.token);
            return Err(Error::new(ErrorKind::Syntax, message).at(clause.span));
        }
    }
}

fn rewrite(tokens: &[TokenWithSpan]) -> Result<Vec<TokenWithSpan>> {
    let mut reader = Reader { tokens, at: 1 };
    let mut steps = vec![reader.step()?];
    while reader.take(&Token::Arrow) {
        steps.push(reader.step()?);
    }
    let clauses = read_clauses(&mut reader)?;
    let source = read_source(&mut reader)?;
    Ok(assemble(tokens[0].span, steps, clauses, source))
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
/// Clauses of the short form that stand before FROM.
const EARLIER: [&str; 3] = ["WITHIN", "BY", "WITH"];

fn read_source(reader: &mut Reader<'_>) -> Result<Source> {
    let ends: Vec<&str> = ["WHERE"].iter().chain(&TAIL).chain(&REFUSED).chain(&EARLIER).copied().collect();
    let relation = reader.until(&ends);
    if relation.is_empty() {
        return Err(reader.error("a table after FROM"));
    }
    refuse(reader, &EARLIER, "stands before FROM")?;
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
            let message = format!("{} {why} in the short FUNNEL", token.token.to_string().to_uppercase());
            let hint = "it is the whole answer; put it in parentheses to go on: SELECT … FROM (FUNNEL …) …, \
                        or FUNNEL … FROM (SELECT …) AS t";
            let hint = if words == EARLIER { format!("it reads {GRAMMAR}") } else { hint.to_string() };
            Err(Error::new(ErrorKind::Syntax, message).with_hint(hint).at(token.span))
        }
        _ => Ok(()),
    }
}

fn assemble(span: Span, steps: Vec<Step>, clauses: Clauses, source: Source) -> Vec<TokenWithSpan> {
    let Source { relation, condition, tail } = source;
    let mut out = vec![word("SELECT", span), symbol(Token::Mul, span), word("FROM", span), word("FUNNEL", span)];
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
    out.extend([symbol(Token::Comma, span), word("STEPS", span), symbol(Token::LParen, span)]);
    let labels = labels(&steps);
    let name = clauses.with.as_deref().and_then(name_column);
    for (i, (step, label)) in steps.into_iter().zip(labels).enumerate() {
        let place = step.event.span;
        if i > 0 {
            out.push(symbol(Token::Comma, place));
        }
        out.push(TokenWithSpan::new(Token::make_word(&label, Some('"')), step.label.map_or(place, |label| label.span)));
        out.push(symbol(Token::RArrow, place));
        push_condition(&mut out, &step.event, name.as_deref(), step.condition);
    }
    out.push(symbol(Token::RParen, span));
    let by_list = |by: Vec<TokenWithSpan>| {
        let open = symbol(Token::LParen, by[0].span);
        let close = symbol(Token::RParen, by[0].span);
        std::iter::once(open).chain(by).chain(std::iter::once(close)).collect::<Vec<_>>()
    };
    for (name, value) in [("within", clauses.within), ("by", clauses.by.map(by_list))] {
        if let Some(value) = value {
            let place = value[0].span;
            out.extend([symbol(Token::Comma, place), word(name, place), symbol(Token::RArrow, place)]);
            out.extend(value);
        }
    }
    if let Some(with) = clauses.with {
        out.push(symbol(Token::Comma, span));
        out.extend(with);
    }
    out.push(symbol(Token::RParen, span));
    out.extend(tail);
    out
}

/// What `name => …` among the arguments says: the column that names the event. A string is the name of a column there.
fn name_column(with: &[TokenWithSpan]) -> Option<Vec<TokenWithSpan>> {
    let mut reader = Reader { tokens: with, at: 0 };
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
                many => {
                    let place = arrow.span;
                    let open = std::iter::once(symbol(Token::LParen, place));
                    open.chain(many.iter().cloned()).chain(std::iter::once(symbol(Token::RParen, place))).collect()
                }
            });
        }
    }
    None
}

/// `'purchase'`, or `event = 'purchase' AND (condition)`, with the column that `name` gives in place of `event`.
fn push_condition(
    out: &mut Vec<TokenWithSpan>,
    event: &TokenWithSpan,
    column: Option<&[TokenWithSpan]>,
    condition: Vec<TokenWithSpan>,
) {
    let place = event.span;
    let name = TokenWithSpan::new(Token::SingleQuotedString(name_of(event)), place);
    if condition.is_empty() {
        out.push(name);
        return;
    }
    match column {
        Some(column) => out.extend_from_slice(column),
        None => out.push(word("event", place)),
    }
    out.extend([symbol(Token::Eq, place), name]);
    let and = Token::Word(datafusion::sql::sqlparser::tokenizer::Word {
        value: "AND".into(),
        quote_style: None,
        keyword: Keyword::AND,
    });
    out.extend([symbol(and, place), symbol(Token::LParen, place)]);
    out.extend(condition);
    out.push(symbol(Token::RParen, place));
}

/// A label a step: as given, else the event's name; a repeated name gets a number.
fn labels(steps: &[Step]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::with_capacity(steps.len());
    for step in steps {
        let label = match &step.label {
            Some(label) => name_of(label),
            None => unused(name_of(&step.event), &labels),
        };
        labels.push(label);
    }
    labels
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
