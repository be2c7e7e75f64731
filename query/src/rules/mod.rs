//! Cleaning at the door: rules of a table that change, drop or reject events before anything of them is on disk. What each
//! of them means is told in `docs/semantics/rules.md`.
//!
//! - `definition`: how a rule is kept. `book`: the rules of all tables, read when the database is opened.
//! - `compile`: from the statement to a `compile::Rule`; `condition` is its `WHERE`, `name` how it names columns.
//! - `set`: the rules of one table. `apply` runs them over a batch of events, `profiles` over updates of profiles.
//! - `bots`, `limit`, `sample` decide about events; `change`, `rename` and `secret` change values, which `text`
//!   writes as texts.

mod apply;
mod book;
mod bots;
mod change;
mod compile;
mod condition;
mod definition;
mod limit;
mod name;
mod profiles;
mod rename;
mod sample;
mod secret;
mod set;
mod text;

#[cfg(test)]
mod tests;

pub use apply::{Cleaned, Counted, Outcome, Rejected};
pub use limit::Taken;
pub use profiles::CleanedProfiles;
pub use set::RuleSet;

pub(crate) use book::{NewRule, RuleBook};
pub(crate) use set::Listed;
