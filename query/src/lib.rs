//! trodden-query
pub mod behavior;
