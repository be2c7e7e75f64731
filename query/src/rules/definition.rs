//! How a rule is kept: as a setting of the database, in JSON, with its statement.

use crate::error::{Error, Result};
use crate::sql::rules::RuleCommand;
use crate::sql::script;
use crate::sql::statement::{self, Command};
use serde::{Deserialize, Serialize};

/// What the names of the settings begin with.
const PREFIX: &str = "rule/";

/// A rule as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) table: String,
    /// The number of the table, so that no other one of the same name has the rule.
    pub(super) table_id: u64,
    pub(super) name: String,
    /// Its place among the rules of the table.
    pub(super) position: u64,
    pub(super) statement: String,
}

impl Kept {
    /// The name of the setting. Names of rules have no slash.
    pub(super) fn setting(table: &str, name: &str) -> String {
        format!("{PREFIX}{table}/{name}")
    }

    /// The table and the rule that a setting is about; `None` for another setting.
    pub(super) fn of_setting(setting: &str) -> Option<(&str, &str)> {
        setting.strip_prefix(PREFIX)?.rsplit_once('/')
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are plain data")
    }
}

/// The statement that makes a rule.
///
/// # Errors
/// `Syntax` where it is none.
pub(super) fn read_statement(text: &str) -> Result<RuleCommand> {
    let mut statements = script::split(text)?;
    match statements.pop().filter(|_| statements.is_empty()) {
        Some(mut raw) => match statement::parse(&mut raw)? {
            Command::Rule(command @ RuleCommand::Create { .. }) => Ok(command),
            _ => Err(Error::invalid("this is no CREATE RULE statement")
                .with_hint("for example CREATE RULE no_phone ON events AS MASK phone")),
        },
        None => Err(Error::invalid("this is not one statement").with_hint("give each rule by itself")),
    }
}
