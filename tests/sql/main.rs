//! Everything that goes through SQL: scripts with their answers, the reference page, plans, errors, and the two ways of
//! the funnel against each other.

mod compare;
mod conditions;
mod copy;
mod daily;
mod deep;
mod docs;
mod errors;
mod files;
mod insert;
mod kept_plans;
mod layouts;
mod live;
mod merged_cohorts;
mod mistakes;
mod old_segments;
mod path_layouts;
mod paths;
mod plans;
mod profiles;
mod recommend;
mod rules;
mod segments;
mod sessions;
mod support;
mod tag_mistakes;
mod tags;
