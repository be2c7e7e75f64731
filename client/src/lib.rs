//! The Rust client of trodden. It builds batches of events that a server will accept, and reads and writes them as
//! bytes. It opens no connection yet: the server that it will talk to is not there.
//!
//! ```
//! use trodden_client::{Event, EventBatchBuilder};
//!
//! # fn main() -> Result<(), trodden_client::Error> {
//! let mut batch = EventBatchBuilder::new("events")?;
//! batch.push(Event::new("ada", 1_767_225_600_000_000, "purchase").id("order-1").property("price", 9.5))?;
//! let bytes = batch.encode();
//! assert_eq!(trodden_client::decode(&bytes)?.events.len(), 1);
//! # Ok(())
//! # }
//! ```

mod batch;
mod error;
mod event;
mod limits;

pub use batch::{EventBatchBuilder, decode};
pub use error::{Error, Field};
pub use event::{Event, Value};
pub use limits::{Limits, TS_MAX_US, TS_MIN_US};
pub use trodden_proto::v1 as wire;
