//! A writer that collects events into batches and sends them in the background.
//!
//! - `writer`: what a program holds: a bound on memory, and a channel to the task.
//! - `latency`: how long acknowledgements take.
//! - `delivery`: the task: batches, their numbers, what is under way, and what is sent again after a connection broke off.

mod delivery;
mod latency;

pub use latency::Latency;

use crate::batch::check;
use crate::call_error::CallError;
use crate::connect::Client;
use crate::error::Error;
use crate::event::Event;
use crate::limits::Limits;
use delivery::{Delivery, Order};
use latency::Histogram;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use trodden_proto::v1 as wire;

/// How a writer collects and sends.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// A batch is sent once it has so many events.
    pub batch_events: usize,
    /// A batch is sent once it has so many bytes, encoded.
    pub batch_bytes: usize,
    /// A batch is sent once its first event has waited so long.
    pub linger: Duration,
    /// Bytes of events, encoded, that may wait or be under way. Above that [`Writer::push`] waits and
    /// [`Writer::try_push`] gives the event back.
    pub buffer_bytes: usize,
    /// Batches that may be under way at one time.
    pub batches_under_way: usize,
    /// After a connection broke off, the next try comes after this time, and after twice as long each time it fails again.
    pub retry_min: Duration,
    /// Most time between two tries.
    pub retry_max: Duration,
    /// What one event may be.
    pub limits: Limits,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            batch_events: 1_000,
            batch_bytes: 1 << 20,
            linger: Duration::from_millis(5),
            buffer_bytes: 64 << 20,
            batches_under_way: 4,
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_secs(5),
            limits: Limits::default(),
        }
    }
}

/// What became of the events of a writer so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Events that the server stored.
    pub accepted: u64,
    /// Events that were there already.
    pub duplicates: u64,
    /// Events that rules of the table dropped.
    pub dropped: u64,
    /// Events that rules of the table rejected.
    pub rejected: u64,
    /// Events of batches that the server refused: they can never be stored.
    pub refused: u64,
    /// Times that a connection had to be made again.
    pub reconnects: u64,
}

/// A batch that the table cannot take.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Its events.
    pub batch: wire::EventBatch,
    /// Why.
    pub problem: wire::Problem,
}

/// An event that a rule of the table rejected.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// The event.
    pub event: Event,
    /// Why.
    pub reason: String,
}

/// Why an event was not taken in.
#[derive(Debug)]
pub enum PushError {
    /// It can never be stored.
    Invalid(Error),
    /// The buffer is full: here it is again.
    Full(Box<Event>),
    /// The writer has ended, for this reason.
    Ended(Option<CallError>),
}

impl fmt::Display for PushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => write!(f, "{error}"),
            Self::Full(_) => f.write_str("the buffer of the writer is full; the server takes events in more slowly"),
            Self::Ended(Some(error)) => write!(f, "the writer has ended: {error}"),
            Self::Ended(None) => f.write_str("the writer has ended"),
        }
    }
}

impl std::error::Error for PushError {}

/// Counts of a writer, and what it shares with its task.
#[derive(Default)]
pub(crate) struct Shared {
    accepted: AtomicU64,
    duplicates: AtomicU64,
    dropped: AtomicU64,
    rejected: AtomicU64,
    refused: AtomicU64,
    reconnects: AtomicU64,
    /// What the last try said, until one succeeds.
    trouble: Mutex<Option<CallError>>,
    refusals: Mutex<Vec<Refused>>,
    rejections: Mutex<Vec<Rejected>>,
    latency: Histogram,
}

/// Refused batches that are kept for [`Writer::take_refused`]; of more, the counts alone.
const REFUSALS_MAX: usize = 100;

/// Rejected events that are kept for [`Writer::take_rejected`]; of more, the count alone.
const REJECTIONS_MAX: usize = 1_000;

/// Sends events of one table in the background. An event that was pushed is sent until the server has it: at least once on the
/// wire, once in the table. Dropping a writer leaves what was not sent; [`Writer::close`] sends it.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use trodden_client::{Client, ConnectOptions, Event, WriterOptions};
///
/// let client = Client::connect("http://127.0.0.1:7701", ConnectOptions::default()).await?;
/// let writer = client.writer("events", WriterOptions::default())?;
/// writer.push(Event::new("ada", 1_767_225_600_000_000, "purchase").property("price", 9.5)).await?;
/// let written = writer.close().await?;
/// assert_eq!(written.accepted, 1);
/// # Ok(())
/// # }
/// ```
pub struct Writer {
    orders: mpsc::UnboundedSender<Order>,
    room: Arc<Semaphore>,
    shared: Arc<Shared>,
    limits: Limits,
    buffer_bytes: usize,
    task: JoinHandle<()>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("written", &self.written()).finish_non_exhaustive()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// A writer for a table, which the server makes when it is absent. Called in the context of a tokio runtime.
    ///
    /// # Errors
    /// A name that no table has, or no random bytes for the name of the producer.
    pub fn writer(&self, table: &str, options: WriterOptions) -> Result<Writer, CallError> {
        let room = Arc::new(Semaphore::new(options.buffer_bytes.min(Semaphore::MAX_PERMITS)));
        let shared = Arc::new(Shared::default());
        let (orders, receiver) = mpsc::unbounded_channel();
        let (limits, buffer_bytes) = (options.limits, options.buffer_bytes);
        let delivery = Delivery::new(self.clone(), table, options, Arc::clone(&shared), Arc::clone(&room))?;
        let task = tokio::spawn(delivery.run(receiver));
        Ok(Writer { orders, room, shared, limits, buffer_bytes, task })
    }
}

impl Writer {
    /// Takes an event in, without waiting.
    ///
    /// # Errors
    /// [`PushError`].
    pub fn try_push(&self, event: Event) -> Result<(), PushError> {
        let (event, bytes) = self.checked(event)?;
        match self.room.try_acquire_many(bytes) {
            Ok(permit) => {
                permit.forget();
                self.order(event, bytes)
            }
            Err(tokio::sync::TryAcquireError::NoPermits) => Err(PushError::Full(Box::new(event.into()))),
            Err(tokio::sync::TryAcquireError::Closed) => Err(self.ended()),
        }
    }

    /// Takes an event in, once there is room for it.
    ///
    /// # Errors
    /// [`PushError`], but not `Full`.
    pub async fn push(&self, event: Event) -> Result<(), PushError> {
        let (event, bytes) = self.checked(event)?;
        self.room.acquire_many(bytes).await.map_err(|_| self.ended())?.forget();
        self.order(event, bytes)
    }

    fn checked(&self, event: Event) -> Result<(wire::Event, u32), PushError> {
        let event = wire::Event::from(event);
        let bytes = check(&event, &self.limits).map_err(PushError::Invalid)?;
        if bytes > self.buffer_bytes {
            return Err(PushError::Invalid(Error::EventTooLarge { bytes, bytes_max: self.buffer_bytes }));
        }
        Ok((event, u32::try_from(bytes).unwrap_or(u32::MAX)))
    }

    fn order(&self, event: wire::Event, bytes: u32) -> Result<(), PushError> {
        self.orders.send(Order::Event(event, bytes)).map_err(|_| self.ended())
    }

    fn ended(&self) -> PushError {
        PushError::Ended(self.trouble())
    }

    /// Waits until everything that was pushed before is stored or refused.
    ///
    /// # Errors
    /// What ended the writer, such as a key that was revoked.
    pub async fn flush(&self) -> Result<Written, CallError> {
        let (done, waits) = oneshot::channel();
        let gone = || self.trouble().unwrap_or_else(delivery::gone);
        self.orders.send(Order::Flush(done)).map_err(|_| gone())?;
        waits.await.map_err(|_| gone())?;
        Ok(self.written())
    }

    /// Sends what is left, and ends.
    ///
    /// # Errors
    /// Those of [`Writer::flush`].
    pub async fn close(self) -> Result<Written, CallError> {
        self.flush().await
    }

    /// What became of the events so far.
    pub fn written(&self) -> Written {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Written {
            accepted: read(&self.shared.accepted),
            duplicates: read(&self.shared.duplicates),
            dropped: read(&self.shared.dropped),
            rejected: read(&self.shared.rejected),
            refused: read(&self.shared.refused),
            reconnects: read(&self.shared.reconnects),
        }
    }

    /// How long batches took from their sending to their acknowledgement.
    pub fn latency(&self) -> Latency {
        self.shared.latency.summary()
    }

    /// Why nothing is being stored just now, if so: it goes on trying.
    pub fn trouble(&self) -> Option<CallError> {
        self.shared.trouble.lock().clone()
    }

    /// Batches that the server refused since the last call, at most the last hundred: these events are in no table.
    pub fn take_refused(&self) -> Vec<Refused> {
        std::mem::take(&mut *self.shared.refusals.lock())
    }

    /// Events that rules of the table rejected since the last call, at most the last thousand: these are in no table.
    pub fn take_rejected(&self) -> Vec<Rejected> {
        std::mem::take(&mut *self.shared.rejections.lock())
    }
}
