//! The storage engine of trodden: events in, ordered events and bitmaps out.
//!
//! The engine knows no SQL and no network. Modules are listed in the order in which an event passes through them.

pub mod error;
pub mod types;
pub mod predicate;
pub mod rows;
pub mod storage;
pub mod index;
pub mod segment;
