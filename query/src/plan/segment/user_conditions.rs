//! What a segment says of users and not of events: `TAG('vip')`, and conditions on profiles such as `plan = 'pro'`.

use super::shape::{Reader, Shape, columns_of, or};
use crate::error::{Error, ErrorKind, Result, closest, listed};
use crate::plan::arguments::{part_arguments, string_literal};
use crate::plan::catalog::normalised;
use crate::plan::node::Role;
use crate::plan::peel::{TableHandle, event_tables};
use crate::profiles::condition::ProfileCondition;
use crate::profiles::relation::ProfileTable;
use crate::tags::function::{Asks, TagFunction};
use crate::tags::no_such_tag;
use crate::tags::resolve::only;
use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, lit};
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, Function, Ident, Spanned};
use datafusion::sql::sqlparser::tokenizer::Span;

/// What is known of the users of the input.
pub(super) struct Users {
    /// The event table, where the input is of one alone.
    table: Option<TableHandle>,
    profiles: Option<ProfileTable>,
    /// The conditions that are kept: the one on a profile, where it is one.
    kept: Vec<(Expr, Option<Expr>)>,
}

impl Users {
    /// Those of `input`.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn of(input: &LogicalPlan) -> Result<Self> {
        let table = only(event_tables(input));
        let profiles = table.as_ref().map(|table| ProfileTable::of(table.get())).transpose()?;
        Ok(Self { table, profiles, kept: Vec::new() })
    }

    /// How many conditions there are.
    pub(super) fn count(&self) -> usize {
        self.kept.len()
    }
}

impl Reader<'_, '_> {
    /// `TAG('vip')`, `TAG('tier', 'gold')`.
    pub(super) fn tag(&mut self, call: Function) -> Result<Shape> {
        let place = call.name.span();
        let wrong = || {
            Error::invalid("TAG takes the name of a tag, and a value where it has some")
                .with_hint("write TAG('vip') or TAG('tier', 'gold')")
        };
        let mut texts = Vec::new();
        for (name, value) in part_arguments(call)? {
            let at = or(value.span(), place);
            match string_literal(&value).filter(|_| name.is_none()) {
                Some(text) => texts.push((text.to_string(), at)),
                None => return Err(wrong().at(at)),
            }
        }
        match texts.as_slice() {
            [(tag, at)] => self.tagged(tag, None, *at),
            [(tag, at), (value, _)] => self.tagged(tag, Some(value), *at),
            _ => Err(wrong().at(place)),
        }
    }

    /// The users of a tag that stands at `at`.
    ///
    /// # Errors
    /// `NotFound` for a tag that the table does not have.
    pub(super) fn tagged(&mut self, tag: &str, value: Option<&str>, at: Span) -> Result<Shape> {
        if let Some(table) = &self.users.table
            && !tag.contains('.')
        {
            let snapshot = &table.get().snapshot;
            let tags = snapshot.tags();
            if tags.get(tag).is_none() {
                return Err(no_such_tag(tag, &snapshot.table, &tags).at(at));
            }
        }
        let arguments = [self.user(at)?, lit(tag)].into_iter().chain(value.map(lit)).collect();
        let function = TagFunction::new(Asks::Has).into_udf();
        Ok(self.whose(Expr::ScalarFunction(ScalarFunction::new_udf(function, arguments)), None, at))
    }

    /// The names of all tags of the input's table, in order.
    ///
    /// # Errors
    /// `InvalidInput` at `at` if the input is of no single table, or it has none.
    pub(super) fn all_tags(&self, at: Span) -> Result<Vec<String>> {
        let table = self.users.table.as_ref().ok_or_else(|| {
            Error::invalid("the input is of no single event table, so its tags are not known")
                .with_hint("name them: tags => ['vip', 'churning']")
                .at(at)
        })?;
        let snapshot = &table.get().snapshot;
        let mut names: Vec<String> = snapshot.tags().names().map(String::from).collect();
        names.sort_unstable();
        if names.is_empty() {
            let hint = format!("make one: CREATE TAG vip ON {} AS (SELECT user_id …)", snapshot.table);
            return Err(Error::invalid(format!("table '{}' has no tags", snapshot.table)).with_hint(hint).at(at));
        }
        Ok(names)
    }

    /// A condition on the profile of the user.
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub(super) fn profile(&mut self, expr: SqlExpr, place: Span) -> Result<Shape> {
        for column in columns_of(&expr) {
            self.check_column(&column, &expr).map_err(|error| error.at(or(column.span, place)))?;
        }
        let Some(profiles) = &self.users.profiles else { return Err(Error::internal("profiles of no table")) };
        let schema = DFSchema::try_from(profiles.schema().as_ref().clone())?;
        let condition = self.planner.condition_over(expr, &schema).map_err(|error| error.at(place))?;
        self.profiled(condition, place)
    }

    fn profiled(&mut self, condition: Expr, place: Span) -> Result<Shape> {
        let Some(profiles) = &self.users.profiles else { return Err(Error::internal("profiles of no table")) };
        let as_of = self.planner.kept(Role::Constant("as_of", 0)).cloned();
        if as_of.is_some() && self.users.table.as_ref().is_some_and(|of| !of.get().snapshot.options.profile_history) {
            return Err(profiles.no_history().at(place));
        }
        let call = ProfileCondition::call(profiles, self.user(place)?, condition.clone(), as_of)?;
        Ok(self.whose(call, Some(condition), place))
    }

    /// Whether profiles have this column, and a segment may ask for it.
    fn check_column(&self, column: &Ident, expr: &SqlExpr) -> Result<()> {
        let of_events: Vec<&str> = self.columns.fields().iter().map(|field| field.name().as_str()).collect();
        let schema = self.users.profiles.as_ref().map(TableProvider::schema);
        let of_profiles: Vec<&str> =
            schema.iter().flat_map(|schema| schema.fields()).map(|of| of.name().as_str()).collect();
        let is_in = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(&column.value));
        if is_in(&of_profiles) && normalised(column) != "user_id" {
            return Ok(());
        }
        if is_in(&of_events) {
            return Err(Error::invalid(format!("'{}' is a column of events, and a user may have many", column.value))
                .with_hint(format!("write DID({expr}): the user has such an event")));
        }
        let own = of_profiles.into_iter().filter(|name| *name != "user_id" && *name != "updated_at");
        let own: Vec<&str> = own.collect();
        let near = closest(&column.value, own.iter().chain(&of_events).copied());
        let near = near.map(|near| if is_in_list(near, &own) { near.to_string() } else { format!("DID({near} …)") });
        let near = near.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
        let profiles = match own.as_slice() {
            [] => "profiles have no columns yet".to_string(),
            own => format!("columns of profiles are {}", listed(own.iter().copied())),
        };
        let hint = format!("{near}{profiles}, columns of events, for DID, are {}", listed(of_events.into_iter()));
        Err(Error::new(ErrorKind::NotFound, format!("nothing is called '{}'", column.value)).with_hint(hint))
    }

    /// Everybody of whom `shape` is false. A condition on a profile may be neither true nor false, so the negation of one is
    /// another condition, as in SQL.
    ///
    /// # Errors
    /// None in practice.
    pub(super) fn negated(&mut self, shape: Shape, place: Span) -> Result<Shape> {
        if !self.asks_for_profiles(&shape) {
            return Ok(Shape::Not(Box::new(shape)));
        }
        let mut all =
            |parts: Vec<Shape>| parts.into_iter().map(|part| self.negated(part, place)).collect::<Result<_>>();
        Ok(match shape {
            Shape::All(parts) => Shape::Any(all(parts)?),
            Shape::Any(parts) => Shape::All(all(parts)?),
            Shape::Whose(set) => match self.users.kept[set].1.clone() {
                Some(condition) => self.profiled(Expr::Not(Box::new(condition)), place)?,
                None => Shape::Not(Box::new(shape)),
            },
            other => Shape::Not(Box::new(other)),
        })
    }

    fn asks_for_profiles(&self, shape: &Shape) -> bool {
        match shape {
            Shape::All(parts) | Shape::Any(parts) => parts.iter().any(|part| self.asks_for_profiles(part)),
            Shape::Not(inner) => self.asks_for_profiles(inner),
            Shape::Whose(set) => self.users.kept[*set].1.is_some(),
            Shape::Did(_) => false,
        }
    }

    /// The user of a row, for what is asked of users at `place`.
    fn user(&self, place: Span) -> Result<Expr> {
        let user = self.planner.kept(Role::User).cloned().ok_or_else(|| Error::internal("a row without a user"))?;
        match user.get_type(&self.columns)? {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Ok(user),
            other => Err(Error::invalid(format!("tags and profiles are of users whose ids are TEXT, not {other}"))
                .with_hint("convert them in a subquery: (SELECT CAST(… AS TEXT) AS user_id, …)")
                .at(place)),
        }
    }

    /// The same condition has one number, however often it stands there.
    fn whose(&mut self, condition: Expr, of_profile: Option<Expr>, place: Span) -> Shape {
        if let Some(known) = self.users.kept.iter().position(|(known, _)| *known == condition) {
            return Shape::Whose(known);
        }
        let number = self.users.kept.len();
        self.users.kept.push((condition.clone(), of_profile));
        self.planner.push(Role::Whose(number), condition, place);
        Shape::Whose(number)
    }
}

fn is_in_list(name: &str, names: &[&str]) -> bool {
    names.contains(&name)
}
