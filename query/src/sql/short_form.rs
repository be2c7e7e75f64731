//! The short form for a person at the prompt:
//!
//! ```text
//! FUNNEL step [-> step]… [WITHIN n unit] [BY expr, …] [WITH (key => value, …)] FROM relation [WHERE condition]
//! step:  name | 'name'  [(condition)]  [AS label]
//! ```
//!
//! It is rewritten, token by token, into `SELECT * FROM FUNNEL(relation, STEPS(label => condition, …), …)`, and so means
//! exactly that. Tokens keep their places, so that an error points at what the person wrote.

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

fn starts_short_form(tokens: &[TokenWithSpan], at: usize) -> bool {
    if !is_word(&tokens[at], "FUNNEL") {
        return false;
    }
    let followed = matches!(tokens.get(at + 1).map(|t| &t.token), Some(Token::Word(_) | Token::SingleQuotedString(_)));
    let Some(before) = at.checked_sub(1).map(|i| &tokens[i]) else {
        return followed || tokens.len() == 1;
    };
    let first = |words: &[&str]| words.iter().any(|word| is_word(&tokens[0], word));
    let format = at >= 2 && is_word(&tokens[at - 2], "FORMAT");
    let head = first(&["EXPLAIN"]) && (["EXPLAIN", "ANALYZE", "VERBOSE"].iter().any(|w| is_word(before, w)) || format);
    let body = first(&["CREATE", "PREPARE"]) && is_word(before, "AS");
    followed && (head || body || before.token == Token::LParen)
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
        let (start, mut depth) = (self.at, 0usize);
        while let Some(token) = self.peek() {
            match token.token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                _ if depth == 0 && words.iter().any(|word| is_word(token, word)) => break,
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
    let relation = reader.until(&["WHERE"]);
    if relation.is_empty() {
        return Err(reader.error("a table after FROM"));
    }
    let condition = if reader.take_word("WHERE") { reader.until(&[]) } else { Vec::new() };
    Ok(assemble(tokens[0].span, steps, clauses, relation, condition))
}

fn assemble(
    span: Span,
    steps: Vec<Step>,
    clauses: Clauses,
    relation: Vec<TokenWithSpan>,
    condition: Vec<TokenWithSpan>,
) -> Vec<TokenWithSpan> {
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
    for (i, (step, label)) in steps.into_iter().zip(labels).enumerate() {
        let place = step.event.span;
        if i > 0 {
            out.push(symbol(Token::Comma, place));
        }
        out.push(TokenWithSpan::new(Token::make_word(&label, Some('"')), step.label.map_or(place, |label| label.span)));
        out.push(symbol(Token::RArrow, place));
        push_condition(&mut out, &step.event, step.condition);
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
    out
}

/// `'purchase'`, or `event = 'purchase' AND (condition)`.
fn push_condition(out: &mut Vec<TokenWithSpan>, event: &TokenWithSpan, condition: Vec<TokenWithSpan>) {
    let place = event.span;
    let name = TokenWithSpan::new(Token::SingleQuotedString(name_of(event)), place);
    if condition.is_empty() {
        out.push(name);
        return;
    }
    out.extend([word("event", place), symbol(Token::Eq, place), name]);
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
mod tests {
    use super::*;
    use crate::sql::script::split;

    fn expanded(sql: &str) -> Result<String> {
        let tokens = expand(split(sql)?.remove(0).tokens)?;
        Ok(tokens.iter().map(|token| token.token.to_string()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn every_clause_has_its_argument() {
        let sql = "FUNNEL product_view AS viewed -> add_to_cart(price > 10) AS carted -> 'pur chase' \
                   WITHIN 7 DAYS BY country, device WITH (ties => 'arrival') FROM events WHERE device = 'ios'";
        let expected = "SELECT * FROM FUNNEL ( ( SELECT * FROM events WHERE device = 'ios' ) , STEPS ( \
             \"viewed\" => 'product_view' , \"carted\" => event = 'add_to_cart' AND ( price > 10 ) , \
             \"pur chase\" => 'pur chase' ) , within => INTERVAL '7 days' , by => ( country , device ) , \
             ties => 'arrival' )";
        assert_eq!(expanded(sql).unwrap(), expected);
    }

    #[test]
    fn bare_table_and_repeated_events() {
        let expected = "EXPLAIN SELECT * FROM FUNNEL ( events , STEPS ( \"a\" => 'a' , \"a_2\" => 'a' ) )";
        assert_eq!(expanded("EXPLAIN FUNNEL a -> a FROM events").unwrap(), expected);
    }

    #[test]
    fn the_operator_itself_is_left_alone() {
        let sql = "SELECT * FROM FUNNEL ( events , steps => [ 'a' ] ) AS funnel";
        assert_eq!(expanded(sql).unwrap(), sql);
        assert_eq!(expanded("SELECT funnel FROM funnel f").unwrap(), "SELECT funnel FROM funnel f");
    }

    #[test]
    fn mistakes_are_named_at_their_place() {
        let error = expanded("FUNNEL a -> b WITHIN 7 MOONS FROM events").unwrap_err();
        assert!(error.message().contains("expected a unit such as DAYS"), "{error}");
        assert_eq!(error.span().map(|span| span.column), Some(24));
        assert!(expanded("FUNNEL a -> FROM").unwrap_err().message().contains("expected"));
        assert!(expanded("FUNNEL a").unwrap_err().message().contains("found the end"));
        assert!(expanded("FUNNEL").unwrap_err().message().contains("a step"));
        assert!(expanded("FUNNEL a WITHIN 1 day WITHIN 2 days FROM t").unwrap_err().message().contains("twice"));
    }
}
