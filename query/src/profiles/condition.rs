//! A condition on the profiles of users as an expression that has no row of a profile: `plan = 'pro'` inside SEGMENT.
//!
//! Columns of profiles become calls of [`ProfileColumn`], and the condition the argument of a [`ProfileCondition`], so that
//! the optimizer, parameters and kept plans treat it as they do any other. Before a plan is lowered the condition gets its
//! users.

use super::relation::{ProfileTable, as_of_us};
use crate::error::{Error, Result};
use crate::plan::catalog::Names;
use datafusion::arrow::array::{Array, BooleanArray, RecordBatch, RecordBatchOptions, StringViewArray, new_null_array};
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use std::any::Any;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use trodden_engine::members::Members;
use trodden_engine::profiles::ProfileScan;
use trodden_engine::{ProfilesSnapshot, Snapshot};

/// The value of a column of the user's profile. It is never computed: a [`ProfileCondition`] around it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ProfileColumn {
    name: String,
    data_type: DataType,
    signature: Signature,
}

/// Whether a condition over the user's profile is true: its arguments are the user, the condition, and as of when, where that
/// is asked.
#[derive(Debug, Clone)]
pub(crate) struct ProfileCondition {
    /// The event table whose users have the profiles.
    table: String,
    signature: Signature,
    /// The users, once the snapshot is known.
    pub(crate) bound: Option<(Snapshot, Arc<Members>)>,
}

impl ProfileCondition {
    /// `condition` over the columns of the profiles of `table`, for the user `user`.
    ///
    /// # Errors
    /// None in practice: those of walking through an expression.
    pub(crate) fn call(table: &ProfileTable, user: Expr, condition: Expr, as_of: Option<Expr>) -> Result<Expr> {
        let signature = Signature::variadic_any(Volatility::Stable);
        let over_user = condition.transform_up(|expr| match &expr {
            Expr::Column(column) => {
                let data_type = table.schema().field_with_name(&column.name)?.data_type().clone();
                let function = ProfileColumn { name: column.name.clone(), data_type, signature: signature.clone() };
                let udf = Arc::new(ScalarUDF::new_from_impl(function));
                Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(udf, vec![user.clone()]))))
            }
            _ => Ok(Transformed::no(expr)),
        })?;
        let function = Self { table: table.event_table().to_string(), signature: signature.clone(), bound: None };
        let arguments = [user, over_user.data].into_iter().chain(as_of).collect();
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(function)), arguments)))
    }

    /// The condition that `call` is about.
    pub(crate) fn of(call: &ScalarFunction) -> Option<&Self> {
        let inner: &dyn Any = call.func.inner().as_ref();
        inner.downcast_ref::<Self>()
    }

    /// The users for whom it is true.
    fn users(&self, arguments: &[Expr], names: &Names, state: &SessionState) -> Result<(Snapshot, Members)> {
        let events = names.pinned(&self.table)?;
        let table = ProfileTable::of(&events)?;
        let [_, condition, as_of @ ..] = arguments else { return Err(Error::internal("a condition on no profile")) };
        let condition = over_profiles(condition.clone())?;
        let as_of_us = as_of.first().map(|as_of| as_of_us(state, as_of)).transpose()?;
        let snapshot = events.snapshot.clone();
        let asked = Asked { table: &table, events: &snapshot, state };
        let members = match (events.profiles(), as_of_us) {
            (None, _) => asked.of_nobody(&condition)?,
            (Some(profiles), None) => asked.now(profiles, &condition)?,
            (Some(profiles), Some(as_of_us)) => asked.as_of(profiles, &condition, as_of_us)?,
        };
        Ok((snapshot, members))
    }
}

/// One condition, and what it is asked of.
struct Asked<'a> {
    table: &'a ProfileTable,
    events: &'a Snapshot,
    state: &'a SessionState,
}

impl Asked<'_> {
    fn now(&self, profiles: &ProfilesSnapshot, condition: &Expr) -> Result<Members> {
        let answer = profiles.answer(self.events, &self.table.predicate(self.state, condition)?)?;
        Ok(match answer.without {
            Some(true) => answer.yes.or(&everybody(self.events).and_not(&answer.profiled)),
            _ => answer.yes,
        })
    }

    fn as_of(&self, profiles: &ProfilesSnapshot, condition: &Expr, as_of_us: i64) -> Result<Members> {
        profiles.check_as_of(Some(as_of_us))?;
        let (columns, condition) = self.physical(condition)?;
        let named = columns.fields().iter().map(|field| field.name().clone());
        let scan = ProfileScan {
            columns: ["user_id".to_string()].into_iter().chain(named).collect(),
            as_of_us: Some(as_of_us),
            ..ProfileScan::default()
        };
        let (mut yes, mut profiled) = (Members::default(), Members::default());
        let mut failed = Ok(());
        for shard in 0..profiles.shards() {
            profiles.read(shard, &scan, &mut |batch| {
                match self.of_batch(&condition, &batch) {
                    Ok((of_yes, all)) => (yes, profiled) = (yes.or(&of_yes), profiled.or(&all)),
                    Err(error) => failed = Err(error),
                }
                Ok(failed.is_ok())
            })?;
        }
        failed?;
        let others = self.of_nobody_by(&columns, &condition)?;
        Ok(if others { yes.or(&everybody(self.events).and_not(&profiled)) } else { yes })
    }

    /// The users for whom it is true, and all of them, of a batch whose first column is the user.
    fn of_batch(&self, condition: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<(Members, Members)> {
        let ids = batch.column(0).as_any().downcast_ref::<StringViewArray>();
        let ids: Vec<&str> = ids.into_iter().flatten().flatten().collect();
        let columns: Vec<usize> = (1..batch.num_columns()).collect();
        let truths = self.truths(condition, &batch.project(&columns).map_err(DataFusionError::from)?)?;
        let places = self.events.ordinals_of(&ids)?;
        let all = || places.iter().zip(&truths).filter_map(|(place, truth)| Some(((*place)?, *truth)));
        let place = |(shard, ordinal): (u16, u32)| (usize::from(shard), ordinal);
        let shards = self.events.shards.len();
        let yes = Members::of_places(shards, all().filter(|(_, truth)| *truth).map(|(user, _)| place(user)));
        Ok((yes, Members::of_places(shards, all().map(|(user, _)| place(user)))))
    }

    /// Where there is no profile at all, all columns of all users are NULL.
    fn of_nobody(&self, condition: &Expr) -> Result<Members> {
        let (columns, condition) = self.physical(condition)?;
        Ok(if self.of_nobody_by(&columns, &condition)? { everybody(self.events) } else { Members::default() })
    }

    fn of_nobody_by(&self, columns: &SchemaRef, condition: &Arc<dyn PhysicalExpr>) -> Result<bool> {
        let nullable = columns.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let nullable = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        let nulls = columns.fields().iter().map(|field| new_null_array(field.data_type(), 1));
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let row =
            RecordBatch::try_new_with_options(nullable, nulls.collect(), &options).map_err(DataFusionError::from)?;
        Ok(self.truths(condition, &row)?.first().copied().unwrap_or(false))
    }

    /// The condition over the columns that it reads, and these.
    fn physical(&self, condition: &Expr) -> Result<(SchemaRef, Arc<dyn PhysicalExpr>)> {
        let condition = self.table.simplified(self.state, condition)?;
        let used: HashSet<String> = condition.column_refs().iter().map(|column| column.name.clone()).collect();
        let schema = self.table.schema();
        let places: Vec<usize> =
            (0..schema.fields().len()).filter(|&at| used.contains(schema.field(at).name())).collect();
        let columns = Arc::new(schema.project(&places).map_err(DataFusionError::from)?);
        let over = DFSchema::try_from(columns.as_ref().clone())?;
        let props = self.state.execution_props();
        let physical = create_physical_expr(&condition, &over, props, &PhysicalPlanningContext::default())?;
        Ok((columns, physical))
    }

    fn truths(&self, condition: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<Vec<bool>> {
        let values = condition.evaluate(batch)?.into_array(batch.num_rows())?;
        let truths = values.as_any().downcast_ref::<BooleanArray>();
        // What is no boolean is NULL throughout.
        Ok(truths.map_or(vec![false; batch.num_rows()], |truths| truths.iter().map(|of| of == Some(true)).collect()))
    }
}

/// All users of a snapshot, whether they have events or not.
fn everybody(events: &Snapshot) -> Members {
    let shards = events.shards.iter().map(|shard| {
        let mut users = roaring::RoaringBitmap::new();
        users.insert_range(0..shard.next_ordinal);
        users
    });
    shards.collect::<Vec<_>>().into()
}

/// The condition with columns in place of calls of [`ProfileColumn`].
///
/// # Errors
/// None in practice: those of walking through an expression.
pub(crate) fn over_profiles(condition: Expr) -> Result<Expr> {
    let over = condition.transform_up(|expr| match &expr {
        Expr::ScalarFunction(call) => {
            let inner: &dyn Any = call.func.inner().as_ref();
            Ok(match inner.downcast_ref::<ProfileColumn>() {
                Some(column) => Transformed::yes(Expr::Column(Column::new_unqualified(&column.name))),
                None => Transformed::no(expr),
            })
        }
        _ => Ok(Transformed::no(expr)),
    })?;
    Ok(over.data)
}

/// The plan with the users of every condition on profiles that it has.
///
/// # Errors
/// `InvalidInput` for a condition that is none, or a time without a history; `Corrupt`.
pub(crate) fn bind(plan: LogicalPlan, names: &Names, state: &SessionState) -> Result<LogicalPlan> {
    if !asks_for_profiles(&plan)? {
        return Ok(plan);
    }
    let bound = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_up(|expr| {
                let Expr::ScalarFunction(call) = &expr else { return Ok(Transformed::no(expr)) };
                let Some(condition) = ProfileCondition::of(call) else { return Ok(Transformed::no(expr)) };
                let (snapshot, members) = condition.users(&call.args, names, state)?;
                let bound = ProfileCondition { bound: Some((snapshot, Arc::new(members))), ..condition.clone() };
                let udf = Arc::new(ScalarUDF::new_from_impl(bound));
                Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(udf, call.args.clone()))))
            })
        })
    })?;
    Ok(bound.data)
}

/// Whether a plan has conditions on profiles.
///
/// # Errors
/// None in practice: those of walking through a plan.
pub(crate) fn asks_for_profiles(plan: &LogicalPlan) -> Result<bool> {
    let mut asks = false;
    plan.apply_with_subqueries(|plan| {
        // Only operators have them.
        if matches!(plan, LogicalPlan::Extension(_)) {
            plan.apply_expressions(|expr| {
                asks |= expr.exists(|expr| {
                    Ok(matches!(expr, Expr::ScalarFunction(call) if ProfileCondition::of(call).is_some()))
                })?;
                Ok(if asks { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })?;
        }
        Ok(if asks { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(asks)
}

// Two are the same where the same question is asked of the same state; its bitmaps need not be compared.
impl PartialEq for ProfileCondition {
    fn eq(&self, other: &Self) -> bool {
        let is_same = match (&self.bound, &other.bound) {
            (Some((_, mine)), Some((_, others))) => Arc::ptr_eq(mine, others),
            (mine, others) => mine.is_none() && others.is_none(),
        };
        is_same && self.table == other.table
    }
}

impl Eq for ProfileCondition {}

impl Hash for ProfileCondition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.table.hash(state);
    }
}

impl ScalarUDFImpl for ProfileColumn {
    fn name(&self) -> &str {
        "profile_column"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        Err(Error::internal("a column of a profile was asked of a row").into())
    }
}

impl ScalarUDFImpl for ProfileCondition {
    fn name(&self) -> &str {
        "profile_condition"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        Err(Error::internal("a condition on profiles was asked of a row").into())
    }
}
