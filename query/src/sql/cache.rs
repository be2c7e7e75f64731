//! Statements that were read before: the same questions are asked all day, and to read one takes a tenth of the time of an
//! answer from indexes.

use crate::database::Statement;
use crate::sql::statement::Command;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement as Ast;
use parking_lot::Mutex;
use std::sync::Arc;

/// So many are kept.
const STATEMENTS_MAX: usize = 64;
/// Longer texts are not: they were made by a program, and what is read of them is large.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// Scripts of one question each, and what they say; the last one that was asked at the end.
#[derive(Debug, Default)]
pub(crate) struct ReadStatements(Mutex<Vec<(String, Arc<[Statement]>)>>);

impl ReadStatements {
    /// What a script says.
    pub(crate) fn get(&self, script: &str) -> Option<Arc<[Statement]>> {
        let mut all = self.0.lock();
        let place = all.iter().position(|(text, _)| text == script)?;
        all[place..].rotate_left(1);
        all.last().map(|(_, statements)| Arc::clone(statements))
    }

    /// Keeps what a script says, if it is a question.
    pub(crate) fn put(&self, script: &str, statements: &Arc<[Statement]>) {
        if script.len() > TEXT_BYTES_MAX || !is_question(statements) {
            return;
        }
        let mut all = self.0.lock();
        all.retain(|(text, _)| text != script);
        if all.len() >= STATEMENTS_MAX {
            all.remove(0);
        }
        all.push((script.to_owned(), Arc::clone(statements)));
    }
}

/// Events that are inserted, for one, do not come again.
fn is_question(statements: &[Statement]) -> bool {
    let [Statement { command: Command::Relational(parsed), .. }] = statements else { return false };
    matches!(&**parsed, DfStatement::Statement(ast) if matches!(**ast, Ast::Query(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Database, Options};

    #[test]
    fn questions_are_kept_and_the_one_asked_longest_ago_goes() {
        let database = Database::in_memory(Options::default()).unwrap();
        let read = |script: &str| -> Arc<[Statement]> { database.parse(script).unwrap().into() };
        let kept = ReadStatements::default();
        let put = |script: &str| {
            kept.put(script, &read(script));
            kept.get(script).is_some()
        };
        for script in ["CREATE TABLE t (n BIGINT)", "SELECT 1; SELECT 2", "", "EXPLAIN SELECT 1", "SHOW TABLES"] {
            assert!(!put(script), "{script}");
        }
        assert!(!put(&format!("SELECT '{}'", "a".repeat(TEXT_BYTES_MAX))));
        let question = |number: usize| format!("SELECT {number}");
        for number in 0..=STATEMENTS_MAX {
            assert!(put(&question(number)));
            assert!(kept.get(&question(0)).is_some());
        }
        assert!(kept.get(&question(1)).is_none());
        let again = kept.get(&question(2)).unwrap();
        assert_eq!(again[0].text(), "SELECT 2");
        assert_eq!(kept.0.lock().len(), STATEMENTS_MAX);
    }
}
