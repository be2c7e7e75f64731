//! Random mutations of what people type and load: an error or an answer, never a panic, and never a database that is
//! broken afterwards. Deterministic: `FUZZ_SEED` chooses the run, `FUZZ_CASES` its length.

mod import;
mod mutate;
mod sql;
