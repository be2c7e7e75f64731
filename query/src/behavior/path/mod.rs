//! PATH: which ways users take through their sessions.
//!
//! ```text
//! nodes, masks, times  ->  PathKernel  ->  ways, transitions  ->  Tally (merge, merge, …)  ->  TallyRow
//!                          per user                               counts by stops            the top and the rest
//! ```
//!
//! [`PathSpec`] says what each argument means where the words of the query language leave a choice.

mod kernel;
mod keys;
mod matrix;
mod ranking;
mod row_ways;
mod sessions;
mod spec;
mod tally;
mod transitions;
mod ways;

pub use kernel::{END, EXCLUDE, NO_CODE, PathKernel, START, Transition, UserInput, Way};
pub use keys::{Counted, EdgeKey, LEAVING, edges_of_way, path_key, transition_key};
pub use matrix::{ListedEvents, NamedEvents, TimedNodes, TransitionMatrix};
pub use ranking::{TallyRow, rank};
pub use row_ways::{ListedRows, PathRows};
pub(in crate::behavior) use sessions::Division;
pub use spec::{Anchor, CUT, PathSpec, STEPS_MAX, Sessions, TOP_MAX};
pub use tally::{Tally, Wanted};
