//! trodden-server
