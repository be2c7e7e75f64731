//! The task of a writer.

use super::{REFUSALS_MAX, REJECTIONS_MAX, Refused, Rejected, Shared, WriterOptions};
use crate::batch::check_table;
use crate::call_error::{CallError, CallErrorKind};
use crate::connect::Client;
use prost::Message;
use prost::bytes::Bytes;
use prost::encoding::{message, string};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use trodden_proto::v1 as wire;
use trodden_proto::v1::ingest_response::Outcome;

/// Bytes of randomness in the name of a producer: no two writers have the same.
const PRODUCER_BYTES: usize = 16;

/// Numbers of the fields of `EventBatch`.
const TABLE_FIELD: u32 = 1;
const EVENTS_FIELD: u32 = 2;

/// What a writer asks its task for.
pub(super) enum Order {
    /// Send this, of so many bytes.
    Event(wire::Event, u32),
    /// Tell when all before is stored or refused.
    Flush(oneshot::Sender<()>),
}

/// A batch that is not acknowledged yet.
struct Batch {
    sequence: u64,
    /// Encoded once, however often it is sent.
    batch: Bytes,
    events: u64,
    /// What its events took of the buffer.
    bytes: usize,
    /// When it was sent first.
    sent_at: Option<Instant>,
}

/// What is under way on one connection.
struct Stream {
    requests: mpsc::Sender<wire::IngestRequest>,
    responses: Streaming<wire::IngestResponse>,
}

/// The state of the task.
pub(super) struct Delivery {
    client: Client,
    table: String,
    producer: String,
    options: WriterOptions,
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    /// The batch that is being filled, encoded, and when its first event came.
    open: Vec<u8>,
    open_events: usize,
    open_bytes: usize,
    opened: Instant,
    /// Batches in order of their numbers: first those that were sent on the present connection, then the others.
    batches: VecDeque<Batch>,
    sent: usize,
    last_sequence: u64,
    /// Number of the last batch that the server has, or had stored before: 0 for none.
    stored: u64,
    /// Who waits for everything up to a batch.
    flushes: VecDeque<(u64, oneshot::Sender<()>)>,
}

/// A batch that this writer encoded.
fn decoded(batch: &Bytes) -> wire::EventBatch {
    wire::EventBatch::decode(batch.clone()).unwrap_or_default()
}

/// The error of a writer whose task is gone without a word.
pub(super) fn gone() -> CallError {
    CallError::new(CallErrorKind::Cancelled, "the writer has ended")
}

impl Delivery {
    pub(super) fn new(
        client: Client,
        table: &str,
        options: WriterOptions,
        shared: Arc<Shared>,
        room: Arc<Semaphore>,
    ) -> Result<Self, CallError> {
        check_table(table, &options.limits)
            .map_err(|error| CallError::new(CallErrorKind::Invalid, error.to_string()))?;
        let mut random = [0_u8; PRODUCER_BYTES];
        getrandom::fill(&mut random)
            .map_err(|error| CallError::new(CallErrorKind::Setup, format!("random bytes: {error}")))?;
        Ok(Self {
            client,
            table: table.to_owned(),
            producer: random.iter().map(|byte| format!("{byte:02x}")).collect(),
            options,
            shared,
            room,
            open: Vec::new(),
            open_events: 0,
            open_bytes: 0,
            opened: Instant::now(),
            batches: VecDeque::new(),
            sent: 0,
            last_sequence: 0,
            stored: 0,
            flushes: VecDeque::new(),
        })
    }

    /// Takes orders and sends batches until the writer is gone, or an error says that it is no use.
    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut wait = self.options.retry_min;
        let mut next_try = Instant::now();
        loop {
            // Nothing to send: no connection is needed.
            while self.batches.is_empty() {
                if !self.collect(&mut orders).await {
                    return;
                }
            }
            while Instant::now() < next_try {
                tokio::select! {
                    () = sleep_until(next_try) => {}
                    goes_on = self.collect(&mut orders) => if !goes_on { return },
                }
            }
            let before = self.stored;
            let Err(error) = self.deliver(&mut orders).await else { return };
            if self.stored > before {
                wait = self.options.retry_min;
            }
            self.sent = 0;
            // A batch of a writer is below every limit by itself, so what is over one is what the server holds at the moment.
            let is_final = !error.is_transient() && error.kind() != CallErrorKind::ResourceLimit;
            *self.shared.trouble.lock() = Some(error);
            if is_final {
                self.room.close();
                return;
            }
            self.shared.reconnects.fetch_add(1, Ordering::Relaxed);
            next_try = Instant::now() + wait;
            wait = (wait * 2).min(self.options.retry_max);
        }
    }

    /// Takes the next order, or closes the open batch when it is time. False: the writer is gone.
    async fn collect(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> bool {
        let due = self.opened + self.options.linger;
        tokio::select! {
            biased;
            order = orders.recv() => {
                let Some(order) = order else { return false };
                self.take(order);
                // What came meanwhile, without asking the clock for each.
                while self.batches.len() < self.options.batches_under_way
                    && let Ok(order) = orders.try_recv()
                {
                    self.take(order);
                }
            }
            () = sleep_until(due), if self.open_events > 0 => self.seal(),
        }
        if self.open_events > 0 && Instant::now() >= self.opened + self.options.linger {
            self.seal();
        }
        true
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Event(event, bytes) => {
                if self.open_events == 0 {
                    self.opened = Instant::now();
                    string::encode(TABLE_FIELD, &self.table, &mut self.open);
                }
                message::encode(EVENTS_FIELD, &event, &mut self.open);
                self.open_events += 1;
                self.open_bytes += bytes as usize;
                if self.open_events >= self.options.batch_events || self.open_bytes >= self.options.batch_bytes {
                    self.seal();
                }
            }
            Order::Flush(done) => {
                self.seal();
                if self.batches.is_empty() {
                    let _ = done.send(());
                } else {
                    self.flushes.push_back((self.last_sequence, done));
                }
            }
        }
    }

    /// Closes the open batch.
    fn seal(&mut self) {
        if self.open_events == 0 {
            return;
        }
        self.last_sequence += 1;
        // The next one is likely to be as large.
        let next = Vec::with_capacity(self.open.len());
        let batch = std::mem::replace(&mut self.open, next).into();
        let events = std::mem::take(&mut self.open_events) as u64;
        let bytes = std::mem::take(&mut self.open_bytes);
        self.batches.push_back(Batch { sequence: self.last_sequence, batch, events, bytes, sent_at: None });
    }

    /// Sends batches over one connection. `Ok`: the writer is gone.
    async fn deliver(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Result<(), CallError> {
        let mut stream = self.connect().await?;
        loop {
            while self.sent < self.batches.len().min(self.options.batches_under_way) {
                let request = self.request(self.sent);
                match stream.requests.try_send(request) {
                    Ok(()) => self.sent += 1,
                    Err(mpsc::error::TrySendError::Full(_)) => break,
                    Err(mpsc::error::TrySendError::Closed(_)) => return Err(self.ended(&mut stream).await),
                }
            }
            // Events that wait for a batch are taken in while there is a place for one.
            let may_collect = self.batches.len() < self.options.batches_under_way;
            tokio::select! {
                response = stream.responses.message(), if self.sent > 0 => {
                    let response = response?.ok_or_else(|| Status::unavailable("the server ended the stream"))?;
                    let Some(outcome) = response.outcome else {
                        return Err(Status::internal("the server said nothing of a batch").into());
                    };
                    if self.settle(response.sequence, outcome) {
                        // What was sent after it cannot be stored either: all of it is sent again, in order.
                        self.sent = 0;
                        stream = self.connect().await?;
                    }
                }
                goes_on = self.collect(orders), if may_collect => if !goes_on { return Ok(()) },
            }
        }
    }

    async fn connect(&self) -> Result<Stream, CallError> {
        let (requests, receiver) = mpsc::channel(self.options.batches_under_way.max(1));
        let responses = self.client.events().ingest(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Stream { requests, responses })
    }

    /// Why a stream takes no more requests.
    async fn ended(&self, stream: &mut Stream) -> CallError {
        loop {
            match stream.responses.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::unavailable("the server ended the stream").into(),
                Err(status) => return status.into(),
            }
        }
    }

    fn request(&mut self, index: usize) -> wire::IngestRequest {
        self.batches[index].sent_at.get_or_insert_with(Instant::now);
        let batch = &self.batches[index];
        let previous = index.checked_sub(1).map_or(self.stored, |before| self.batches[before].sequence);
        wire::IngestRequest {
            producer: self.producer.clone(),
            sequence: batch.sequence,
            previous,
            batch: batch.batch.clone(),
        }
    }

    /// Notes what became of a batch. True: what was sent after it has to be sent again.
    fn settle(&mut self, sequence: u64, outcome: Outcome) -> bool {
        *self.shared.trouble.lock() = None;
        match outcome {
            Outcome::Stored(stored) => {
                self.shared.accepted.fetch_add(stored.accepted, Ordering::Relaxed);
                self.shared.duplicates.fetch_add(stored.duplicates, Ordering::Relaxed);
                self.shared.dropped.fetch_add(stored.dropped, Ordering::Relaxed);
                self.reject(sequence, stored.rejected);
                self.pop_through(sequence);
                false
            }
            // Its answer was lost, so how many of its events were new is not known: all that were sent count.
            Outcome::Repeated(_) => {
                self.pop_stored(sequence);
                false
            }
            Outcome::Gap(gap) => {
                self.pop_stored(gap.last);
                self.stored = gap.last;
                true
            }
            Outcome::Refused(problem) => {
                self.refuse(sequence, problem);
                true
            }
        }
    }

    /// Forgets the batches up to `sequence`, which the server has.
    fn pop_through(&mut self, sequence: u64) -> u64 {
        let mut events = 0;
        while let Some(batch) = self.batches.pop_front_if(|batch| batch.sequence <= sequence) {
            self.room.add_permits(batch.bytes);
            self.sent = self.sent.saturating_sub(1);
            if let Some(sent_at) = batch.sent_at {
                self.shared.latency.record(sent_at.elapsed());
            }
            events += batch.events;
            self.stored = batch.sequence;
        }
        self.tell();
        events
    }

    fn pop_stored(&mut self, sequence: u64) {
        let events = self.pop_through(sequence);
        self.shared.accepted.fetch_add(events, Ordering::Relaxed);
    }

    /// Keeps the events of a batch that rules of the table rejected.
    fn reject(&mut self, sequence: u64, rejected: Vec<wire::ingest_response::Rejected>) {
        let batch = self.batches.iter().find(|batch| batch.sequence == sequence);
        let Some(batch) = batch.filter(|_| !rejected.is_empty()) else { return };
        self.shared.rejected.fetch_add(rejected.len() as u64, Ordering::Relaxed);
        let events = decoded(&batch.batch).events;
        let mut kept = self.shared.rejections.lock();
        for wire::ingest_response::Rejected { row, reason } in rejected {
            let event = usize::try_from(row).ok().and_then(|row| events.get(row));
            kept.extend(event.map(|event| Rejected { event: event.clone().into(), reason }));
        }
        let too_many = kept.len().saturating_sub(REJECTIONS_MAX);
        kept.drain(..too_many);
    }

    /// Forgets a batch that the table cannot take.
    fn refuse(&mut self, sequence: u64, problem: wire::Problem) {
        let Some(at) = self.batches.iter().position(|batch| batch.sequence == sequence) else { return };
        let Some(Batch { batch, events, bytes, .. }) = self.batches.remove(at) else { return };
        self.room.add_permits(bytes);
        self.shared.refused.fetch_add(events, Ordering::Relaxed);
        let batch = decoded(&batch);
        let mut refusals = self.shared.refusals.lock();
        if refusals.len() >= REFUSALS_MAX {
            refusals.remove(0);
        }
        refusals.push(Refused { batch, problem });
        drop(refusals);
        self.tell();
    }

    /// Tells those who wait for batches that are done.
    fn tell(&mut self) {
        let first = self.batches.front().map_or(u64::MAX, |batch| batch.sequence);
        while let Some((_, done)) = self.flushes.pop_front_if(|(sequence, _)| *sequence < first) {
            let _ = done.send(());
        }
    }
}
