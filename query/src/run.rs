//! Running one statement.

use crate::commands;
use crate::database::{QueryOptions, Shared, Statement};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::cache::{Meanings, may_be_kept};
use crate::plan::catalog::{Names, normalised, plain_name};
use crate::plan::context::StatementContext;
use crate::plan::stoppable::stoppable;
use crate::profiles::condition;
use crate::result::QueryResult;
use crate::session::runtime_of;
use crate::sql::script::RawStatement;
use crate::sql::statement::Command;
use crate::tags::bind::bind;
use crate::tags::resolve::at_call;
use crate::warnings::StatementState;
use datafusion::common::ParamValues;
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{self, Statement as Ast};
use std::sync::Arc;

/// One run of one statement: its session, its view of the tables, its options.
pub(crate) struct Runner<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) state: SessionState,
    pub(crate) names: Names,
    pub(crate) statement: Arc<StatementState>,
    /// The session's, with the memory of this statement.
    runtime: Arc<RuntimeEnv>,
    pub(crate) parameters: Vec<ScalarValue>,
}

/// The plan of a query.
pub(crate) enum Planned {
    /// Optimized, and kept for the next time.
    Optimized(LogicalPlan),
    /// Not optimized: it holds for this moment only.
    OfThisMoment(LogicalPlan),
}

impl<'a> Runner<'a> {
    pub(crate) fn new(shared: &'a Shared, options: QueryOptions) -> Self {
        let statement = Arc::new(StatementState::new(&options.cancel));
        let limit = options.memory_limit_bytes.or(shared.options.memory_limit_bytes);
        let runtime = runtime_of(&shared.state, limit);
        // A copy as it is: a session that is built has every function registered anew, which takes longer than planning.
        let mut state = shared.state.clone();
        state.mark_start_execution();
        state.config_mut().set_extension(Arc::clone(&statement));
        let names = Names::new(Arc::clone(&shared.catalog));
        Self { shared, state, names, statement, runtime, parameters: options.parameters }
    }

    /// The same statement at a later moment: with the tables as they are now, and the clock.
    pub(crate) fn fresh(&self) -> Self {
        let mut state = self.state.clone();
        state.mark_start_execution();
        let names = Names::new(Arc::clone(&self.shared.catalog));
        let (statement, runtime) = (Arc::clone(&self.statement), Arc::clone(&self.runtime));
        Self { shared: self.shared, state, names, statement, runtime, parameters: self.parameters.clone() }
    }

    /// The clock of the statement, what `now()` says in it, in microseconds since 1970.
    pub(crate) fn clock_us(&self) -> i64 {
        let now = self.state.execution_props().query_execution_start_time;
        now.map_or(0, |now| now.timestamp_micros())
    }

    /// What the nodes of a plan run in.
    pub(crate) fn task_context(&self) -> Arc<TaskContext> {
        Arc::new(TaskContext::from(&self.state).with_runtime(Arc::clone(&self.runtime)))
    }

    /// Check a statement without running it.
    pub(crate) fn check(&self, statement: &Statement) -> Result<()> {
        match &statement.command {
            Command::Relational(parsed) => self.logical(parsed).map(drop),
            _ => Ok(()),
        }
    }

    pub(crate) async fn run(self, statement: &Statement) -> Result<QueryResult> {
        self.statement.check_cancelled()?;
        self.enforce_retention().await;
        match &statement.command {
            Command::Relational(parsed) => self.relational(parsed, &statement.raw).await,
            Command::Prepare { name, statement: inner } => self.prepare(name, inner, statement),
            Command::Execute { name, parameters } => self.execute(name, parameters).await,
            Command::Deallocate(name) => {
                let found = self.shared.prepared.lock().remove(&normalised(name));
                found.map(drop).ok_or_else(|| self.no_such_statement(&normalised(name)))?;
                Ok(QueryResult::done(self.statement, "DEALLOCATE"))
            }
            _ => commands::run(self, statement).await,
        }
    }

    /// The plan of a statement of DataFusion's.
    pub(crate) fn logical(&self, parsed: &DfStatement) -> Result<LogicalPlan> {
        StatementContext::new(&self.state, &self.names).plan(parsed.clone())
    }

    async fn relational(self, parsed: &DfStatement, raw: &RawStatement) -> Result<QueryResult> {
        if let DfStatement::Statement(ast) = parsed {
            match &**ast {
                Ast::Insert(insert) => return commands::insert::run(self, insert).await,
                Ast::Query(_) => {
                    let physical = self.query(parsed, raw).await?;
                    let stream = execute_stream(physical, self.task_context())?;
                    return Ok(QueryResult::stream(stream, self.statement, "SELECT"));
                }
                _ => {}
            }
        }
        let plan = self.logical(parsed)?;
        let tag = tag(&plan);
        let mut stream = self.execute_plan(plan).await?;
        if let DfStatement::CopyTo(copy) = parsed {
            stream = commands::copy::explained(stream, copy.target.clone());
        }
        Ok(QueryResult::stream(stream, self.statement, tag))
    }

    /// The plan of a query: one that is kept from the last time, or a new one, which is kept where that is possible.
    async fn query(&self, parsed: &DfStatement, raw: &RawStatement) -> Result<Arc<dyn ExecutionPlan>> {
        let optimized = match self.planned(parsed, raw)? {
            Planned::Optimized(plan) => plan,
            Planned::OfThisMoment(plan) => return self.physical(plan).await,
        };
        let bound = self.bound(self.with_parameters(optimized)?).map_err(|error| at_call(error, parsed))?;
        self.lowered(bound).await
    }

    /// As [`Runner::query`], before anything of this statement is in it.
    pub(crate) fn planned(&self, parsed: &DfStatement, raw: &RawStatement) -> Result<Planned> {
        let meanings = Meanings::now(&self.names);
        if let Some(plan) = self.shared.plans.get(raw, &self.names)? {
            return Ok(Planned::Optimized(plan));
        }
        let planned = self.logical(parsed)?;
        if !may_be_kept(raw, &planned)? {
            return Ok(Planned::OfThisMoment(planned));
        }
        let optimized = self.state.optimize(&planned)?;
        self.shared.plans.put(raw, meanings, &planned, &optimized)?;
        Ok(Planned::Optimized(optimized))
    }

    /// The plan with the users of the tags and of the conditions on profiles that it asks for, as of the statement's snapshots.
    ///
    /// # Errors
    /// `NotFound` for a tag that was dropped meanwhile; `InvalidInput`, `Corrupt`.
    pub(crate) fn bound(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        condition::bind(bind(plan, &self.names)?, &self.names, &self.state)
    }

    /// The physical plan of an optimized one in which nothing is left open.
    pub(crate) async fn lowered(&self, plan: LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        let physical = self.state.query_planner().create_physical_plan(&plan, &self.state).await?;
        Ok(stoppable(physical, &self.statement)?)
    }

    /// Put the parameters in, refuse what this session does not do, and start.
    pub(crate) async fn execute_plan(
        &self,
        plan: LogicalPlan,
    ) -> Result<datafusion::execution::SendableRecordBatchStream> {
        let physical = self.physical(plan).await?;
        Ok(execute_stream(physical, self.task_context())?)
    }

    pub(crate) async fn physical(&self, plan: LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        refuse_unoffered(&plan)?;
        let plan = self.bound(self.with_parameters(plan)?)?;
        let physical = self.state.create_physical_plan(&plan).await?;
        Ok(stoppable(physical, &self.statement)?)
    }

    /// The plan with values in place of `$1`, `$2`, ….
    ///
    /// # Errors
    /// `InvalidInput` for a parameter that was given no value.
    pub(crate) fn with_parameters(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        match plan.get_parameter_names()?.into_iter().min() {
            None => Ok(plan),
            Some(missing) if self.parameters.is_empty() => {
                let error = Error::invalid(format!("parameter {missing} has no value"));
                Err(error.with_hint("give a value for each $n"))
            }
            Some(_) => Ok(plan.with_param_values(ParamValues::from(self.parameters.clone()))?),
        }
    }

    pub(crate) fn no_such_statement(&self, name: &str) -> Error {
        Error::new(ErrorKind::NotFound, format!("no statement is prepared as '{name}'"))
            .with_hint("PREPARE name AS SELECT …")
    }

    fn prepare(self, name: &ast::Ident, inner: &Ast, statement: &Statement) -> Result<QueryResult> {
        let command = Command::Relational(Box::new(DfStatement::Statement(Box::new(inner.clone()))));
        let prepared = Statement { command, raw: statement.raw.clone() };
        self.check(&prepared)?;
        let name = normalised(name);
        let mut all = self.shared.prepared.lock();
        if all.contains_key(&name) {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("a statement is prepared as '{name}' already"))
                .with_hint(format!("DEALLOCATE {name} first")));
        }
        all.insert(name, prepared);
        drop(all);
        Ok(QueryResult::done(self.statement, "PREPARE"))
    }

    async fn execute(mut self, name: &ast::ObjectName, parameters: &[ast::Expr]) -> Result<QueryResult> {
        let name = plain_name(name)?;
        let found = self.shared.prepared.lock().get(&name).cloned();
        let prepared = found.ok_or_else(|| self.no_such_statement(&name))?;
        self.parameters = parameters.iter().map(|value| self.constant(value)).collect::<Result<_>>()?;
        let Command::Relational(parsed) = &prepared.command else {
            return Err(Error::internal("only relational statements are prepared"));
        };
        self.relational(parsed, &prepared.raw).await
    }

    /// The value of an expression without columns.
    pub(crate) fn constant(&self, expr: &ast::Expr) -> Result<ScalarValue> {
        if let ast::Expr::Value(value) = expr
            && let ast::Value::Placeholder(name) = &value.value
        {
            let index = name.trim_start_matches('$').parse::<usize>().ok().and_then(|n| n.checked_sub(1));
            let given = index.and_then(|index| self.parameters.get(index)).cloned();
            return given.ok_or_else(|| Error::invalid(format!("parameter {name} has no value")).at(value.span));
        }
        let schema = datafusion::common::DFSchema::empty();
        let planned = self.state.create_logical_expr(&expr.to_string(), &schema)?;
        let value = match planned {
            Expr::Literal(value, _) => value,
            other => {
                let physical = self.state.create_physical_expr(other, &schema)?;
                let empty = datafusion::arrow::array::RecordBatch::try_new_with_options(
                    Arc::new(datafusion::arrow::datatypes::Schema::empty()),
                    vec![],
                    &datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(1)),
                );
                let array =
                    physical.evaluate(&empty.map_err(datafusion::common::DataFusionError::from)?)?.into_array(1)?;
                ScalarValue::try_from_array(&array, 0)?
            }
        };
        Ok(value)
    }
}

/// Refuse what DataFusion plans and this database does not do.
pub(crate) fn refuse_unoffered(plan: &LogicalPlan) -> Result<()> {
    match plan {
        LogicalPlan::Ddl(_) | LogicalPlan::Statement(_) => {
            Err(Error::unsupported(format!("this statement is not offered: {}", plan.display())))
        }
        _ => Ok(()),
    }
}

fn tag(plan: &LogicalPlan) -> &'static str {
    match plan {
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => "EXPLAIN",
        LogicalPlan::Copy(_) => "COPY",
        LogicalPlan::Dml(_) => "INSERT",
        _ => "SELECT",
    }
}
