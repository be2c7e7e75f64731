//! Rules over single batches.
