//! The request of an ingest stream with its batch as bytes.

use prost::bytes::Bytes;

/// As `IngestRequest` of `events.proto`, and the same on the wire. The batch stays encoded: a client encodes it once however often
/// it sends it, and a server reads it into columns without an object for each event.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IngestRequest {
    /// Who numbers the batches. Empty: they have no numbers.
    #[prost(string, tag = "1")]
    pub producer: String,
    /// Number of the batch, from 1.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    /// Number of the batch before it that was sent for this table and not refused; 0 for the first one.
    #[prost(uint64, tag = "3")]
    pub previous: u64,
    /// An encoded `EventBatch`.
    #[prost(bytes = "bytes", tag = "4")]
    pub batch: Bytes,
}
