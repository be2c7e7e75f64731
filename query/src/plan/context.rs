//! What DataFusion's SQL planner may look up, for one statement.

use super::catalog::{CATALOG, Names, SCHEMA, View, normalised};
use super::relation::OPERATORS;
use crate::error::{Error, ErrorKind, Result, closest, listed};
use crate::functions::checked;
use crate::profiles::relation::ProfileTable;
use crate::sql::identifiers::respell;
use crate::tags::resolve::{at_call, resolve};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableFunctionArgs;
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::config::ConfigOptions;
use datafusion::common::file_options::file_type::FileType;
use datafusion::common::{DFSchema, TableReference, plan_datafusion_err};
use datafusion::datasource::file_format::format_as_file_type;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::{Query, Statement as Ast};
use futures::FutureExt;
use parking_lot::Mutex;
use std::sync::Arc;

type DfResult<T> = datafusion::common::Result<T>;

/// Plans statements: DataFusion's planner with the names of one statement.
pub(crate) struct StatementContext<'a> {
    pub(crate) state: &'a SessionState,
    pub(crate) names: &'a Names,
    /// Views that are being planned, one inside the other.
    views: Mutex<Vec<String>>,
}

impl<'a> StatementContext<'a> {
    pub(crate) fn new(state: &'a SessionState, names: &'a Names) -> Self {
        Self { state, names, views: Mutex::default() }
    }

    /// The logical plan of a statement.
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub(crate) fn plan(&self, mut statement: DfStatement) -> Result<LogicalPlan> {
        loop {
            let planned = self
                .plan_as_written(statement.clone())
                .and_then(|plan| resolve(plan, self.names).map_err(|error| at_call(error, &statement)));
            // Every turn quotes at least one identifier, so there is a last one.
            match &planned {
                Err(error)
                    if error
                        .spelling()
                        .is_some_and(|(missing, found)| respell(&mut statement, missing, found, error.span())) => {}
                _ => return planned,
            }
        }
    }

    fn plan_as_written(&self, statement: DfStatement) -> Result<LogicalPlan> {
        let options = &self.state.config_options().sql_parser;
        let options = ParserOptions {
            parse_float_as_decimal: options.parse_float_as_decimal,
            enable_ident_normalization: options.enable_ident_normalization,
            enable_options_value_normalization: options.enable_options_value_normalization,
            support_varchar_with_length: options.support_varchar_with_length,
            map_string_types_to_utf8view: options.map_string_types_to_utf8view,
            collect_spans: options.collect_spans,
            default_null_ordering: options.default_null_ordering.as_str().into(),
        };
        Ok(SqlToRel::new_with_options(self, options).statement_to_plan(statement)?)
    }

    /// The logical plan of a query.
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub(crate) fn plan_query(&self, query: Box<Query>) -> Result<LogicalPlan> {
        self.plan(DfStatement::Statement(Box::new(Ast::Query(query))))
    }

    fn view(&self, name: &str, view: View) -> Result<Arc<dyn TableSource>> {
        if self.views.lock().iter().any(|outer| outer == name) {
            return Err(Error::invalid(format!("view '{name}' reads itself")).with_hint("drop it and make it anew"));
        }
        self.views.lock().push(name.to_string());
        let text = view.query.to_string();
        let plan = self.plan_query(view.query);
        self.views.lock().pop();
        let mut plan =
            plan.map_err(|error| {
                let message = format!("view '{name}': {}", error.message());
                Error::new(error.kind(), message).with_hint(error.hint().map_or_else(
                    || format!("DROP VIEW {name} or make it anew with CREATE OR REPLACE VIEW"),
                    String::from,
                ))
            })?;
        if !view.columns.is_empty() {
            let columns = plan.schema().columns().into_iter().zip(&view.columns);
            let named: Vec<Expr> = columns.map(|(column, name)| Expr::Column(column).alias(normalised(name))).collect();
            plan = LogicalPlanBuilder::from(plan).project(named)?.build()?;
        }
        Ok(provider_as_source(Arc::new(ViewTable::new(plan, Some(text)))))
    }

    fn source(&self, reference: &TableReference) -> Result<Arc<dyn TableSource>> {
        let schema = reference.schema().unwrap_or(SCHEMA);
        if reference.catalog().unwrap_or(CATALOG) != CATALOG || schema != SCHEMA {
            return self.foreign(reference);
        }
        let name = reference.table();
        let catalog = &self.names.catalog;
        let Some(found) = catalog.resolve(name) else {
            let table = catalog.profiles_of(name).ok_or_else(|| catalog.no_such_table(name))?;
            return Ok(provider_as_source(Arc::new(ProfileTable::of(&*self.names.pinned(&table)?)?)));
        };
        let view = catalog.views.read().get(&found).cloned();
        match view {
            Some(view) => self.view(&found, view),
            None => Ok(provider_as_source(self.names.pinned(&found)?)),
        }
    }

    /// `information_schema` and what else DataFusion keeps.
    fn foreign(&self, reference: &TableReference) -> Result<Arc<dyn TableSource>> {
        let missing = || {
            let hint = "tables have no schema; information_schema has tables, columns and views";
            Error::new(ErrorKind::NotFound, format!("no table is called '{reference}'")).with_hint(hint)
        };
        let schema = self.state.schema_for_ref(reference.clone()).map_err(|_| missing())?;
        // These tables are made on the spot, so their futures are ready at once.
        let table = schema.table(reference.table()).now_or_never().transpose()?.flatten();
        table.map(provider_as_source).ok_or_else(missing)
    }
}

impl ContextProvider for StatementContext<'_> {
    fn get_table_source(&self, name: TableReference) -> DfResult<Arc<dyn TableSource>> {
        Ok(self.source(&name)?)
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.state.relation_planners()
    }

    fn get_file_type(&self, ext: &str) -> DfResult<Arc<dyn FileType>> {
        let factory = self.state.get_file_format_factory(ext);
        let factory = factory.ok_or_else(|| plan_datafusion_err!("files of format '{ext}' are not written"))?;
        Ok(format_as_file_type(factory))
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> DfResult<Arc<dyn TableSource>> {
        let functions = self.state.table_functions();
        let Some(function) = functions.get(name) else {
            let known: Vec<&str> = functions.keys().map(String::as_str).chain(OPERATORS).collect();
            let near = closest(name, known.iter().copied()).map(|near| format!("did you mean '{near}'?"));
            let hint = near.unwrap_or_else(|| format!("there are {}", listed(known)));
            let message = format!("no operator or table function is called '{name}'");
            return Err(Error::new(ErrorKind::NotFound, message).with_hint(hint).into());
        };
        let context = SimplifyContext::builder().with_config_options(Arc::clone(self.state.config_options())).build();
        let simplifier = ExprSimplifier::new(context);
        let schema = DFSchema::empty();
        let simplified =
            args.into_iter().map(|arg| simplifier.simplify(checked(simplifier.coerce(arg, &schema)?, &schema)?));
        let args = simplified.collect::<DfResult<Vec<_>>>()?;
        let provider = function.create_table_provider_with_args(TableFunctionArgs::new(&args, self.state))?;
        Ok(provider_as_source(provider))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> DfResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}
