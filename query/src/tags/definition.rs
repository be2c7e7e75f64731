//! The text that defines a tag, which is kept with it: the statement that made it, or how many users were listed.

use crate::error::{Error, Result};
use crate::sql::script;
use crate::sql::statement::{self, Command};
use crate::sql::tags::{TagCommand, TagSource};
use datafusion::sql::sqlparser::ast::Query;

/// What defines a tag.
#[derive(Debug)]
pub(crate) enum Definition {
    /// A query.
    Query(Box<Query>),
    /// A list of users, which stays as it is.
    List,
}

/// What the definition of a list of users begins with.
const LIST: &str = "FROM (";

impl Definition {
    /// The text that is kept of a list of `users` users.
    pub(crate) fn text_of_list(users: usize) -> String {
        format!("{LIST}{users} users)")
    }

    /// The definition that `text` is.
    ///
    /// # Errors
    /// `Syntax` for what this version cannot read.
    pub(crate) fn read(text: &str) -> Result<Self> {
        if text.starts_with(LIST) {
            return Ok(Self::List);
        }
        let mut statements = script::split(text)?;
        let Some(mut raw) = statements.pop().filter(|_| statements.is_empty()) else {
            return Err(Error::invalid("the definition of this tag is not one statement"));
        };
        match statement::parse(&mut raw)? {
            Command::Tag(TagCommand::Create { source: TagSource::Query(query), .. }) => Ok(Self::Query(query)),
            _ => Err(Error::invalid("the definition of this tag is no CREATE TAG … AS")),
        }
    }

    /// The definition for a person: the query alone.
    pub(crate) fn shown(text: &str) -> String {
        match Self::read(text) {
            Ok(Self::Query(query)) => query.to_string(),
            _ => text.to_string(),
        }
    }
}
