//! The behaviour operators against naive models that are written from the definitions alone.

mod calendar;
mod case;
mod funnel_big;
mod funnel_model;
mod funnel_partial;
mod funnel_rows;
mod funnel_sql;
mod funnel_traps;
mod funnel_vs_model;
mod recommend_case;
mod recommend_lists;
mod recommend_model;
mod recommend_real;
mod recommend_state;
mod recommend_vs_model;
mod retention_case;
mod retention_days;
mod retention_model;
mod retention_partial;
mod retention_sql;
mod retention_vs_model;
mod step_rows;
