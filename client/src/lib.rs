//! trodden-client
