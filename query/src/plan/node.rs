//! An operator as a node of DataFusion's logical plan.

use super::constants;
use super::operator::Operator;
use crate::error::{Error, Result};
use chrono_tz::Tz;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::tokenizer::Span;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What an expression of the node is for. Numbers count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    User,
    Time,
    /// A condition that the kernel sees as a bit of an event's mask.
    Condition(usize),
    /// A column whose values the kernel sees as codes.
    Column(usize),
    By(usize),
    /// A condition on the user, the same for all events of one.
    Whose(usize),
    /// A key of the input's own order.
    OrderKey(usize),
    /// A constant argument, and which of several with this name.
    Constant(&'static str, usize),
}

/// What every operator fixes when the statement is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Frame {
    /// Names of the `by` columns.
    pub(crate) by: Vec<String>,
    /// How each key of the input's own order sorts.
    pub(crate) order_keys: Vec<SortOptions>,
    /// Where the arguments stand in the text.
    pub(crate) spans: Vec<(Role, Span)>,
}

/// The node. Every expression and every constant is in `exprs`, so that rewrites and parameters reach them.
#[derive(Debug, Clone)]
pub(crate) struct OperatorNode<O> {
    pub(crate) operator: Arc<O>,
    pub(crate) frame: Arc<Frame>,
    pub(crate) exprs: Vec<(Role, Expr)>,
    pub(crate) input: LogicalPlan,
    schema: DFSchemaRef,
}

/// The type of times in answers.
pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl<O: Operator> OperatorNode<O> {
    /// A node over `input`.
    ///
    /// # Errors
    /// `InvalidInput` if a `by` column has the name of another column of the answer.
    pub(crate) fn new(operator: O, frame: Frame, exprs: Vec<(Role, Expr)>, input: LogicalPlan) -> Result<Self> {
        let schema = answer_schema(&operator, &frame, &exprs, input.schema())?;
        Ok(Self { operator: Arc::new(operator), frame: Arc::new(frame), exprs, input, schema: Arc::new(schema) })
    }

    /// The expression of a role.
    pub(crate) fn expr(&self, role: Role) -> Option<&Expr> {
        self.exprs.iter().find(|(other, _)| *other == role).map(|(_, expr)| expr)
    }

    /// The expressions of the roles `role(0)`, `role(1)`, ….
    pub(crate) fn exprs_of(&self, role: impl Fn(usize) -> Role) -> Vec<&Expr> {
        (0..).map_while(|i| self.expr(role(i))).collect()
    }

    /// Where the argument of a role stands in the text.
    pub(crate) fn span(&self, role: Role) -> Span {
        let found = self.frame.spans.iter().find(|(other, _)| *other == role);
        found.map_or(Span::empty(), |(_, span)| *span)
    }

    /// Check the constants that are known already, so that a mistake is reported at its place.
    ///
    /// # Errors
    /// `InvalidInput` at the argument.
    pub(crate) fn check_constants(&self) -> Result<()> {
        self.spec(Tz::UTC, false).map(drop)
    }

    /// The arguments of the kernel, see [`Operator::spec`].
    ///
    /// # Errors
    /// `InvalidInput` at the argument that is wrong.
    pub(crate) fn spec(&self, default_zone: Tz, complete: bool) -> Result<O::Spec> {
        self.operator.spec(self, default_zone, complete)
    }

    /// The value of a constant argument, `None` where it is not given.
    ///
    /// # Errors
    /// Those of `read`, at the argument; `InvalidInput` if it is no constant although all must be.
    pub(crate) fn constant<T>(
        &self,
        (name, index): (&'static str, usize),
        complete: bool,
        read: impl Fn(&ScalarValue) -> Result<T>,
    ) -> Result<Option<T>> {
        let role = Role::Constant(name, index);
        let Some(expr) = self.expr(role) else { return Ok(None) };
        match constants::literal(expr) {
            Some(value) => read(value).map(Some).map_err(|error| error.at(self.span(role))),
            None if complete => {
                Err(Error::invalid(format!("'{expr}' must be a constant, the same for all rows")).at(self.span(role)))
            }
            None => Ok(None),
        }
    }

    /// The Arrow schema of the answer.
    pub(crate) fn arrow_schema(&self) -> Arc<Schema> {
        Arc::clone(self.schema.inner())
    }

    /// The constants called `names` that are given, as `, name=value` each.
    ///
    /// # Errors
    /// Those of the formatter.
    pub(crate) fn describe_constants(&self, names: &[&'static str], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in names {
            if let Some(expr) = self.expr(Role::Constant(name, 0)) {
                write!(f, ", {name}={}", constants::display(expr))?;
            }
        }
        Ok(())
    }

    /// Expressions as `, name=[a, b]`, where there are any.
    ///
    /// # Errors
    /// Those of the formatter.
    pub(crate) fn describe_list(&self, name: &str, exprs: &[&Expr], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if exprs.is_empty() {
            return Ok(());
        }
        let exprs: Vec<String> = exprs.iter().map(|expr| constants::display(expr)).collect();
        write!(f, ", {name}=[{}]", exprs.join(", "))
    }

    /// The groups and the input's own order, as every operator has them.
    ///
    /// # Errors
    /// Those of the formatter.
    pub(crate) fn describe_frame(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe_list("by", &self.exprs_of(Role::By), f)?;
        self.describe_list("input_order", &self.exprs_of(Role::OrderKey), f)
    }
}

fn answer_schema<O: Operator>(
    operator: &O,
    frame: &Frame,
    exprs: &[(Role, Expr)],
    input: &DFSchema,
) -> Result<DFSchema> {
    let type_of = |role: Role| {
        let expr = exprs.iter().find(|(other, _)| *other == role).map(|(_, expr)| expr);
        expr.map(|expr| expr.get_type(input)).transpose()
    };
    let mut by = Vec::new();
    for (i, name) in frame.by.iter().enumerate() {
        by.push(Field::new(name, type_of(Role::By(i))?.unwrap_or(DataType::Null), true));
    }
    let user = Field::new("user_id", type_of(Role::User)?.unwrap_or(DataType::Utf8View), false);
    let mut columns = Vec::new();
    while let Some(data_type) = type_of(Role::Column(columns.len()))? {
        columns.push(Field::new(format!("column_{}", columns.len()), data_type, true));
    }
    let fields = operator.fields(user, by, columns);
    for (i, field) in fields.iter().enumerate() {
        if fields[..i].iter().any(|other| other.name() == field.name()) {
            let message = format!("a by column is called '{}', like another column of the answer", field.name());
            return Err(
                Error::invalid(message).with_hint("give it another name in a subquery: (SELECT …, x AS y FROM …)")
            );
        }
    }
    Ok(DFSchema::from_unqualified_fields(fields.into(), Default::default())?)
}

impl<O: Operator> PartialEq for OperatorNode<O> {
    fn eq(&self, other: &Self) -> bool {
        self.operator == other.operator
            && self.frame == other.frame
            && self.exprs == other.exprs
            && self.input == other.input
    }
}

impl<O: Operator> Eq for OperatorNode<O> {}

impl<O: Operator> Hash for OperatorNode<O> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.operator.hash(state);
        self.frame.hash(state);
        self.exprs.hash(state);
        self.input.hash(state);
    }
}

impl<O: Operator> PartialOrd for OperatorNode<O> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl<O: Operator> UserDefinedLogicalNodeCore for OperatorNode<O> {
    fn name(&self) -> &str {
        O::NODE
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.exprs.iter().map(|(_, expr)| expr.clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", O::NODE, Summary(self))
    }

    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> datafusion::common::Result<Self> {
        if exprs.len() != self.exprs.len() || inputs.len() != 1 {
            return Err(DataFusionError::Internal("an operator has one input and keeps its expressions".into()));
        }
        let roles = self.exprs.iter().map(|(role, _)| *role);
        let exprs = roles.zip(exprs.into_iter().map(Expr::unalias)).collect();
        Ok(Self { exprs, input: inputs.remove(0), ..self.clone() })
    }

    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let columns = self.exprs.iter().flat_map(|(_, expr)| expr.column_refs());
        let mut indices: Vec<usize> = columns.filter_map(|column| schema.maybe_index_of_column(column)).collect();
        indices.sort_unstable();
        indices.dedup();
        Some(vec![indices])
    }
}

/// The arguments on one line.
pub(crate) struct Summary<'a, O>(pub(crate) &'a OperatorNode<O>);

impl<O: Operator> fmt::Display for Summary<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.operator.describe(self.0, f)
    }
}
