//! Profiles as a table of DataFusion: one row a user.

use super::scan::{ProfileRequest, ProfileScanExec};
use crate::error::{Error, ErrorKind};
use crate::functions::checked;
use crate::plan::arguments::{Call, NamedArgument, Signature, is_placeholder};
use crate::plan::constants::{instant_us, literal};
use crate::plan::peel::TableHandle;
use crate::table::provider::EventTable;
use crate::table::schema::timestamp_type;
use crate::table::translate::{Translator, is_row_condition};
use crate::warnings::StatementState;
use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{Column, DFSchema, Result, Statistics};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableProviderFilterPushDown, TableType,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::{FunctionArg, ObjectName};
use std::fmt;
use std::sync::Arc;
use trodden_engine::engine::profiles_name;
use trodden_engine::predicate::Predicate;
use trodden_engine::profiles::ProfileScan;
use trodden_engine::{ProfilesSnapshot, Snapshot};

/// The words of PROFILES.
const SIGNATURE: Signature = Signature {
    operator: "PROFILES",
    arguments: &["as_of"],
    parts: &[],
    example: "PROFILES(events, as_of => TIMESTAMP '2026-03-01')",
};

/// The profiles of an event table, pinned with it.
pub(crate) struct ProfileTable {
    name: String,
    /// `None` before the first profile.
    profiles: Option<ProfilesSnapshot>,
    events: Snapshot,
    schema: SchemaRef,
    /// As of which time, over no columns.
    as_of: Option<Expr>,
}

impl fmt::Debug for ProfileTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProfileTable({})", self.name)
    }
}

impl ProfileTable {
    /// The profiles of the users of `events`.
    ///
    /// # Errors
    /// None in practice.
    pub(crate) fn of(events: &EventTable) -> crate::error::Result<Self> {
        let profiles = events.profiles().cloned();
        let schema = match &profiles {
            Some(profiles) => profiles.relation_schema()?,
            None => Arc::new(ArrowSchema::new(vec![
                Field::new("user_id", DataType::Utf8View, false),
                Field::new("updated_at", timestamp_type(), false),
            ])),
        };
        let (name, events) = (profiles_name(&events.snapshot.table), events.snapshot.clone());
        Ok(Self { name, profiles, events, schema, as_of: None })
    }

    /// What the bitmaps can answer of conditions of which all are to be true.
    fn condition(&self, session: &dyn Session, conditions: &[Expr]) -> Result<Option<Predicate>> {
        // Tags are of events; a condition on them is not for the bitmaps of profiles.
        let translator = Translator { table: u64::MAX, schema: &self.schema, props: session.execution_props() };
        let mut sum = Predicate::True;
        for condition in conditions.iter().flat_map(|condition| split_conjunction(condition)) {
            let predicate = translator.predicate(condition)?;
            if !has_custom(&predicate) {
                sum = sum.and(predicate);
            }
        }
        Ok((!matches!(sum, Predicate::True)).then_some(sum))
    }

    /// Why its state as of a time cannot be told.
    pub(crate) fn no_history(&self) -> Error {
        let message = format!("'{}' keeps the last value of each column, and no history", self.name);
        Error::new(ErrorKind::InvalidInput, message)
            .with_hint("leave as_of away; history is kept by a table made WITH (profile_history = true)")
    }

    /// The event table whose users these are.
    pub(crate) fn event_table(&self) -> &str {
        &self.events.table
    }

    /// A condition with the types of the columns and constants computed.
    ///
    /// # Errors
    /// Where its types do not go together.
    pub(crate) fn simplified(&self, session: &dyn Session, condition: &Expr) -> crate::error::Result<Expr> {
        simplified(session, condition, &DFSchema::try_from(self.schema.as_ref().clone())?)
    }

    /// A condition for the bitmaps.
    ///
    /// # Errors
    /// Where its types do not go together.
    pub(crate) fn predicate(&self, session: &dyn Session, condition: &Expr) -> crate::error::Result<Predicate> {
        let translator = Translator { table: u64::MAX, schema: &self.schema, props: session.execution_props() };
        Ok(translator.predicate(&self.simplified(session, condition)?)?)
    }
}

fn simplified(session: &dyn Session, expr: &Expr, schema: &DFSchema) -> crate::error::Result<Expr> {
    let props = session.execution_props();
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(Arc::clone(props.config_options.as_ref().unwrap_or(&Arc::default())))
        .with_query_execution_start_time(props.query_execution_start_time)
        .build();
    let simplifier = ExprSimplifier::new(context);
    Ok(simplifier.simplify(checked(simplifier.coerce(expr.clone(), schema)?, schema)?)?)
}

/// The time, in microseconds, that `as_of` gives in this statement.
///
/// # Errors
/// `InvalidInput` for what is no time.
pub(crate) fn as_of_us(session: &dyn Session, as_of: &Expr) -> crate::error::Result<i64> {
    let simplified = simplified(session, as_of, &DFSchema::empty())?;
    let no_constant = || {
        Error::invalid(format!("as_of needs a time that is the same for all rows, not {as_of}"))
            .with_hint("for example as_of => TIMESTAMP '2026-03-01'")
    };
    instant_us(literal(&simplified).ok_or_else(no_constant)?, "as_of")
}

#[async_trait]
impl TableProvider for ProfileTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let as_of_us = self.as_of.as_ref().map(|as_of| as_of_us(session, as_of)).transpose()?;
        if let Some(profiles) = &self.profiles {
            profiles.check_as_of(as_of_us).map_err(crate::error::Error::from)?;
        }
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => Arc::clone(&self.schema),
        };
        let columns = schema.fields().iter().map(|field| field.name().clone()).collect();
        let users = filters.iter().filter_map(users_of).reduce(|mut some, others| {
            some.retain(|user| others.contains(user));
            some
        });
        let conditions = filters.iter().filter(|filter| users_of(filter).is_none());
        let conditions: Vec<Expr> = conditions.cloned().collect();
        let request = ProfileRequest {
            name: self.name.clone(),
            profiles: self.profiles.clone(),
            events: self.events.clone(),
            scan: ProfileScan { columns, as_of_us, users, candidates: None },
            // What is kept in memory is of now.
            condition: if as_of_us.is_none() { self.condition(session, &conditions)? } else { None },
            // Rows that are read are not all of the answer where a condition is looked at again.
            limit: limit.filter(|_| conditions.is_empty()),
        };
        let partitions = session.config().target_partitions();
        Ok(Arc::new(ProfileScanExec::new(request, schema, partitions, StatementState::of(session.config()))))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = |filter: &&Expr| match users_of(filter) {
            Some(_) => TableProviderFilterPushDown::Exact,
            None if is_row_condition(filter) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        let shards = self.profiles.iter().flat_map(|profiles| &profiles.snapshot.shards);
        let users: u64 = shards.map(|shard| u64::from(shard.next_ordinal)).sum();
        statistics.num_rows = Precision::Inexact(usize::try_from(users).unwrap_or(usize::MAX));
        Some(statistics)
    }
}

/// Whether a part of a condition has to be evaluated row by row, for which columns would have to be kept.
fn has_custom(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::And(parts) | Predicate::Or(parts) => parts.iter().any(has_custom),
        Predicate::Not(inner) => has_custom(inner),
        Predicate::Custom(_) => true,
        _ => false,
    }
}

/// The users whom a condition names, where that is all that it does.
fn users_of(filter: &Expr) -> Option<Vec<String>> {
    let is_user = |expr: &Expr| matches!(expr, Expr::Column(Column { name, .. }) if name == "user_id");
    let text = |expr: &Expr| literal(expr)?.try_as_str().flatten().map(String::from);
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_user(left) => Some(vec![text(right)?]),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_user(right) => Some(vec![text(left)?]),
        Expr::InList(InList { expr, list, negated: false }) if is_user(expr) => list.iter().map(text).collect(),
        _ => None,
    }
}

/// Plan `PROFILES(events, as_of => …)`.
///
/// # Errors
/// `InvalidInput` at what is no event table, and at the argument that is wrong.
pub(crate) fn plan(
    name: &ObjectName,
    args: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
) -> crate::error::Result<LogicalPlan> {
    let mut call = Call::read(name, args, &SIGNATURE)?;
    let input = context.plan(call.input.clone())?;
    let handle = if let LogicalPlan::TableScan(scan) = &input { TableHandle::of(scan) } else { None };
    let no_table =
        || Error::invalid("PROFILES needs the name of an event table").with_hint(SIGNATURE.example).at(call.span);
    let handle = handle.ok_or_else(no_table)?;
    let mut table = ProfileTable::of(handle.get())?;
    if let Some(as_of) = call.take("as_of") {
        if !handle.get().snapshot.options.profile_history {
            return Err(table.no_history().at(as_of.span));
        }
        table.as_of = Some(constant(as_of, context)?);
    }
    let name = table.name.clone();
    Ok(LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(table)), None)?.build()?)
}

fn constant(argument: NamedArgument, context: &mut dyn RelationPlannerContext) -> crate::error::Result<Expr> {
    if is_placeholder(&argument.value) {
        return Err(Error::unsupported("as_of takes no parameter")
            .with_hint("write the time itself: as_of => TIMESTAMP '2026-03-01'")
            .at(argument.span));
    }
    let planned = context.sql_to_expr(argument.value, &DFSchema::empty());
    planned.map_err(|error| Error::from(error).at(argument.span))
}
