//! trodden-proto
