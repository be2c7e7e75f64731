//! trodden-tests
