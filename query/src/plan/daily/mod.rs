//! Users and events by day, as general SQL asks for them: `SELECT ts::DATE, event, count(DISTINCT user_id), count(*) … GROUP BY 1, 2`.
//!
//! Where the days are those of the table's bitmaps and nothing but names and whole days is asked for, [`rule`] puts a
//! [`table`] in place of the aggregation, whose rows are counts that need no event to be read.

mod rule;
mod table;

pub(crate) use rule::DailyRule;
pub(crate) use table::DailyTable;
