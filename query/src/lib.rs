//! trodden-query
