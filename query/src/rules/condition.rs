//! `WHERE` of a rule: an expression of SQL over the columns of a batch, planned for the types that the batch has.

use super::name::Name;
use crate::error::{Error, Result};
use crate::functions;
use crate::table::schema::{sql_name, timestamp_type};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::config::SessionConfig;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, ExprWithAlias, Ident, Spanned, Value, visit_expressions};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, LazyLock};

/// Most combinations of types for which a plan is kept.
const PLANS_MAX: usize = 64;

/// Functions of SQL, without any database.
static SESSION: LazyLock<SessionState> = LazyLock::new(|| {
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.collect_spans = true;
    let mut state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    functions::register(&mut state);
    state
});

/// The condition of a rule.
pub(super) struct Condition {
    expr: ast::Expr,
    names: Vec<Name>,
    /// Plans by the types of the columns; `None`: nobody knows the column.
    plans: Mutex<HashMap<Vec<Option<DataType>>, Plan>>,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({})", self.expr)
    }
}

#[derive(Clone)]
struct Plan {
    physical: Arc<dyn PhysicalExpr>,
    schema: Arc<ArrowSchema>,
    /// It depends on nothing but the columns, so that it may be kept.
    lasts: bool,
}

/// For which rows a condition is true, and for which it cannot be computed, and why.
pub(super) struct Truths {
    pub(super) yes: BooleanBuffer,
    pub(super) failed: Vec<(usize, String)>,
}

impl Condition {
    /// The condition that an expression is.
    ///
    /// # Errors
    /// `Unsupported` and `InvalidInput`, with the place, for what one row cannot tell.
    pub(super) fn read(expr: &ast::Expr) -> Result<Self> {
        let mut names: Vec<Name> = Vec::new();
        let mut add = |ident: &Ident| {
            let name = Name::of(ident);
            match names.iter_mut().find(|known| known.text == name.text) {
                Some(known) => known.is_exact &= name.is_exact,
                None => names.push(name),
            }
        };
        let refused = visit_expressions(expr, |expr| match expr {
            ast::Expr::Identifier(ident) => {
                add(ident);
                ControlFlow::Continue(())
            }
            other => refused(other).map_or(ControlFlow::Continue(()), ControlFlow::Break),
        });
        match refused {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(Self { expr: expr.clone(), names, plans: Mutex::default() }),
        }
    }

    /// The columns that it names.
    pub(super) fn names(&self) -> &[Name] {
        &self.names
    }

    /// Whether it can be computed where `type_of` tells the types of columns, `None` for one that nobody knows.
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub(super) fn check(&self, type_of: &dyn Fn(&Name) -> Option<DataType>) -> Result<()> {
        self.plan(&self.names.iter().map(type_of).collect::<Vec<_>>()).map(drop)
    }

    /// Compute it for `rows` rows, of which `column_of` gives the columns, and `None` for one that nobody knows.
    pub(super) fn of_rows(&self, rows: usize, column_of: &dyn Fn(&Name) -> Result<Option<ArrayRef>>) -> Truths {
        match self.evaluated(rows, column_of) {
            Ok(truths) => truths,
            Err(error) => {
                let failed = (0..rows).map(|row| (row, error.message().to_string())).collect();
                Truths { yes: BooleanBuffer::new_unset(rows), failed }
            }
        }
    }

    fn evaluated(&self, rows: usize, column_of: &dyn Fn(&Name) -> Result<Option<ArrayRef>>) -> Result<Truths> {
        let columns = self.names.iter().map(column_of).collect::<Result<Vec<_>>>()?;
        let types: Vec<Option<DataType>> =
            columns.iter().map(|column| column.as_ref().map(|column| column.data_type().clone())).collect();
        let plan = self.kept_plan(types)?;
        let fields = plan.schema.fields().iter();
        let columns = columns
            .into_iter()
            .zip(fields)
            .map(|(column, field)| column.unwrap_or_else(|| new_null_array(field.data_type(), rows)));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&plan.schema), columns.collect(), &options);
        let batch = batch.map_err(DataFusionError::from)?;
        let mut truths = (vec![false; rows], Vec::new());
        evaluate(&plan.physical, &batch, 0..rows, &mut truths);
        Ok(Truths { yes: BooleanBuffer::from(truths.0), failed: truths.1 })
    }

    fn kept_plan(&self, types: Vec<Option<DataType>>) -> Result<Plan> {
        if let Some(plan) = self.plans.lock().get(&types) {
            return Ok(plan.clone());
        }
        let plan = self.plan(&types)?;
        if plan.lasts {
            let mut plans = self.plans.lock();
            if plans.len() >= PLANS_MAX {
                plans.clear();
            }
            plans.insert(types, plan.clone());
        }
        Ok(plan)
    }

    fn plan(&self, types: &[Option<DataType>]) -> Result<Plan> {
        // Of NULL in a column that nobody knows not every function takes every type.
        let mut first_error = None;
        for unknown in [DataType::Null, DataType::Utf8, DataType::Float64, DataType::Boolean, timestamp_type()] {
            let fields = self.names.iter().zip(types).map(|(name, data_type)| {
                Field::new(&name.text, data_type.clone().unwrap_or_else(|| unknown.clone()), true)
            });
            match self.planned(ArrowSchema::new(fields.collect::<Vec<_>>())) {
                Ok(plan) => return Ok(plan),
                Err(error) => drop(first_error.get_or_insert(error)),
            }
            if types.iter().all(Option::is_some) {
                break;
            }
        }
        Err(first_error.unwrap_or_else(|| Error::internal("a condition without a plan")))
    }

    fn planned(&self, schema: ArrowSchema) -> Result<Plan> {
        let named = DFSchema::try_from(schema.clone())?;
        let expr = ExprWithAlias { expr: self.expr.clone(), alias: None };
        let at_condition = |error: Error| if error.span().is_some() { error } else { error.at(self.expr.span()) };
        let logical = SESSION.create_logical_expr_from_sql_expr(expr, &named);
        let logical = logical.map_err(|error| at_condition(error.into()))?;
        let lasts = of_one_row(&logical).map_err(at_condition)?;
        let physical = match lasts {
            true => SESSION.create_physical_expr(logical, &named),
            false => {
                let mut state = SESSION.clone();
                state.mark_start_execution();
                at_moment(logical, &named, &state).and_then(|logical| state.create_physical_expr(logical, &named))
            }
        };
        let physical = physical.map_err(|error| at_condition(error.into()))?;
        match physical.data_type(&schema)? {
            DataType::Boolean | DataType::Null => Ok(Plan { physical, schema: Arc::new(schema), lasts }),
            other => {
                let message = format!("a condition is true or false, not {}", sql_name(&other));
                Err(Error::invalid(message).at(self.expr.span()))
            }
        }
    }
}

/// The expression with what depends on the moment computed: a physical expression has no clock. `now()` becomes a time of the unit
/// that `ts` has, since not every time of an event can be told in nanoseconds.
fn at_moment(expr: Expr, schema: &DFSchema, state: &SessionState) -> datafusion::common::Result<Expr> {
    let moment = state.execution_props().query_execution_start_time;
    let now = moment.map(|moment| {
        let literal = ScalarValue::TimestampMicrosecond(Some(moment.timestamp_micros()), None);
        literal.cast_to(&timestamp_type()).map(|literal| Expr::Literal(literal, None))
    });
    let now = now.transpose()?;
    let expr = expr.transform_up(|expr| match (&expr, &now) {
        (Expr::ScalarFunction(call), Some(now)) if call.func.name() == "now" => Ok(Transformed::yes(now.clone())),
        _ => Ok(Transformed::no(expr)),
    })?;
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(moment)
        .build();
    let simplifier = ExprSimplifier::new(context);
    simplifier.simplify(functions::checked(simplifier.coerce(expr.data, schema)?, schema)?)
}

/// Why an expression is no part of a condition.
fn refused(expr: &ast::Expr) -> Option<Error> {
    let hint = "a rule looks at one event";
    let error = match expr {
        ast::Expr::Subquery(_) | ast::Expr::Exists { .. } | ast::Expr::InSubquery { .. } => {
            Error::unsupported("a rule has no subquery").with_hint(hint)
        }
        ast::Expr::CompoundIdentifier(parts) => {
            let whole: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
            Error::invalid("columns of a rule are written without their table, and names with dots in quotes")
                .with_hint(format!("write \"{}\", or {}", whole.join("."), whole.last().unwrap_or(&"")))
        }
        ast::Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {
            Error::invalid("a rule has no parameters").with_hint("write the value out")
        }
        _ => return None,
    };
    Some(error.at(expr.span()))
}

/// Whether the value depends on nothing but the columns.
///
/// # Errors
/// `Unsupported` for what one row cannot tell.
fn of_one_row(expr: &Expr) -> Result<bool> {
    let mut lasts = true;
    let mut beyond = None;
    expr.apply(|expr| {
        match expr {
            Expr::AggregateFunction(_) | Expr::WindowFunction(_) => beyond = Some(expr.schema_name().to_string()),
            Expr::ScalarFunction(call) => lasts &= call.func.signature().volatility == Volatility::Immutable,
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    match beyond {
        None => Ok(lasts),
        Some(name) => Err(Error::unsupported(format!("{name} looks at more than one event"))
            .with_hint("a rule looks at one event; LIMIT drops by rate")),
    }
}

/// Compute the rows of a range. Where one fails, all do: those that do are found by halving.
fn evaluate(
    physical: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
    range: Range<usize>,
    truths: &mut (Vec<bool>, Vec<(usize, String)>),
) {
    let part = batch.slice(range.start, range.len());
    let values = physical.evaluate(&part).and_then(|value| value.into_array(range.len()));
    match values {
        Ok(values) => {
            // Of type Null: never true.
            let values = values.as_boolean_opt().map(|values| values.iter().map(|value| value == Some(true)));
            let rows = truths.0[range].iter_mut();
            values.into_iter().flatten().zip(rows).for_each(|(value, row)| *row = value);
        }
        Err(error) if range.len() <= 1 => {
            let message = Error::from(error).message().to_string();
            truths.1.extend(range.map(|row| (row, message.clone())));
        }
        Err(_) => {
            let middle = range.start + range.len() / 2;
            evaluate(physical, batch, range.start..middle, truths);
            evaluate(physical, batch, middle..range.end, truths);
        }
    }
}
