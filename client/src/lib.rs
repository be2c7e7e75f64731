//! The Rust client of trodden: a writer that sends events in the background, answers as Arrow record batches, and what
//! administrators do.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use trodden_client::{Client, ConnectOptions, Event, WriterOptions};
//!
//! let client = Client::connect("http://127.0.0.1:7701", ConnectOptions::default()).await?;
//! let writer = client.writer("events", WriterOptions::default())?;
//! writer.push(Event::new("ada", 1_767_225_600_000_000, "purchase").property("price", 9.5)).await?;
//! writer.close().await?;
//!
//! let mut answer = client.query("FUNNEL view -> purchase WITHIN 7 DAYS FROM events").await?;
//! while let Some(batch) = answer.next().await? {
//!     println!("{} rows", batch.num_rows());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Programs without async use [`blocking`]. Modules are listed in the order in which an event and a question pass through them.

mod event;
mod limits;
mod error;
mod batch;
mod connect;
mod call_error;
mod writer;
mod import;
mod reader;
mod admin;
mod backup;
pub mod blocking;

pub use arrow_array::{self, RecordBatch};
pub use backup::{BackupPiece, BackupStream};
pub use batch::{EventBatchBuilder, decode};
pub use call_error::{CallError, CallErrorKind};
pub use connect::{Client, ConnectOptions};
pub use error::{Error, Field};
pub use event::{Event, Value};
pub use import::Import;
pub use limits::{Limits, TS_MAX_US, TS_MIN_US};
pub use reader::{Answer, Next, Prepared, Progress, QueryOptions};
pub use trodden_proto::v1 as wire;
pub use writer::{Latency, PushError, Refused, Rejected, Writer, WriterOptions, Written};
