//! What a statement asks for and answers, without running it: what a driver has to know when it prepares one.

use crate::commands::{columns_of_answer, insert};
use crate::database::{Database, QueryOptions, Statement};
use crate::error::Result;
use crate::plan::catalog::plain_name;
use crate::run::{Planned, Runner, refuse_unoffered};
use crate::sql::script::RawStatement;
use crate::sql::statement::Command;
use crate::sql::tags::TagCommand;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{Insert, Query, SetExpr, Statement as Ast};
use std::sync::Arc;

/// What a statement asks for and answers.
#[derive(Debug, Clone)]
pub struct Description {
    /// The columns of its answer, with the names and types that running it gives. Whether one can be NULL is known for
    /// sure only of the rows. None for statements that have no rows, such as `CREATE TABLE`.
    pub schema: SchemaRef,
    /// The types of `$1`, `$2`, …, as far as the statement tells them. `None`: any type that fits where it stands.
    pub parameters: Vec<Option<DataType>>,
    /// It reads and changes nothing.
    pub is_query: bool,
}

impl Statement {
    /// Whether it only reads. `EXECUTE` may do either, and counts as a change here; [`Database::describe`] knows more.
    pub fn is_query(&self) -> bool {
        match &self.command {
            Command::Relational(parsed) => reads(parsed),
            Command::ShowTables
            | Command::ShowRecommenders
            | Command::ShowAliases(_)
            | Command::Describe(_)
            | Command::Tag(TagCommand::Show { .. }) => true,
            _ => false,
        }
    }

    /// How many parameters `$1`, `$2`, … it has.
    pub fn parameters(&self) -> usize {
        self.raw.parameters
    }
}

impl Database {
    /// What a statement asks for and answers, without running it. `parameters` are the values of `$1`, `$2`, …, where they
    /// are known already: types of the answer may depend on theirs.
    ///
    /// # Errors
    /// What is wrong with the statement, with its place: what planning it finds.
    pub fn describe(&self, statement: &Statement, parameters: &[ScalarValue]) -> Result<Description> {
        let options = QueryOptions { parameters: parameters.to_vec(), ..QueryOptions::default() };
        Runner::new(self.shared(), options).describe(statement)
    }
}

impl Runner<'_> {
    fn describe(mut self, statement: &Statement) -> Result<Description> {
        let known = Description {
            schema: Arc::new(columns_of_answer(&statement.command)),
            parameters: vec![None; statement.raw.parameters],
            is_query: statement.is_query(),
        };
        match &statement.command {
            Command::Relational(parsed) => self.describe_relational(parsed, &statement.raw, known),
            Command::Execute { name, parameters } => {
                let name = plain_name(name)?;
                let found = self.shared.prepared.lock().get(&name).cloned();
                let prepared = found.ok_or_else(|| self.no_such_statement(&name))?;
                let values: Result<Vec<ScalarValue>> = parameters.iter().map(|value| self.constant(value)).collect();
                // Values that are missing yet may come before it is run.
                self.parameters = if self.parameters.is_empty() { values.unwrap_or_default() } else { values? };
                let described =
                    self.describe(&Statement { raw: RawStatement { parameters: 0, ..prepared.raw }, ..prepared })?;
                Ok(Description { parameters: known.parameters, ..described })
            }
            Command::Upsert { query, .. } | Command::CreateTable { query: Some(query), .. } => {
                let query = DfStatement::Statement(Box::new(Ast::Query(query.clone())));
                Ok(known.with_types_of(&self.logical(&query)?))
            }
            _ => Ok(known),
        }
    }

    fn describe_relational(&self, parsed: &DfStatement, raw: &RawStatement, known: Description) -> Result<Description> {
        if let DfStatement::Statement(ast) = parsed {
            match &**ast {
                Ast::Insert(insert) => return self.describe_insert(insert, known),
                Ast::Query(_) => {
                    return match self.planned(parsed, raw)? {
                        // Its parameters are arguments of operators: they change no column.
                        Planned::Optimized(plan) => {
                            let schema = Arc::clone(plan.schema().inner());
                            Ok(Description { schema, ..known.with_types_of(&plan) })
                        }
                        Planned::OfThisMoment(plan) => self.describe_plan(plan, known),
                    };
                }
                _ => {}
            }
        }
        self.describe_plan(self.logical(parsed)?, known)
    }

    fn describe_insert(&self, insert: &Insert, known: Description) -> Result<Description> {
        let mut source = insert::source(self, insert)?;
        let known = known.with_types_of(&source.plan);
        if !self.parameters.is_empty() {
            source.plan = self.with_parameters(source.plan)?;
        }
        source.check()?;
        let count = Field::new("count", DataType::Int64, true);
        Ok(Description { schema: Arc::new(Schema::new(vec![count])), ..known })
    }

    fn describe_plan(&self, plan: LogicalPlan, known: Description) -> Result<Description> {
        refuse_unoffered(&plan)?;
        let mut known = known.with_types_of(&plan);
        known.is_query &= !changes_something(&plan)?;
        if matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::Copy(_)) {
            return Ok(Description { schema: Arc::clone(plan.schema().inner()), ..known });
        }
        let is_open = self.parameters.is_empty() && !plan.get_parameter_names()?.is_empty();
        let plan = if is_open { plan } else { self.with_parameters(plan)? };
        // Types meet here, those of the two sides of a UNION for one.
        let analyzed = self.state.analyzer().execute_and_check(plan.clone(), self.state.config_options(), |_, _| {});
        let schema = match analyzed {
            Ok(plan) => Arc::clone(plan.schema().inner()),
            // Types that cannot be told before the parameters have values.
            Err(_) if is_open => Arc::clone(plan.schema().inner()),
            Err(error) => return Err(error.into()),
        };
        Ok(Description { schema, ..known })
    }
}

impl Description {
    /// With the types that the plan has for parameters.
    fn with_types_of(mut self, plan: &LogicalPlan) -> Self {
        // Two types for one parameter are an error when it gets a value, if that fits one of them only.
        for (name, found) in plan.get_parameter_types().unwrap_or_default() {
            let place = name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok()?.checked_sub(1));
            if let Some(known) = place.and_then(|place| self.parameters.get_mut(place)) {
                *known = found;
            }
        }
        self
    }
}

fn changes_something(plan: &LogicalPlan) -> Result<bool> {
    let mut changes = false;
    plan.apply_with_subqueries(|plan| {
        changes |= matches!(
            plan,
            LogicalPlan::Dml(_) | LogicalPlan::Copy(_) | LogicalPlan::Ddl(_) | LogicalPlan::Statement(_)
        );
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(changes)
}

/// Whether a statement of DataFusion's parser only reads.
fn reads(parsed: &DfStatement) -> bool {
    match parsed {
        DfStatement::Statement(ast) => match &**ast {
            Ast::Query(query) => query_reads(query),
            Ast::Explain { statement, .. } => matches!(&**statement, Ast::Query(query) if query_reads(query)),
            Ast::ExplainTable { .. }
            | Ast::ShowVariable { .. }
            | Ast::ShowColumns { .. }
            | Ast::ShowFunctions { .. } => true,
            _ => false,
        },
        DfStatement::Explain(explain) => reads(&explain.statement),
        _ => false,
    }
}

/// `WITH … INSERT INTO …` is a query to the parser.
fn query_reads(query: &Query) -> bool {
    let with = query.with.iter().flat_map(|with| &with.cte_tables);
    with.map(|cte| &cte.query).all(|query| query_reads(query)) && body_reads(&query.body)
}

fn body_reads(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(_) | SetExpr::Values(_) | SetExpr::Table(_) => true,
        SetExpr::Query(query) => query_reads(query),
        SetExpr::SetOperation { left, right, .. } => body_reads(left) && body_reads(right),
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => false,
    }
}

#[cfg(test)]
mod tests;
