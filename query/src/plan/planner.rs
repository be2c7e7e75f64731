//! From a call of an operator to expressions: names are looked up, expressions planned, each with its role and its place.

use super::arguments::{Call, NamedArgument, Signature, is_placeholder, list_items, string_literal};
use super::constants::calendar_unit;
use super::node::{Frame, OperatorNode, Role};
use super::one_event;
use super::operator::Operator;
use super::row_order::with_order;
use crate::error::{Error, Result, closest, listed};
use crate::sql::short_form::unused;
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, lit};
use datafusion::sql::sqlparser::ast::{DateTimeField, Expr as SqlExpr, Ident, Spanned};
use datafusion::sql::sqlparser::tokenizer::Span;

/// Plans the arguments of one call.
pub(crate) struct Planner<'a> {
    operator: &'static str,
    pub(crate) context: &'a mut dyn RelationPlannerContext,
    schema: DFSchemaRef,
    exprs: Vec<(Role, Expr)>,
    spans: Vec<(Role, Span)>,
    /// The column that names the event, once it is needed.
    event: Option<SqlExpr>,
}

impl<'a> Planner<'a> {
    /// A planner for a call over a relation with these columns. `user`, `time` and `name` are taken out of the call.
    ///
    /// # Errors
    /// `InvalidInput` if the input lacks a column that plays a part.
    pub(crate) fn new(
        signature: &Signature,
        call: &mut Call,
        input: &LogicalPlan,
        context: &'a mut dyn RelationPlannerContext,
    ) -> Result<Self> {
        let (operator, schema) = (signature.operator, input.schema().clone());
        let mut planner = Self { operator, context, schema, exprs: Vec::new(), spans: Vec::new(), event: None };
        planner.roles(call)?;
        Ok(planner)
    }

    /// The node of the operator, whose other arguments are all read.
    ///
    /// # Errors
    /// `InvalidInput` at an argument that the operator does not take.
    pub(crate) fn finish<O: Operator>(
        mut self,
        operator: O,
        by: Vec<String>,
        input: LogicalPlan,
        span: Span,
    ) -> Result<OperatorNode<O>> {
        let (input, order_keys) = self.order(input)?;
        let frame = Frame { by, order_keys, spans: self.spans };
        let node = OperatorNode::new(operator, frame, self.exprs, input).map_err(|error| error.at(span))?;
        node.check_constants()?;
        Ok(node)
    }

    /// The user of a row of `input`, as the arguments of `call` say.
    ///
    /// # Errors
    /// `InvalidInput` if the input lacks the column.
    pub(crate) fn user(
        signature: &Signature,
        call: &Call,
        input: &LogicalPlan,
        context: &'a mut dyn RelationPlannerContext,
    ) -> Result<Expr> {
        let planner = Self::new(signature, &mut call.clone(), input, context)?;
        let user = planner.exprs.into_iter().find(|(role, _)| *role == Role::User);
        user.map(|(_, expr)| expr).ok_or_else(|| Error::internal("a row without a user"))
    }

    /// An expression over the columns of the input.
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub(crate) fn expr(&mut self, expr: SqlExpr) -> Result<Expr> {
        let (span, text) = (expr.span(), expr.clone());
        let planned = self.context.sql_to_expr(expr, &self.schema).map_err(|error| {
            let error = Error::from(error);
            if error.span().is_some() { error } else { error.at(span) }
        })?;
        one_event::check(self.operator, &planned, &text)?;
        Ok(planned)
    }

    /// Keep an expression, its role, and where it stands in the text.
    pub(crate) fn push(&mut self, role: Role, expr: Expr, span: Span) {
        self.exprs.push((role, expr));
        self.spans.push((role, span));
    }

    /// The expression of this role that was kept.
    pub(crate) fn kept(&self, role: Role) -> Option<&Expr> {
        self.exprs.iter().find(|(known, _)| *known == role).map(|(_, expr)| expr)
    }

    /// Whether an expression of this role was kept.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.kept(role).is_some()
    }

    /// A condition over other columns than those of the input.
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub(crate) fn condition_over(&mut self, expr: SqlExpr, schema: &DFSchema) -> Result<Expr> {
        let (span, text) = (expr.span(), expr.clone());
        let planned = self.context.sql_to_expr(expr, schema).map_err(|error| {
            let error = Error::from(error);
            if error.span().is_some() { error } else { error.at(span) }
        })?;
        one_event::check(self.operator, &planned, &text)?;
        let condition = planned.infer_placeholder_types(schema)?.0;
        check_condition(&condition, schema, span)?;
        Ok(condition)
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
        Err(Error::invalid(format!("the input of {} has no column '{default}'", self.operator))
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

    /// The column that names the event.
    ///
    /// # Errors
    /// `InvalidInput` if the input has none.
    pub(crate) fn event_column(&mut self, span: Span) -> Result<Expr> {
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
    ///
    /// # Errors
    /// `InvalidInput` for what is none of them.
    pub(crate) fn condition(&mut self, expr: SqlExpr) -> Result<Expr> {
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
        check_condition(&condition, &self.schema, span)?;
        Ok(condition)
    }

    /// `on`: the condition whose events count, the first one of the node; any event where it is not given. Says whether it
    /// is.
    ///
    /// # Errors
    /// As [`Self::condition`].
    pub(crate) fn on(&mut self, call: &mut Call) -> Result<bool> {
        let (condition, span, is_given) = match call.take("on") {
            Some(argument) => (self.condition(argument.value)?, argument.span, true),
            None => (lit(true), call.span, false),
        };
        self.push(Role::Condition(0), condition, span);
        Ok(is_given)
    }

    /// A list of expressions; says how many there are.
    ///
    /// # Errors
    /// What is wrong with one of them, at its place.
    pub(crate) fn list(&mut self, call: &mut Call, name: &str, role: impl Fn(usize) -> Role) -> Result<usize> {
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
    ///
    /// # Errors
    /// What is wrong with one of them, at its place.
    pub(crate) fn by(&mut self, call: &mut Call) -> Result<Vec<String>> {
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

    /// A constant argument, if it is given; says whether it is.
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub(crate) fn constant(&mut self, call: &mut Call, name: &'static str) -> Result<bool> {
        let Some(argument) = call.take(name) else { return Ok(false) };
        let expr = self.expr(argument.value)?;
        self.push(Role::Constant(name, 0), expr, argument.span);
        Ok(true)
    }

    /// A constant span of time, of which one week and one month are calendar units: DataFusion would turn a week into
    /// seven days, so the word is kept. Says whether it is given.
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub(crate) fn calendar_constant(&mut self, call: &mut Call, name: &'static str) -> Result<bool> {
        let Some(argument) = call.take(name) else { return Ok(false) };
        let expr = match week_or_month(&argument.value) {
            Some(word) => lit(word),
            None => self.expr(argument.value)?,
        };
        self.push(Role::Constant(name, 0), expr, argument.span);
        Ok(true)
    }

    /// An argument that decides the shape of the answer: it must be one of `words`, and is known now.
    ///
    /// # Errors
    /// `InvalidInput` for another word, or for an expression.
    pub(crate) fn word(&mut self, call: &mut Call, name: &str, words: &[&str]) -> Result<Option<usize>> {
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

fn check_condition(condition: &Expr, schema: &DFSchema, span: Span) -> Result<()> {
    match condition.get_type(schema)? {
        DataType::Boolean | DataType::Null => Ok(()),
        other => Err(Error::invalid(format!("a condition is true or false, but this is {other}"))
            .with_hint("compare it with something, or name an event: 'purchase'")
            .at(span)),
    }
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
