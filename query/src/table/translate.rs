//! Conditions of SQL as conditions of the engine. What the engine does not know is carried along as an expression that
//! is evaluated on batches; only what has no fixed value per row is refused.

use crate::tags::function::members_asked;
use datafusion::arrow::array::{Array, BooleanArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::scalar::ScalarValue;
use std::fmt;
use std::sync::Arc;
use trodden_engine::error::{Error as EngineError, Result as EngineResult};
use trodden_engine::predicate::{ColumnRef, CompareOp, Predicate, RowPredicate};
use trodden_engine::types::{TimeRange, Value};

/// Whether the engine can evaluate the condition: it has one value per row, and needs nothing but the row.
pub(crate) fn is_row_condition(expr: &Expr) -> bool {
    let mut fine = true;
    let visit = expr.apply(|expr| {
        let foreign = matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::Unnest(_)
        );
        fine &= !foreign && !expr.is_volatile_node();
        Ok(if fine { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    fine && visit.is_ok()
}

/// Translates conditions over one table.
pub(crate) struct Translator<'a> {
    /// The number of the table, and its columns.
    pub(crate) table: u64,
    pub(crate) schema: &'a SchemaRef,
    pub(crate) props: &'a ExecutionProps,
}

/// A condition apart from what it says about the time.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) filter: Predicate,
    pub(crate) time: TimeRange,
}

impl Translator<'_> {
    /// All of `conditions`, with the limits of time taken out.
    pub(crate) fn conjunction(&self, conditions: &[Expr]) -> datafusion::common::Result<Condition> {
        let mut result = Condition { filter: Predicate::True, time: TimeRange::ALL };
        for condition in conditions {
            for part in datafusion::logical_expr::utils::split_conjunction(condition) {
                let predicate = self.predicate(part)?;
                match time_range(&predicate) {
                    Some(range) => result.time = result.time.intersect(&range),
                    None => result.filter = result.filter.and(predicate),
                }
            }
        }
        Ok(result)
    }

    /// A condition. Columns may be qualified; the qualifier is not looked at.
    pub(crate) fn predicate(&self, expr: &Expr) -> datafusion::common::Result<Predicate> {
        Ok(match self.native(expr)? {
            Some(predicate) => predicate,
            None => Predicate::Custom(Arc::new(ExprPredicate::new(expr, self.schema, self.props)?)),
        })
    }

    fn native(&self, expr: &Expr) -> datafusion::common::Result<Option<Predicate>> {
        Ok(match expr {
            Expr::Alias(alias) => self.native(&alias.expr)?,
            Expr::Literal(ScalarValue::Boolean(Some(true)), _) => Some(Predicate::True),
            Expr::Literal(ScalarValue::Boolean(Some(false)), _) => Some(Predicate::False),
            Expr::Literal(value, _) if value.is_null() => Some(Predicate::Unknown),
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                Some(Predicate::And(vec![self.predicate(left)?, self.predicate(right)?]))
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                Some(Predicate::Or(vec![self.predicate(left)?, self.predicate(right)?]))
            }
            Expr::Not(inner) => Some(Predicate::Not(Box::new(self.predicate(inner)?))),
            Expr::IsNull(inner) => self.column(inner).map(|(column, _)| Predicate::IsNull(column)),
            Expr::IsNotNull(inner) => {
                self.column(inner).map(|(column, _)| Predicate::Not(Box::new(Predicate::IsNull(column))))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => self.comparison(left, *op, right),
            Expr::Between(Between { expr, negated, low, high }) => {
                let low = self.comparison(expr, Operator::GtEq, low);
                let high = self.comparison(expr, Operator::LtEq, high);
                low.zip(high).map(|(low, high)| negate(Predicate::And(vec![low, high]), *negated))
            }
            Expr::InList(InList { expr, list, negated }) => self.in_list(expr, list, *negated),
            Expr::Column(_) => self
                .column(expr)
                .filter(|(_, data_type)| *data_type == DataType::Boolean)
                .map(|(column, _)| Predicate::Compare { column, op: CompareOp::Eq, value: Value::Boolean(true) }),
            Expr::ScalarFunction(_) => members_asked(expr, self.table).map(Predicate::Members),
            _ => None,
        })
    }

    fn column(&self, expr: &Expr) -> Option<(ColumnRef, DataType)> {
        let Expr::Column(Column { name, .. }) = expr else { return None };
        let field = self.schema.field_with_name(name).ok()?;
        Some((ColumnRef::from_name(name), field.data_type().clone()))
    }

    fn comparison(&self, left: &Expr, op: Operator, right: &Expr) -> Option<Predicate> {
        let compare = |op| {
            Some(match op {
                Operator::Eq => CompareOp::Eq,
                Operator::NotEq => CompareOp::NotEq,
                Operator::Lt => CompareOp::Lt,
                Operator::LtEq => CompareOp::LtEq,
                Operator::Gt => CompareOp::Gt,
                Operator::GtEq => CompareOp::GtEq,
                _ => return None,
            })
        };
        let ((column, data_type), literal, op) = match (left, right) {
            (_, Expr::Literal(literal, _)) => (self.column(left)?, literal, compare(op)?),
            (Expr::Literal(literal, _), _) => (self.column(right)?, literal, compare(op.swap()?)?),
            _ => return None,
        };
        if literal.is_null() {
            return Some(Predicate::Unknown);
        }
        let value = engine_value(literal, &data_type)?;
        Some(Predicate::Compare { column, op, value })
    }

    fn in_list(&self, expr: &Expr, list: &[Expr], negated: bool) -> Option<Predicate> {
        let (column, data_type) = self.column(expr)?;
        let mut values = Vec::with_capacity(list.len());
        let mut has_null = false;
        for item in list {
            let Expr::Literal(literal, _) = item else { return None };
            if literal.is_null() {
                has_null = true;
            } else {
                values.push(engine_value(literal, &data_type)?);
            }
        }
        let found = Predicate::In { column, values };
        // x IN (…, NULL) is NULL, not false, where nothing else fits.
        let found = if has_null { Predicate::Or(vec![found, Predicate::Unknown]) } else { found };
        Some(negate(found, negated))
    }
}

fn negate(predicate: Predicate, negated: bool) -> Predicate {
    if negated { Predicate::Not(Box::new(predicate)) } else { predicate }
}

/// A literal as a value of a column of type `data_type`, if it is exactly that.
fn engine_value(literal: &ScalarValue, data_type: &DataType) -> Option<Value> {
    Some(match (data_type, literal) {
        (DataType::Boolean, ScalarValue::Boolean(Some(v))) => Value::Boolean(*v),
        (DataType::Int64, ScalarValue::Int64(Some(v))) => Value::BigInt(*v),
        (DataType::Float64, ScalarValue::Float64(Some(v))) => Value::Double(*v),
        (DataType::Utf8View, literal) => Value::Text(literal.try_as_str()??.to_string()),
        (DataType::Timestamp(TimeUnit::Microsecond, _), ScalarValue::TimestampMicrosecond(Some(v), _)) => {
            Value::Timestamp(*v)
        }
        _ => return None,
    })
}

/// The range that a comparison of `ts` leaves.
fn time_range(predicate: &Predicate) -> Option<TimeRange> {
    let Predicate::Compare { column: ColumnRef::Time, op, value: Value::Timestamp(at) } = predicate else {
        return None;
    };
    let all = TimeRange::ALL;
    Some(match op {
        CompareOp::Eq => TimeRange { start_us: *at, end_us: at.checked_add(1)? },
        CompareOp::Lt => TimeRange { end_us: *at, ..all },
        CompareOp::LtEq => TimeRange { end_us: at.checked_add(1)?, ..all },
        CompareOp::Gt => TimeRange { start_us: at.checked_add(1)?, ..all },
        CompareOp::GtEq => TimeRange { start_us: *at, ..all },
        CompareOp::NotEq => return None,
    })
}

/// The literals that a condition compares `event` with.
pub(crate) fn event_names(predicate: &Predicate, names: &mut Vec<String>) {
    match predicate {
        Predicate::And(parts) | Predicate::Or(parts) => parts.iter().for_each(|part| event_names(part, names)),
        Predicate::Not(inner) => event_names(inner, names),
        Predicate::Compare { column: ColumnRef::Event, op: CompareOp::Eq, value: Value::Text(name) } => {
            names.push(name.clone());
        }
        Predicate::In { column: ColumnRef::Event, values } => {
            names.extend(values.iter().filter_map(|value| match value {
                Value::Text(name) => Some(name.clone()),
                _ => None,
            }));
        }
        _ => {}
    }
}

/// An expression without the qualifiers of its columns.
pub(crate) fn unqualified(expr: Expr) -> datafusion::common::Result<Expr> {
    let result = expr.transform(|expr| {
        Ok(match expr {
            Expr::Column(column) if column.relation.is_some() => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            other => Transformed::no(other),
        })
    })?;
    Ok(result.data)
}

/// A condition that DataFusion evaluates on batches of the columns that it needs.
struct ExprPredicate {
    columns: Vec<ColumnRef>,
    expr: Arc<dyn PhysicalExpr>,
}

impl ExprPredicate {
    fn new(expr: &Expr, schema: &SchemaRef, props: &ExecutionProps) -> datafusion::common::Result<Self> {
        let expr = unqualified(expr.clone())?;
        let mut positions = Vec::new();
        for column in expr.column_refs() {
            positions.push(schema.index_of(&column.name)?);
        }
        positions.sort_unstable();
        positions.dedup();
        let schema = DFSchema::try_from(schema.project(&positions)?)?;
        let columns = schema.fields().iter().map(|field| ColumnRef::from_name(field.name())).collect();
        let expr = create_physical_expr(&expr, &schema, props, &PhysicalPlanningContext::default())?;
        Ok(Self { columns, expr })
    }
}

impl fmt::Debug for ExprPredicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expr)
    }
}

impl RowPredicate for ExprPredicate {
    fn columns(&self) -> &[ColumnRef] {
        &self.columns
    }

    fn evaluate(&self, batch: &RecordBatch) -> EngineResult<BooleanArray> {
        let fail = |error: datafusion::common::DataFusionError| {
            let error = crate::error::Error::from(error);
            EngineError::invalid(error.message()).with_source(error)
        };
        let array = self.expr.evaluate(batch).and_then(|value| value.into_array(batch.num_rows())).map_err(fail)?;
        match array.as_any().downcast_ref::<BooleanArray>() {
            Some(truth) => Ok(truth.clone()),
            None if array.null_count() == array.len() => Ok(BooleanArray::new_null(array.len())),
            None => Err(EngineError::invalid(format!("the condition {} is no condition", self.expr))),
        }
    }
}
