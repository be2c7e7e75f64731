//! What the protocols of SDKs say: pure functions from the text of a request to a `Delivery`.
//!
//! `Delivery`: super::delivery::Delivery

pub mod segment;
pub mod posthog;
pub mod amplitude;
pub mod mixpanel;
pub mod plain;
mod traits;
mod when;
