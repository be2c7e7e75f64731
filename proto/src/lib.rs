//! The wire types and gRPC services of trodden, generated from the files under `proto/`. Nothing else is in this crate but
//! [`encoded`], the one message that is not generated: checking, batching and converting are the business of those who use it.

pub mod encoded;

/// Version 1 of the wire types.
pub mod v1 {
    #![expect(missing_docs, reason = "generated: the accessors of oneof fields have no comment of their own")]
    include!(concat!(env!("OUT_DIR"), "/trodden.v1.rs"));

    pub use crate::encoded::IngestRequest;

    /// The files that the types were generated from, as an encoded `FileDescriptorSet`: for gRPC reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/trodden.v1.binpb"));
}
