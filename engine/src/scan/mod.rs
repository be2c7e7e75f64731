//! Which events of which users does this question need? Two ways to read a snapshot.
//!
//! - [`behavior`]: each user's events in total order, reduced to a bit mask of the conditions that they satisfy. The
//!   operators read this way: bitmaps pick the users, event codes pick the rows, and only then times are decoded. Where a
//!   user's events all lie in one block, an operator that needs few of them gets bits instead ([`UserBits`]): for each
//!   condition one a row, among which it looks for the next or the last.
//! - [`rows`]: plain rows as Arrow batches, for general SQL.
//!
//! Both `bind` their conditions to each segment first: a text comparison becomes a table over the segment's
//! dictionary, so that no text is compared per row. `candidates` asks the bitmap indexes which users can matter, and
//! says whether the answer is exact or a superset. [`report`] counts what was read and what was skipped.

mod active_days;
pub mod behavior;
pub mod batch;
mod bind;
mod bound;
mod by_users;
mod bounds;
mod candidates;
mod code_words;
mod column;
mod condition_bits;
mod daily;
mod day_edges;
mod day_users;
mod doers;
mod evaluate;
mod event_rows;
mod first_days;
mod key_reader;
pub mod keys;
mod merge;
mod morsel;
pub mod report;
pub mod rows;
mod selection;
mod spare;
pub(crate) mod test;
mod times;
mod users_with;

pub use crate::segment::NO_DAY;
pub use active_days::{ActiveDays, active_days};
pub use behavior::{BehaviorScan, UserEvents, Worker, scan_user_bits, scan_users};
pub use bounds::Bounds;
pub use candidates::{UserSet, matching_users};
pub use condition_bits::UserBits;
pub use daily::{Daily, DailyByName, DailyCount, daily, daily_counts};
pub use day_users::{
    DayUsers, SEVERAL_VALUES, covers_days, covers_values, in_pieces, satisfying_names, users_by_day, values_by_user,
};
pub use doers::{Amount, Question, doers};
pub use first_days::first_days;
pub use keys::{KEY_NULL, KeyCodes, KeySpace, Keys};
pub use report::ScanReport;
pub use rows::{RowMorsel, RowPlan, RowScan, plan_rows};
pub(crate) use spare::Spare;
pub use times::Times;
pub use users_with::users_with;
