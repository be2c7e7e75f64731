//! The storage engine of trodden: events in, ordered events and bitmaps out.
//!
//! The engine knows no SQL and no network. Modules are listed in the order in which an event passes through them.

// Words that all parts share.
pub mod error;
pub mod types;

pub mod members;
pub mod predicate;
pub mod rows;

// The way of an event: from a batch to a snapshot, and from a snapshot to what an operator reads.
pub mod ingest;
pub mod log;
pub mod aliases;
pub mod producers;
mod catalog;
mod memtable;
pub mod segment;
pub mod index;
mod manifest;
pub mod compact;
pub mod table;
pub mod tags;
pub mod profiles;
mod definitions;
pub mod engine;
pub mod scan;
pub mod backup;
pub mod check;
pub mod examine;
pub mod outline;

// What they stand on.
pub mod parallel;
pub mod stop;
pub mod storage;

pub use backup::Backup;
pub use check::Finding;
pub use engine::{Engine, EngineOptions};
pub use examine::Examination;
pub use ingest::EventBatch;
pub use outline::{DatabaseOutline, TableOutline};
pub use table::{Appended, Import, Imported, LiveSegment, Profiles, ProfilesSnapshot, ShardSnapshot, Snapshot, Table};
