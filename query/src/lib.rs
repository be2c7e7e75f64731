//! The query layer of trodden: SQL and behaviour operators over the storage engine, and the embedded database.
//!
//! ```no_run
//! let database = trodden_query::Database::open("shop.db")?;
//! println!("{}", database.query_blocking("FUNNEL viewed -> bought WITHIN 7 DAYS FROM events")?);
//! # Ok::<(), trodden_query::Error>(())
//! ```
//!
//! Modules are listed in the order in which a statement passes through them.

pub use trodden_engine as engine;

mod backup;
mod commands;
mod database;
mod describe;
mod error;
mod functions;
mod plan;
mod profiles;
mod result;
mod relations;
mod retention;
mod rows;
mod run;
mod session;
mod sql;
mod table;
mod tags;
mod warnings;

pub mod behavior;
pub mod import;
pub mod rules;

pub use backup::BackedUp;
pub use database::{Answer, Database, Options, QueryOptions, Statement};
pub use datafusion::arrow;
pub use datafusion::scalar::ScalarValue;
pub use describe::Description;
pub use error::{Error, ErrorKind, Result, Span};
pub use plan::recommend::{LiveModel, LiveOptions, LiveState};
pub use relations::{CATALOG, Relation, SCHEMA};
pub use result::QueryResult;
pub use sql::script::{ScriptCut, cut_script};
pub use warnings::{CancelToken, Warning};
