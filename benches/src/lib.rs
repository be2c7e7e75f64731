//! trodden-benches
