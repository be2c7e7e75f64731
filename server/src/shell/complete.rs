//! What Tab offers: keywords, tables, columns, and the names of events.

use super::statements::is_complete;
use crate::backend::Names;
use rustyline::completion::Completer;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Highlighter, Hinter};
use std::sync::Arc;

/// Words of SQL and of the behaviour operators that people type.
const KEYWORDS: [&str; 104] = [
    "ADD",
    "ALTER",
    "ANALYZE",
    "AND",
    "ARRAY",
    "AS",
    "ASC",
    "BETWEEN",
    "BIGINT",
    "BOOLEAN",
    "BY",
    "CASE",
    "CAST",
    "COLUMN",
    "COPY",
    "COUNT",
    "CREATE",
    "CROSS",
    "DATE",
    "DAY",
    "DAYS",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DOUBLE",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXCLUDE",
    "EXISTS",
    "EXPLAIN",
    "EXTRACT",
    "FALSE",
    "FROM",
    "FULL",
    "FUNNEL",
    "GROUP",
    "HAVING",
    "HOUR",
    "HOURS",
    "ILIKE",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIFECYCLE",
    "LIKE",
    "LIMIT",
    "MINUTE",
    "MINUTES",
    "MONTH",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "PATH",
    "PREPARE",
    "EXECUTE",
    "RECOMMEND",
    "RECOMMEND_EVAL",
    "RETENTION",
    "RFM",
    "RIGHT",
    "SELECT",
    "SESSIONS",
    "SET",
    "SHOW",
    "STEPS",
    "STICKINESS",
    "TABLE",
    "TABLES",
    "TEXT",
    "THEN",
    "TIMESTAMP",
    "TO",
    "TRUE",
    "UNION",
    "UNNEST",
    "USING",
    "VALUES",
    "VIEW",
    "WEEK",
    "WEEKS",
    "WHEN",
    "WHERE",
    "WITH",
    "WITHIN",
    "attribution",
    "date_trunc",
    "emit",
    "step_within",
    "within",
];

/// Commands of the shell.
pub(super) const COMMANDS: [&str; 7] = [".help", ".mode", ".quit", ".rows", ".schema", ".tables", ".timer"];

/// Completion and multi-line input for the line editor.
#[derive(Helper, Hinter, Highlighter)]
pub(super) struct ShellHelper {
    names: Arc<dyn Names>,
}

impl ShellHelper {
    pub(super) fn new(names: Arc<dyn Names>) -> Self {
        Self { names }
    }

    /// Where the word before the cursor begins, and what it could become.
    fn candidates(&self, before: &str) -> (usize, Vec<String>) {
        if before.starts_with('.') {
            return self.command_candidates(before);
        }
        if let Some(start) = open_text(before) {
            let events = self.names.events().into_iter().map(|name| name.replace('\'', "''"));
            let matching = events.filter(|name| name.starts_with(&before[start..]));
            return (start, sorted(matching.map(|name| name + "'").collect()));
        }
        let start = word_start(before);
        let word = &before[start..];
        if word.is_empty() {
            return (start, Vec::new());
        }
        let mut found: Vec<String> = KEYWORDS.iter().filter_map(|keyword| keyword_like(keyword, word)).collect();
        let mut names = self.names.tables();
        names.extend(self.names.columns());
        let statement = before.trim_start().to_ascii_uppercase();
        if ["FUNNEL ", "PATH ", "RETENTION "].iter().any(|operator| statement.starts_with(operator)) {
            // In the short form, events stand as bare names.
            names.extend(self.names.events().into_iter().filter(|name| is_plain(name)));
        }
        found.extend(names.iter().filter(|name| begins_with(name, word)).map(|name| quoted(name)));
        (start, sorted(found))
    }

    fn command_candidates(&self, before: &str) -> (usize, Vec<String>) {
        let start = before.rfind(' ').map_or(0, |at| at + 1);
        let options = match before.split_whitespace().next() {
            _ if start == 0 => COMMANDS.iter().map(|name| (*name).to_owned()).collect(),
            Some(".schema") => self.names.tables(),
            Some(".timer") => vec!["on".into(), "off".into()],
            Some(".mode") => ["csv", "json", "jsonl", "markdown", "table"].map(String::from).to_vec(),
            _ => Vec::new(),
        };
        (start, sorted(options.into_iter().filter(|option| option.starts_with(&before[start..])).collect()))
    }
}

impl Completer for ShellHelper {
    type Candidate = String;

    fn complete(&self, line: &str, cursor: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.candidates(&line[..cursor]))
    }
}

impl Validator for ShellHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_complete(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// Where the text in single quotes begins that is still open at the end.
fn open_text(before: &str) -> Option<usize> {
    let mut open = None;
    for (at, letter) in before.char_indices() {
        match (letter, open) {
            ('\'', None) => open = Some(('\'', at + 1)),
            ('"', None) => open = Some(('"', at + 1)),
            (quote, Some((other, _))) if quote == other => open = None,
            _ => {}
        }
    }
    open.filter(|(quote, _)| *quote == '\'').map(|(_, at)| at)
}

fn word_start(before: &str) -> usize {
    let in_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '"';
    before.char_indices().rev().take_while(|(_, letter)| in_word(*letter)).last().map_or(before.len(), |(at, _)| at)
}

/// `keyword` in the case in which `word` was begun, if it begins so.
fn keyword_like(keyword: &str, word: &str) -> Option<String> {
    let matches =
        keyword.len() > word.len() && keyword[..].to_ascii_uppercase().starts_with(&word.to_ascii_uppercase());
    let lower = word.chars().any(|letter| letter.is_ascii_lowercase());
    matches.then(|| if lower { keyword.to_ascii_lowercase() } else { keyword.to_ascii_uppercase() })
}

fn begins_with(name: &str, word: &str) -> bool {
    name.to_lowercase().starts_with(&word.trim_start_matches('"').to_lowercase())
}

/// Whether a name needs no quotes.
fn is_plain(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_lowercase() || first == '_')
        && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}

fn quoted(name: &str) -> String {
    if is_plain(name) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    // A name that would steer the terminal is not offered.
    names.retain(|name| !name.contains(char::is_control));
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shop;

    impl Names for Shop {
        fn tables(&self) -> Vec<String> {
            vec!["events".into(), "Orders".into()]
        }
        fn columns(&self) -> Vec<String> {
            vec!["price".into(), "user_id".into()]
        }
        fn events(&self) -> Vec<String> {
            vec!["purchase".into(), "product_view".into(), "it's".into()]
        }
    }

    fn offered(before: &str) -> Vec<String> {
        ShellHelper::new(Arc::new(Shop)).candidates(before).1
    }

    #[test]
    fn keywords_follow_the_case_of_the_typist() {
        assert_eq!(offered("sel"), ["select"]);
        assert_eq!(offered("SEL"), ["SELECT"]);
        assert_eq!(offered("SELECT * FROM ev"), ["events"]);
        assert!(offered("SELECT ").is_empty());
    }

    #[test]
    fn events_are_offered_inside_quotes_and_in_the_short_form() {
        assert_eq!(offered("SELECT * FROM FUNNEL(events, steps => ['pro"), ["product_view'"]);
        assert_eq!(offered("WHERE event = 'it"), ["it''s'"]);
        assert_eq!(offered("WHERE event = 'x' AND pri"), ["price"]);
        assert_eq!(offered("FUNNEL product_view -> pur"), ["purchase"]);
        assert_eq!(offered("RETENTION product_view -> pur"), ["purchase"]);
    }

    #[test]
    fn names_in_other_letters_are_quoted() {
        assert_eq!(offered("SELECT * FROM ord"), ["\"Orders\"", "order"]);
    }

    #[test]
    fn commands_and_their_arguments() {
        assert_eq!(offered(".ta"), [".tables"]);
        assert_eq!(offered(".mode j"), ["json", "jsonl"]);
        assert_eq!(offered(".schema ev"), ["events"]);
    }
}
