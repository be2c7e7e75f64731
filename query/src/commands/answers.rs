//! The columns of the answers of trodden's own statements, before they are run: taken from the code that fills them.

use super::{alias, copy, rules, show, tags};
use crate::sql::rules::RuleCommand;
use crate::sql::statement::Command;
use crate::sql::tags::TagCommand;
use datafusion::arrow::array::{ArrayRef, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field, Schema};

/// The columns of the answer of a statement; none for one without rows, and for those that DataFusion plans.
pub(crate) fn columns_of_answer(command: &Command) -> Schema {
    let filled = match command {
        Command::CreateTable { query: Some(_), .. } | Command::Upsert { .. } => return counts(&["count"]),
        Command::Delete { .. } => return counts(&["users_deleted"]),
        Command::CopyFrom { .. } => return counts(&copy::COUNTS),
        Command::Alias { .. } => return counts(&["aliases_made"]),
        Command::Tag(TagCommand::Create { .. }) => return counts(&["users"]),
        Command::Tag(TagCommand::Refresh { .. }) => tags::refresh_columns(&[]),
        // Without rows no members are read, which is what can fail.
        Command::Tag(TagCommand::Show { .. }) => tags::tag_columns(&[], 0).unwrap_or_default(),
        Command::Rule(RuleCommand::Show { .. }) => rules::rule_columns(&[]),
        Command::ShowTables => show::table_columns(&[], &[], Int64Array::from(Vec::<i64>::new())),
        Command::ShowRecommenders => show::recommender_columns(&[], 0),
        Command::ShowAliases(_) => alias::alias_columns(&[]),
        Command::Describe(_) => show::described(&Schema::empty()),
        Command::Relational(_)
        | Command::CreateTable { query: None, .. }
        | Command::DropTable { .. }
        | Command::DropView { .. }
        | Command::AddColumn { .. }
        | Command::SetOptions { .. }
        | Command::CreateView { .. }
        | Command::Tag(TagCommand::Drop { .. })
        | Command::Rule(RuleCommand::Create { .. } | RuleCommand::Drop { .. })
        | Command::Unalias { .. }
        | Command::Optimize(_)
        | Command::Flush(_)
        | Command::Prepare { .. }
        | Command::Execute { .. }
        | Command::Deallocate(_) => Vec::new(),
    };
    let field = |(name, column): (&str, ArrayRef)| Field::new(name, column.data_type().clone(), true);
    Schema::new(filled.into_iter().map(field).collect::<Vec<_>>())
}

/// The answer of [`super::counts`].
fn counts(names: &[&str]) -> Schema {
    Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect::<Vec<_>>())
}
