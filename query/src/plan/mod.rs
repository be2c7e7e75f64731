//! Operators in plans: read from the text, carried through the optimizer, lowered onto tables or rows.
//!
//! [`relation`] sees `FUNNEL(…)` where a table may stand; [`arguments`] sorts the call, [`among`] restricts its users,
//! [`compare`] asks it of two sides, and [`planner`] plans its expressions, of which [`one_event`] refuses those that an event
//! alone has no value for; [`node`] is the logical node;
//! [`lower`] picks between [`leaf`] (an event table itself, [`peel`], read by [`table_scan`]) and [`general`] (any rows,
//! [`gathered`]); [`groups`] numbers `by` values, [`merged_groups`] those of all threads, [`day_bitmaps`] tells who was active
//! when without reading an event, and [`answer`] helps to make rows of what was found. What an operator adds to all this is an
//! [`operator::Operator`]: [`funnel`], [`path`], [`retention`], [`lifecycle`], [`stickiness`], [`rfm`], [`sessions`],
//! [`segment`], [`recommend`].
//!
//! [`cache`] has the plans of questions that were asked before. [`row_order`] keeps the order of an input that has one, and
//! [`stoppable`] makes every plan end when it is cancelled.

pub(crate) mod relation;
pub(crate) mod arguments;
mod among;
pub(crate) mod compare;
pub(crate) mod planner;
mod one_event;
pub(crate) mod constants;
pub(crate) mod operator;
pub(crate) mod node;
pub(crate) mod lower;
pub(crate) mod peel;
pub(crate) mod leaf;
pub(crate) mod table_scan;
pub(crate) mod general;
pub(crate) mod gathered;
pub(crate) mod groups;
pub(crate) mod intern;
pub(crate) mod merged_groups;
pub(crate) mod daily;
mod day_bitmaps;
pub(crate) mod answer;
pub(crate) mod columns;
pub(crate) mod floats;
pub(crate) mod row_order;
pub(crate) mod exec;
pub(crate) mod stoppable;
pub(crate) mod catalog;
pub(crate) mod context;
pub(crate) mod cache;

pub(crate) mod funnel;
pub(crate) mod lifecycle;
pub(crate) mod path;
pub(crate) mod recommend;
pub(crate) mod retention;
pub(crate) mod rfm;
pub(crate) mod segment;
pub(crate) mod sessions;
pub(crate) mod stickiness;
