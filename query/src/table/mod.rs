//! Event tables as tables of DataFusion.
//!
//! - [`provider`]: a table pinned at one snapshot, with its statistics.
//! - [`translate`]: conditions of SQL as conditions of the engine, so that indexes can answer them.
//! - [`scan`]: reading rows. [`count`]: how many there are. [`pieces`], [`sink`]: `INSERT`.

pub(crate) mod count;
pub(crate) mod pieces;
pub(crate) mod provider;
pub(crate) mod scan;
pub(crate) mod schema;
pub(crate) mod sink;
pub(crate) mod statistics;
pub(crate) mod translate;
