//! Operators in plans: read from the text, carried through the optimizer, lowered onto tables or rows.
//!
//! [`relation`] sees `FUNNEL(…)` where a table may stand; [`arguments`] and [`funnel_args`] read the call;
//! [`funnel_node`] is the logical node; [`lower`] picks between [`funnel_leaf`] (an event table itself, [`peel`], read by
//! [`table_scan`]) and [`funnel_general`] (any rows); both run the kernel by [`funnel_worker`], gather [`funnel_results`],
//! and make rows of them by [`funnel_finish`]. [`row_order`] keeps the order of an input that has one, and [`stoppable`]
//! makes every plan end when it is cancelled.

pub(crate) mod arguments;
pub(crate) mod catalog;
pub(crate) mod columns;
pub(crate) mod constants;
pub(crate) mod context;
pub(crate) mod exec;
pub(crate) mod floats;
pub(crate) mod funnel_args;
pub(crate) mod funnel_finish;
pub(crate) mod funnel_general;
pub(crate) mod funnel_leaf;
pub(crate) mod funnel_node;
pub(crate) mod funnel_results;
pub(crate) mod funnel_worker;
pub(crate) mod intern;
pub(crate) mod lower;
pub(crate) mod peel;
pub(crate) mod relation;
pub(crate) mod row_order;
pub(crate) mod stoppable;
pub(crate) mod table_scan;
