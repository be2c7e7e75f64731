//! From a call of FUNNEL to its logical node: names are looked up, expressions planned, constants checked.

use super::arguments::{Call, NamedArgument, Signature, is_placeholder, list_items, part_arguments, string_literal};
use super::constants::calendar_unit;
use super::funnel_node::{Emit, FunnelNode, FunnelShape, Role};
use super::row_order::with_order;
use crate::behavior::funnel::{Count, STEPS_MAX};
use crate::error::{Error, Result, closest, listed};
use crate::sql::short_form::unused;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, lit};
use datafusion::sql::sqlparser::ast::{DateTimeField, Expr as SqlExpr, Function, Ident, Spanned};
use datafusion::sql::sqlparser::tokenizer::Span;

/// The words of FUNNEL.
pub(crate) const SIGNATURE: Signature = Signature {
    operator: "FUNNEL",
    arguments: &[
        "steps",
        "within",
        "step_within",
        "order",
        "ties",
        "exclude",
        "hold",
        "count",
        "attribution",
        "bucket",
        "emit",
        "by",
        "time_zone",
        "user",
        "time",
        "name",
    ],
    parts: &["STEPS", "EXCLUDE"],
    example: "FUNNEL(events, STEPS(viewed => 'product_view', bought => 'purchase'), within => INTERVAL '7' DAY)",
};

/// Plan a call of FUNNEL over `input`.
///
/// # Errors
/// `InvalidInput` or `NotFound` at the argument that is wrong.
pub(crate) fn plan(mut call: Call, input: LogicalPlan, context: &mut dyn RelationPlannerContext) -> Result<FunnelNode> {
    let schema = input.schema().clone();
    let mut planner = Planner { context, schema, exprs: Vec::new(), spans: Vec::new(), event: None };
    planner.roles(&mut call)?;
    let step_names = planner.steps(&mut call)?;
    let excludes = planner.excludes(&mut call)?;
    planner.list(&mut call, "hold", Role::Hold)?;
    let by = planner.by(&mut call)?;
    planner.list(&mut call, "step_within", Role::StepWithin)?;
    for (name, role) in [
        ("within", Role::Within),
        ("order", Role::Order),
        ("ties", Role::Ties),
        ("attribution", Role::Attribution),
        ("time_zone", Role::TimeZone),
    ] {
        planner.constant(&mut call, name, role)?;
    }
    let bucketed = planner.bucket(&mut call)?;
    let count = match planner.word(&mut call, "count", &["users", "attempts"])? {
        Some(1) => Count::Attempts,
        _ => Count::Users,
    };
    let emit = match planner.word(&mut call, "emit", &["steps", "users"])? {
        Some(1) => Emit::Users,
        _ => Emit::Steps,
    };
    let (input, order_keys) = planner.order(input)?;
    let Planner { exprs, spans, .. } = planner;
    let shape = FunnelShape { step_names, excludes, by, emit, count, bucketed, order_keys, spans };
    let node = FunnelNode::new(shape, exprs, input).map_err(|error| error.at(call.span))?;
    node.check_constants()?;
    Ok(node)
}

struct Planner<'a> {
    context: &'a mut dyn RelationPlannerContext,
    schema: DFSchemaRef,
    exprs: Vec<(Role, Expr)>,
    spans: Vec<(Role, Span)>,
    /// The column that names the event, once it is needed.
    event: Option<SqlExpr>,
}

impl Planner<'_> {
    fn expr(&mut self, expr: SqlExpr) -> Result<Expr> {
        let span = expr.span();
        let planned = self.context.sql_to_expr(expr, &self.schema).map_err(|error| {
            let error = Error::from(error);
            if error.span().is_some() { error } else { error.at(span) }
        })?;
        if asks_for_each_row(&planned) {
            let message =
                "a subquery in FUNNEL gives one value for all rows: IN, EXISTS and columns from outside have none";
            return Err(Error::unsupported(message)
                .with_hint("join or filter in a subquery first: FUNNEL((SELECT e.*, … FROM events e JOIN …), …)")
                .at(span));
        }
        Ok(planned)
    }

    fn push(&mut self, role: Role, expr: Expr, span: Span) {
        self.exprs.push((role, expr));
        self.spans.push((role, span));
    }

    /// The input with the keys of its own order, where it has one, and how they sort.
    fn order(&mut self, input: LogicalPlan) -> Result<(LogicalPlan, Vec<SortOptions>)> {
        let Some((input, keys)) = with_order(&input)? else { return Ok((input, Vec::new())) };
        for (i, key) in keys.iter().enumerate() {
            self.exprs.push((Role::OrderKey(i), Expr::Column(key.column.clone())));
        }
        Ok((input, keys.into_iter().map(|key| key.options).collect()))
    }

    /// `user`, `time` and `name`: the columns that play the parts.
    fn roles(&mut self, call: &mut Call) -> Result<()> {
        for (argument, default, role) in [("user", "user_id", Role::User), ("time", "ts", Role::Time)] {
            let given = call.take(argument);
            let span = given.as_ref().map_or(call.span, |given| given.span);
            let column = self.role_column(given, argument, default, call.span)?;
            let expr = self.expr(column)?;
            if role == Role::Time {
                self.check_time(&expr, span)?;
            }
            self.push(role, expr, span);
        }
        if let Some(given) = call.take("name") {
            self.event = Some(self.role_column(Some(given), "name", "event", call.span)?);
        }
        Ok(())
    }

    fn role_column(&self, given: Option<NamedArgument>, argument: &str, default: &str, span: Span) -> Result<SqlExpr> {
        if let Some(given) = given {
            return Ok(match string_literal(&given.value) {
                Some(text) => {
                    SqlExpr::Identifier(Ident { value: text.into(), quote_style: Some('"'), span: given.span })
                }
                None => given.value,
            });
        }
        if self.schema.fields().iter().any(|field| field.name() == default) {
            return Ok(SqlExpr::Identifier(Ident { value: default.into(), quote_style: Some('"'), span }));
        }
        let names = self.schema.fields().iter().map(|field| field.name().as_str());
        Err(Error::invalid(format!("the input of FUNNEL has no column '{default}'"))
            .with_hint(format!("say which column plays its part: {argument} => column, one of {}", listed(names)))
            .at(span))
    }

    fn check_time(&self, expr: &Expr, span: Span) -> Result<()> {
        let data_type = expr.get_type(&self.schema)?;
        if matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Null) {
            return Ok(());
        }
        Err(Error::invalid(format!("time must be a TIMESTAMP, not {data_type}"))
            .with_hint("convert it: time => to_timestamp_micros(column)")
            .at(span))
    }

    fn event_column(&mut self, span: Span) -> Result<Expr> {
        let column = match &self.event {
            Some(column) => column.clone(),
            None => self.role_column(None, "name", "event", span)?,
        };
        self.expr(column)
    }

    /// Parameters take the type of what they are compared with, now that the columns are known.
    fn typed(&self, condition: Expr) -> Result<Expr> {
        Ok(condition.infer_placeholder_types(&self.schema)?.0)
    }

    /// A condition: a boolean expression, the name of an event, or a list of names.
    fn condition(&mut self, expr: SqlExpr) -> Result<Expr> {
        let span = expr.span();
        if let Some(name) = string_literal(&expr) {
            return Ok(self.event_column(span)?.eq(lit(name)));
        }
        if is_placeholder(&expr) {
            let parameter = self.expr(expr)?;
            let condition = self.event_column(span)?.eq(parameter);
            return self.typed(condition);
        }
        if matches!(expr, SqlExpr::Array(_) | SqlExpr::Tuple(_)) {
            let mut names = Vec::new();
            for item in list_items(expr) {
                if string_literal(&item).is_none() && !is_placeholder(&item) {
                    return Err(Error::invalid(format!("a list of events holds their names, not '{item}'"))
                        .with_hint("join conditions with OR")
                        .at(item.span()));
                }
                names.push(self.expr(item)?);
            }
            if names.is_empty() {
                return Err(Error::invalid("the list of events is empty").with_hint("name an event").at(span));
            }
            let condition = self.event_column(span)?.in_list(names, false);
            return self.typed(condition);
        }
        let condition = self.expr(expr)?;
        match condition.get_type(&self.schema)? {
            DataType::Boolean | DataType::Null => Ok(condition),
            other => Err(Error::invalid(format!("a condition is true or false, but this is {other}"))
                .with_hint("compare it with something, or name an event: 'purchase'")
                .at(span)),
        }
    }

    fn steps(&mut self, call: &mut Call) -> Result<Vec<String>> {
        let at = call.parts.iter().position(|part| part.name.to_string().eq_ignore_ascii_case("STEPS"));
        let part = at.map(|at| call.parts.remove(at));
        let again = call.parts.iter().find(|part| part.name.to_string().eq_ignore_ascii_case("STEPS"));
        if let Some(again) = again {
            return Err(twice(again.name.span()));
        }
        let list = call.take("steps");
        let steps = match (part, list) {
            (Some(part), None) => named_steps(part)?,
            (None, Some(NamedArgument { value: SqlExpr::Function(part), .. }))
                if part.name.to_string().eq_ignore_ascii_case("STEPS") =>
            {
                named_steps(part)?
            }
            (None, Some(list)) => list_items(list.value).into_iter().map(|item| (None, item)).collect(),
            (None, None) => {
                return Err(Error::invalid("FUNNEL needs its steps").with_hint(SIGNATURE.example).at(call.span));
            }
            (Some(part), Some(_)) => {
                return Err(twice(part.name.span()));
            }
        };
        let count = steps.len();
        if count == 0 {
            return Err(Error::invalid("FUNNEL needs at least one step").with_hint(SIGNATURE.example).at(call.span));
        }
        if count > STEPS_MAX {
            return Err(Error::invalid(format!("FUNNEL takes at most {STEPS_MAX} steps, not {count}"))
                .with_hint("join neighbouring steps with OR, or ask two funnels")
                .at(steps[STEPS_MAX].1.span()));
        }
        let mut names = Vec::with_capacity(count);
        for (i, (name, expr)) in steps.into_iter().enumerate() {
            let span = name.as_ref().map_or_else(|| expr.span(), |name| name.span);
            names.push(self.step_name(name, &expr, &names)?);
            let condition = self.condition(expr)?;
            self.push(Role::Step(i), condition, span);
        }
        Ok(names)
    }

    fn step_name(&self, name: Option<Ident>, expr: &SqlExpr, taken: &[String]) -> Result<String> {
        let Some(name) = name else {
            let text = string_literal(expr).map_or_else(|| expr.to_string(), String::from);
            return Ok(unused(text, taken));
        };
        let span = name.span;
        let name = self.context.normalize_ident(name);
        if taken.contains(&name) {
            return Err(Error::invalid(format!("two steps are called '{name}'"))
                .with_hint(format!("call one of them '{}'", unused(name.clone(), taken)))
                .at(span));
        }
        Ok(name)
    }

    /// `exclude => EXCLUDE(…)`, a list of them, or `EXCLUDE(…)` without a name.
    fn excludes(&mut self, call: &mut Call) -> Result<usize> {
        let mut parts: Vec<Function> = Vec::new();
        if let Some(argument) = call.take("exclude") {
            for item in list_items(argument.value) {
                match item {
                    SqlExpr::Function(part) if part.name.to_string().eq_ignore_ascii_case("EXCLUDE") => {
                        parts.push(part);
                    }
                    other => {
                        return Err(Error::invalid(format!("exclude takes EXCLUDE(…), not '{other}'"))
                            .with_hint("exclude => EXCLUDE('refund', after => 1, before => 2)")
                            .at(other.span()));
                    }
                }
            }
        }
        parts.append(&mut call.parts);
        let count = parts.len();
        for (i, part) in parts.into_iter().enumerate() {
            self.exclude(i, part)?;
        }
        Ok(count)
    }

    fn exclude(&mut self, index: usize, part: Function) -> Result<()> {
        let span = part.name.span();
        let (mut condition, mut after, mut before) = (None, None, None);
        for (name, value) in part_arguments(part)? {
            let place = name.as_ref().map_or_else(|| value.span(), |name| name.span);
            let key = name.as_ref().map(|name| name.value.to_lowercase());
            let slot = match key.as_deref() {
                None => &mut condition,
                Some("after") => &mut after,
                Some("before") => &mut before,
                Some(other) => {
                    return Err(Error::invalid(format!("EXCLUDE has no argument '{other}'"))
                        .with_hint("EXCLUDE(condition, after => step, before => step)")
                        .at(place));
                }
            };
            if slot.replace((value, place)).is_some() {
                let what = key.unwrap_or_else(|| "condition".into());
                return Err(Error::invalid(format!("EXCLUDE has more than one '{what}'"))
                    .with_hint("join conditions with OR, or use several EXCLUDE")
                    .at(place));
            }
        }
        let Some((condition, place)) = condition else {
            return Err(Error::invalid("EXCLUDE needs a condition")
                .with_hint("EXCLUDE('refund', after => 1, before => 2)")
                .at(span));
        };
        let condition = self.condition(condition)?;
        self.push(Role::Exclude(index), condition, place);
        for (role, value) in [(Role::ExcludeAfter(index), after), (Role::ExcludeBefore(index), before)] {
            if let Some((value, place)) = value {
                let value = self.expr(value)?;
                self.push(role, value, place);
            }
        }
        Ok(())
    }

    fn list(&mut self, call: &mut Call, name: &str, role: impl Fn(usize) -> Role) -> Result<usize> {
        let Some(argument) = call.take(name) else { return Ok(0) };
        let items = list_items(argument.value);
        let count = items.len();
        for (i, item) in items.into_iter().enumerate() {
            let span = if item.span() == Span::empty() { argument.span } else { item.span() };
            let expr = self.expr(item)?;
            self.push(role(i), expr, span);
        }
        Ok(count)
    }

    /// The `by` columns are called by their column, or by the text of the expression.
    fn by(&mut self, call: &mut Call) -> Result<Vec<String>> {
        let Some(argument) = call.take("by") else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for (i, item) in list_items(argument.value).into_iter().enumerate() {
            let span = item.span();
            let (item, alias) = match item {
                SqlExpr::Named { expr, name } => (*expr, Some(self.context.normalize_ident(name))),
                other => (other, None),
            };
            let text = item.to_string();
            let expr = self.expr(item)?;
            let name = match &expr {
                Expr::Column(column) => column.name.clone(),
                _ => text,
            };
            names.push(unused(alias.unwrap_or(name), &names));
            self.push(Role::By(i), expr, span);
        }
        Ok(names)
    }

    fn constant(&mut self, call: &mut Call, name: &str, role: Role) -> Result<()> {
        if let Some(argument) = call.take(name) {
            let expr = self.expr(argument.value)?;
            self.push(role, expr, argument.span);
        }
        Ok(())
    }

    /// `bucket`. One week is a calendar week: DataFusion would turn it into seven days, so the word is kept.
    fn bucket(&mut self, call: &mut Call) -> Result<bool> {
        let Some(argument) = call.take("bucket") else { return Ok(false) };
        let expr = match week_or_month(&argument.value) {
            Some(word) => lit(word),
            None => self.expr(argument.value)?,
        };
        self.push(Role::Bucket, expr, argument.span);
        Ok(true)
    }

    /// An argument that decides the shape of the answer: it must be one of `words`, and is known now.
    fn word(&mut self, call: &mut Call, name: &str, words: &[&str]) -> Result<Option<usize>> {
        let Some(argument) = call.take(name) else { return Ok(None) };
        let choices = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" or ");
        let Some(text) = string_literal(&argument.value) else {
            let message = format!("{name} decides the columns of the answer, so it must be written out");
            return Err(Error::invalid(message).with_hint(format!("{name} is {choices}")).at(argument.span));
        };
        match words.iter().position(|word| word.eq_ignore_ascii_case(text)) {
            Some(at) => Ok(Some(at)),
            None => {
                let near = closest(text, words.iter().copied()).map(|near| format!("did you mean '{near}'? "));
                let hint = format!("{}{name} is {choices}", near.unwrap_or_default());
                Err(Error::invalid(format!("{name} cannot be '{text}'")).with_hint(hint).at(argument.span))
            }
        }
    }
}

fn twice(span: Span) -> Error {
    Error::invalid("the steps are given twice").with_hint("put all steps into one STEPS(…)").at(span)
}

/// Whether the expression has a subquery that has to be asked again for each row.
fn asks_for_each_row(expr: &Expr) -> bool {
    let found = expr.exists(|expr| {
        Ok(match expr {
            Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => true,
            Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
            _ => false,
        })
    });
    found.unwrap_or(false)
}

fn named_steps(part: Function) -> Result<Vec<(Option<Ident>, SqlExpr)>> {
    part_arguments(part)
}

/// `INTERVAL '1' WEEK`, `INTERVAL '1 month'`: the calendar unit.
fn week_or_month(expr: &SqlExpr) -> Option<&'static str> {
    let SqlExpr::Interval(interval) = expr else { return None };
    let value = string_literal(&interval.value).map_or_else(|| interval.value.to_string(), String::from);
    let text = match &interval.leading_field {
        Some(DateTimeField::Week(_) | DateTimeField::Weeks) => format!("{value} week"),
        Some(DateTimeField::Month | DateTimeField::Months) => format!("{value} month"),
        Some(_) => return None,
        None => value,
    };
    // The word alone is no interval.
    let unit = calendar_unit(&text).filter(|_| text.trim().starts_with('1'));
    unit.filter(|unit| *unit != "day")
}
