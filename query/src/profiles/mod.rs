//! Profiles in SQL: the relation `NAME_users` beside each event table `NAME`, and what writes it.
//!
//! - [`relation`]: profiles as a table of DataFusion, now or as of a time; `PROFILES(…)`.
//! - [`scan`]: reading them.
//! - [`condition`]: conditions on profiles inside SEGMENT.
//! - [`upsert`], [`sink`]: `UPSERT INTO NAME_users`.

pub(crate) mod condition;
pub(crate) mod relation;
mod scan;
mod sink;
pub(crate) mod upsert;
