//! Profiles: what is known of each user, column by column the last value that was given.
//!
//! The profiles of an event table are kept in a table beside it, in which each update is a row: user, time, the columns
//! that it sets, and the names of those that it unsets. Durability, duplicates, deletion and compaction are those of any
//! table; a profile is what is left of a user's rows when the last one wins, column by column, by time and then by arrival.
//!
//! - `update`: from a batch of updates to rows of that table.
//! - `latest`: from its segments to the values that count, now or as of a time. The same code applies what arrives later.
//! - `scan`: profiles as rows of Arrow, one a user.
//! - `index`: values kept in memory, and which users of the event table satisfy a condition over them.

mod answer;
mod arrays;
mod evaluate;
mod index;
mod kept;
mod kept_shard;
mod latest;
mod scan;
mod texts;
mod update;

pub use answer::ProfileAnswer;
pub(crate) use index::{ProfileIndex, Sides};
pub use scan::ProfileScan;
pub(crate) use scan::{ShardProfiles, relation_schema};
pub use update::{PROFILE_EVENT, ProfileBatch, ProfileColumn, UNSET_COLUMN, UPDATED_AT, is_reserved};
pub(crate) use update::{unset_names, unset_text};

#[cfg(test)]
mod tests;
