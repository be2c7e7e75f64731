//! What an operator sees: metrics, the log, traces.

pub mod log;
pub mod metrics;
