//! The session of DataFusion that statements start from.

use crate::functions::{self, DistinctBesideSums};
use crate::plan::catalog::{CATALOG, Catalog, LiveSchema, SCHEMA};
use crate::plan::daily::DailyRule;
use crate::plan::lower::OperatorLowering;
use crate::plan::recommend::LiveStates;
use crate::plan::relation::OperatorPlanner;
use crate::plan::retention::merge_rule::MergedCohorts;
use crate::tags::function::{Asks, TagFunction};
use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, Session,
};
use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::config::SessionConfig;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, TrackConsumersPool, UnboundedMemoryPool};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// DataFusion's planner, which knows the operators.
#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(OperatorLowering)]);
        planner.create_physical_plan(plan, session).await
    }
}

/// The state that every statement copies.
pub(crate) fn base_state(catalog: &Arc<Catalog>, threads: usize, live: Arc<LiveStates>) -> SessionState {
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_extension(live);
    config.options_mut().sql_parser.collect_spans = true;
    // What operators say of the number of their rows is an estimate, but good enough not to divide a few among threads.
    config.options_mut().execution.use_row_number_estimates_to_optimize_partitioning = true;
    // Operators look at the order of what they read.
    config.options_mut().sql_parser.enable_subquery_sort_elimination = false;
    let schemas = MemoryCatalogProvider::new();
    let lists = MemoryCatalogProviderList::new();
    // Registering in a new list cannot fail.
    let registered = schemas.register_schema(SCHEMA, Arc::new(LiveSchema(Arc::clone(catalog))));
    debug_assert!(registered.is_ok());
    lists.register_catalog(CATALOG.into(), Arc::new(schemas));
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_optimizer_rules(optimizer_rules())
        .with_catalog_list(Arc::new(lists))
        .with_relation_planners(vec![Arc::new(OperatorPlanner)])
        .with_query_planner(Arc::new(Planner))
        .build();
    functions::register(&mut state);
    for asks in [Asks::Has, Asks::Value] {
        // None is called so.
        let registered = state.register_udf(TagFunction::new(asks).into_udf());
        debug_assert!(registered.is_ok_and(|before| before.is_none()));
    }
    state
}

/// Those of DataFusion, of which one takes aggregations apart, here without sums that do not fit; and that of counts by day:
/// after constants are found, and before aggregations are taken apart.
fn optimizer_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let exact: Arc<dyn OptimizerRule + Send + Sync> = Arc::new(DistinctBesideSums::default());
    rules.iter_mut().filter(|rule| rule.name() == exact.name()).for_each(|rule| *rule = Arc::clone(&exact));
    let simplified = rules.iter().position(|rule| rule.name() == "simplify_expressions");
    let behind = simplified.map_or(0, |place| place + 1);
    rules.insert(behind, Arc::new(DailyRule));
    rules.insert(behind, Arc::new(MergedCohorts));
    rules
}

/// The environment of one statement: that of the session, with memory of its own.
pub(crate) fn runtime_of(state: &SessionState, limit_bytes: Option<usize>) -> Arc<RuntimeEnv> {
    let pool: Arc<dyn MemoryPool> = match limit_bytes {
        Some(limit) => {
            Arc::new(TrackConsumersPool::new(GreedyMemoryPool::new(limit), NonZeroUsize::MIN.saturating_add(2)))
        }
        None => Arc::new(UnboundedMemoryPool::default()),
    };
    let mut runtime = state.runtime_env().as_ref().clone();
    runtime.memory_pool = pool;
    Arc::new(runtime)
}
