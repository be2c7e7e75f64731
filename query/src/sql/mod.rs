//! The text of a script, taken apart: statements, and what each of them asks for.
//!
//! - [`dialect`] is the dialect in which they are read.
//! - [`script`] cuts a script into statements, each with its place in the text.
//! - [`placeholders`] numbers the parameters that are written `?`.
//! - [`short_form`] rewrites the short `FUNNEL a -> b …` into the operator, token by token.
//! - [`chains`] refuses statements whose operators make too deep a tree.
//! - [`statement`] parses a statement: trodden's own kinds here, all others by DataFusion's parser.
//! - [`tags`] parses statements about tags, [`rules`] those about rules.
//! - [`cache`] keeps questions that were read.
//! - [`duration`] reads spans of time such as `'7 days'`.
//! - [`identifiers`] quotes an unquoted `CustomerID` that can only mean the column of that spelling.

pub(crate) mod cache;
mod chains;
mod dialect;
pub(crate) mod duration;
pub(crate) mod identifiers;
mod placeholders;
pub(crate) mod rules;
pub(crate) mod script;
pub(crate) mod short_form;
pub(crate) mod statement;
pub(crate) mod tags;
