//! Where bytes are kept: the only part of the engine that reads and writes files.

mod blob;

pub use blob::Blob;
