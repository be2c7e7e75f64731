//! FUNNEL as a node of DataFusion's logical plan.

use super::constants;
use crate::behavior::funnel::{Attribution, Bucket, Count, EXCLUDES_MAX, Exclude, FunnelSpec, Order, Ties};
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
    Step(usize),
    Exclude(usize),
    ExcludeAfter(usize),
    ExcludeBefore(usize),
    Hold(usize),
    By(usize),
    /// A key of the input's own order.
    OrderKey(usize),
    Within,
    StepWithin(usize),
    Order,
    Ties,
    Attribution,
    Bucket,
    TimeZone,
}

/// The shape of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Emit {
    Steps,
    Users,
}

/// What is fixed when the statement is read: names, and all that decides the columns of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct FunnelShape {
    pub(crate) step_names: Vec<String>,
    pub(crate) excludes: usize,
    pub(crate) by: Vec<String>,
    pub(crate) emit: Emit,
    pub(crate) count: Count,
    pub(crate) bucketed: bool,
    /// How each key of the input's own order sorts.
    pub(crate) order_keys: Vec<SortOptions>,
    /// Where the arguments stand in the text.
    pub(crate) spans: Vec<(Role, Span)>,
}

/// The node. Every expression and every constant is in `exprs`, so that rewrites and parameters reach them.
#[derive(Debug, Clone)]
pub(crate) struct FunnelNode {
    pub(crate) shape: Arc<FunnelShape>,
    pub(crate) exprs: Vec<(Role, Expr)>,
    pub(crate) input: LogicalPlan,
    pub(crate) schema: DFSchemaRef,
}

/// The type of times in answers.
pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl FunnelNode {
    /// A node over `input`.
    ///
    /// # Errors
    /// `InvalidInput` if a `by` column has the name of another column of the answer.
    pub(crate) fn new(shape: FunnelShape, exprs: Vec<(Role, Expr)>, input: LogicalPlan) -> Result<Self> {
        let schema = answer_schema(&shape, &exprs, input.schema())?;
        Ok(Self { shape: Arc::new(shape), exprs, input, schema: Arc::new(schema) })
    }

    /// The expression of a role.
    pub(crate) fn expr(&self, role: Role) -> Option<&Expr> {
        self.exprs.iter().find(|(other, _)| *other == role).map(|(_, expr)| expr)
    }

    /// The expressions of the roles `role(0)`, `role(1)`, ….
    pub(crate) fn exprs_of(&self, role: impl Fn(usize) -> Role) -> Vec<&Expr> {
        (0..).map_while(|i| self.expr(role(i))).collect()
    }

    fn span(&self, role: Role) -> Span {
        let found = self.shape.spans.iter().find(|(other, _)| *other == role);
        found.map_or(Span::empty(), |(_, span)| *span)
    }

    /// Check the constants that are known already, so that a mistake is reported at its place.
    ///
    /// # Errors
    /// `InvalidInput` at the argument.
    pub(crate) fn check_constants(&self) -> Result<()> {
        self.spec(Tz::UTC, false).map(drop)
    }

    /// The arguments of the kernel. `default_zone` counts where no `time_zone` is given. With `complete` every
    /// constant must be known; without, an unknown one is left at its default.
    ///
    /// # Errors
    /// `InvalidInput` at the argument that is no constant, or one that the funnel does not take.
    pub(crate) fn spec(&self, default_zone: Tz, complete: bool) -> Result<FunnelSpec> {
        let mut spec = FunnelSpec::new(self.shape.step_names.iter().cloned());
        spec.count = self.shape.count;
        spec.hold = self.expr(Role::Hold(0)).is_some();
        spec.within_us = self.constant(Role::Within, complete, |v| constants::interval_us(v, "within"))?.flatten();
        self.step_within(&mut spec, complete)?;
        let orders = [("ordered", Order::Ordered), ("strict", Order::Strict), ("any", Order::Any)];
        spec.order =
            self.constant(Role::Order, complete, |v| constants::word(v, "order", &orders))?.unwrap_or_default();
        let ties = [("any", Ties::Any), ("arrival", Ties::Arrival), ("increase", Ties::Increase)];
        spec.ties = self.constant(Role::Ties, complete, |v| constants::word(v, "ties", &ties))?.unwrap_or_default();
        let attribution = |v: &ScalarValue| self.attribution(v);
        spec.attribution = self.constant(Role::Attribution, complete, attribution)?.unwrap_or_default();
        spec.bucket = self.constant(Role::Bucket, complete, bucket)?;
        spec.time_zone = self.constant(Role::TimeZone, complete, constants::time_zone)?.unwrap_or(default_zone);
        for i in 0..self.shape.excludes {
            let step = |v: &ScalarValue| self.step_number(v, "EXCLUDE");
            let after = self.constant(Role::ExcludeAfter(i), complete, step)?.unwrap_or(1);
            let last = self.shape.step_names.len();
            let before = self.constant(Role::ExcludeBefore(i), complete, step)?.unwrap_or(last);
            spec.excludes.push(Exclude { after, before });
        }
        spec.validate().map_err(|error| self.place(Error::from(error), &spec))?;
        Ok(spec)
    }

    /// The kernel names the argument at the start of its message: put the error there, at the one of several that is
    /// wrong.
    fn place(&self, error: Error, spec: &FunnelSpec) -> Error {
        let argument = error.message().split([':', ' ']).next().unwrap_or_default().to_string();
        let role = match argument.as_str() {
            "within" => Role::Within,
            "step_within" => {
                let wrong = spec.step_within_us.iter().position(|limit| limit.is_some_and(|us| us <= 0));
                // One interval may stand for all gaps.
                let given = self.exprs_of(Role::StepWithin).len();
                Role::StepWithin(wrong.unwrap_or(0).min(given.saturating_sub(1)))
            }
            "exclude" => {
                let steps = spec.steps.len();
                let wrong = spec.excludes.iter().position(|e| e.after < 1 || e.before > steps || e.after >= e.before);
                let too_many = (spec.excludes.len() > EXCLUDES_MAX).then_some(EXCLUDES_MAX);
                Role::Exclude(too_many.or(wrong).unwrap_or(0))
            }
            "attribution" => Role::Attribution,
            "bucket" => Role::Bucket,
            _ => Role::Step(0),
        };
        error.at(self.span(role))
    }

    /// The value of a constant argument, `None` where it is not given.
    fn constant<T>(&self, role: Role, complete: bool, read: impl Fn(&ScalarValue) -> Result<T>) -> Result<Option<T>> {
        let Some(expr) = self.expr(role) else { return Ok(None) };
        match constants::literal(expr) {
            Some(value) => read(value).map(Some).map_err(|error| error.at(self.span(role))),
            None if complete => {
                Err(Error::invalid(format!("'{expr}' must be a constant, the same for all rows")).at(self.span(role)))
            }
            None => Ok(None),
        }
    }

    fn step_within(&self, spec: &mut FunnelSpec, complete: bool) -> Result<()> {
        let gaps = spec.steps.len() - 1;
        let mut limits = Vec::new();
        for i in 0..self.exprs_of(Role::StepWithin).len() {
            let read = |v: &ScalarValue| constants::interval_us(v, "step_within");
            limits.push(self.constant(Role::StepWithin(i), complete, read)?.flatten());
        }
        if let [one] = limits[..] {
            limits = vec![one; gaps];
        }
        spec.step_within_us = limits;
        Ok(())
    }

    fn attribution(&self, value: &ScalarValue) -> Result<Attribution> {
        match constants::text(value) {
            Some(text) if text.eq_ignore_ascii_case("first") => Ok(Attribution::First),
            Some(text) if text.eq_ignore_ascii_case("last") => Ok(Attribution::Last),
            _ => self.step_number(value, "attribution").map(Attribution::Step),
        }
    }

    /// A step by its number, from 1, or by its name.
    fn step_number(&self, value: &ScalarValue, argument: &str) -> Result<usize> {
        let names = &self.shape.step_names;
        if let Some(text) = constants::text(value) {
            if let Some(at) = names.iter().position(|name| name == text) {
                return Ok(at + 1);
            }
            return Err(Error::invalid(format!("{argument}: no step is called '{text}'"))
                .with_hint(format!("the steps are {}", crate::error::listed(names.iter().map(String::as_str)))));
        }
        match constants::integer(value).map(usize::try_from) {
            Some(Ok(number)) => Ok(number),
            _ => Err(Error::invalid(format!("{argument} needs the number or the name of a step, not {value}"))),
        }
    }
}

fn bucket(value: &ScalarValue) -> Result<Bucket> {
    const HINT: &str = "bucket is 'day', 'week', 'month' or an interval in days, hours, minutes or seconds";
    let months = |months: i32| match months {
        1 => Ok(Bucket::Month),
        months => Err(Error::invalid(format!("bucket cannot be {months} months")).with_hint(HINT)),
    };
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if (interval.days, interval.nanoseconds) == (0, 0) => {
            return months(interval.months);
        }
        ScalarValue::IntervalYearMonth(Some(interval)) => return months(*interval),
        _ => {}
    }
    match constants::text(value).and_then(constants::calendar_unit) {
        Some("day") => return Ok(Bucket::Day),
        Some("week") => return Ok(Bucket::Week),
        Some("month") => return Ok(Bucket::Month),
        _ => {}
    }
    match constants::interval_us(value, "bucket")? {
        Some(86_400_000_000) => Ok(Bucket::Day),
        Some(us) => Ok(Bucket::IntervalUs(us)),
        None => Err(Error::invalid("bucket cannot be NULL").with_hint(HINT)),
    }
}

fn answer_schema(shape: &FunnelShape, exprs: &[(Role, Expr)], input: &DFSchema) -> Result<DFSchema> {
    let mut fields = Vec::new();
    let mut by = Vec::new();
    for (i, name) in shape.by.iter().enumerate() {
        let expr = exprs.iter().find(|(role, _)| *role == Role::By(i)).map(|(_, expr)| expr);
        let data_type = expr.map_or(Ok(DataType::Null), |expr| expr.get_type(input))?;
        by.push(Field::new(name, data_type, true));
    }
    match shape.emit {
        Emit::Steps => {
            fields.append(&mut by);
            if shape.bucketed {
                fields.push(Field::new("bucket", time_type(), false));
            }
            let counted = if shape.count == Count::Attempts { "attempts" } else { "users" };
            fields.extend([
                Field::new("step", DataType::Int64, false),
                Field::new("step_name", DataType::Utf8, false),
                Field::new(counted, DataType::Int64, false),
                Field::new("conversion", DataType::Float64, true),
                Field::new("step_conversion", DataType::Float64, true),
                Field::new("dropped", DataType::Int64, false),
                Field::new("median_seconds", DataType::Float64, true),
                Field::new("p90_seconds", DataType::Float64, true),
                Field::new("median_seconds_total", DataType::Float64, true),
            ]);
        }
        Emit::Users => {
            let user = exprs.iter().find(|(role, _)| *role == Role::User).map(|(_, expr)| expr);
            let user_type = user.map_or(Ok(DataType::Utf8View), |expr| expr.get_type(input))?;
            fields.push(Field::new("user_id", user_type, false));
            fields.append(&mut by);
            let times = DataType::List(Arc::new(Field::new_list_field(time_type(), true)));
            fields.extend([
                Field::new("entered_at", time_type(), false),
                Field::new("level", DataType::Int64, false),
                Field::new("step_times", times, false),
                Field::new("drop_reason", DataType::Utf8, true),
            ]);
        }
    }
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

impl FunnelNode {
    /// The Arrow schema of the answer.
    pub(crate) fn arrow_schema(&self) -> Arc<Schema> {
        Arc::clone(self.schema.inner())
    }
}

impl PartialEq for FunnelNode {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.exprs == other.exprs && self.input == other.input
    }
}

impl Eq for FunnelNode {}

impl Hash for FunnelNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.shape.hash(state);
        self.exprs.hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for FunnelNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for FunnelNode {
    fn name(&self) -> &str {
        "Funnel"
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
        write!(f, "Funnel: {}", Summary(self))
    }

    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> datafusion::common::Result<Self> {
        if exprs.len() != self.exprs.len() || inputs.len() != 1 {
            return Err(DataFusionError::Internal("a funnel has one input and keeps its expressions".into()));
        }
        let roles = self.exprs.iter().map(|(role, _)| *role);
        let exprs = roles.zip(exprs.into_iter().map(Expr::unalias)).collect();
        let (shape, schema) = (Arc::clone(&self.shape), Arc::clone(&self.schema));
        Ok(Self { shape, exprs, input: inputs.remove(0), schema })
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
pub(crate) struct Summary<'a>(pub(crate) &'a FunnelNode);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = self.0;
        let shape = &node.shape;
        let steps = node.exprs_of(Role::Step);
        let steps: Vec<String> = shape.step_names.iter().zip(steps).map(|(n, e)| format!("{n}: {e}")).collect();
        write!(f, "steps=[{}]", steps.join(", "))?;
        let constants = [
            ("within", Role::Within),
            ("order", Role::Order),
            ("ties", Role::Ties),
            ("attribution", Role::Attribution),
            ("bucket", Role::Bucket),
            ("time_zone", Role::TimeZone),
        ];
        for (name, role) in constants {
            if let Some(expr) = node.expr(role) {
                write!(f, ", {name}={}", constants::display(expr))?;
            }
        }
        let lists = [
            ("step_within", node.exprs_of(Role::StepWithin)),
            ("exclude", node.exprs_of(Role::Exclude)),
            ("hold", node.exprs_of(Role::Hold)),
            ("by", node.exprs_of(Role::By)),
            ("input_order", node.exprs_of(Role::OrderKey)),
        ];
        for (name, exprs) in lists {
            if !exprs.is_empty() {
                let exprs: Vec<String> = exprs.into_iter().map(constants::display).collect();
                write!(f, ", {name}=[{}]", exprs.join(", "))?;
            }
        }
        if shape.count == Count::Attempts {
            f.write_str(", count=attempts")?;
        }
        let emit = if shape.emit == Emit::Users { "users" } else { "steps" };
        write!(f, ", emit={emit}")
    }
}
