//! Who is in a tag now? A query that asks for the users with an event like that is answered from bitmaps, and where it
//! depends on nothing else, only by the events that arrived since the last time; any other query by its rows.

use super::bind::asks_for_tags;
use crate::commands::blocking;
use crate::error::{Error, ErrorKind, Result, listed};
use crate::plan::cache::is_lasting;
use crate::plan::context::StatementContext;
use crate::plan::peel::Peeled;
use crate::run::Runner;
use crate::table::provider::EventTable;
use crate::table::translate::{Condition, Translator};
use crate::warnings::Warning;
use datafusion::arrow::array::{Array, ArrayRef, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};
use datafusion::physical_plan::execute_stream;
use datafusion::sql::sqlparser::ast::Query;
use futures::StreamExt;
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use trodden_engine::scan::users_with;
use trodden_engine::table::Snapshot;
use trodden_engine::tags::{TAG_VALUES_MAX, Tag, TagMembers};

/// Who is in a tag, and what that depends on.
pub(crate) struct Computed {
    pub(crate) members: TagMembers,
    /// Of the table, at which that is so.
    pub(crate) snapshot: Snapshot,
    /// See `TagInfo::basis`; empty where a refresh cannot go on where this one ended.
    pub(crate) basis: String,
    pub(crate) incremental: bool,
}

/// Who is in the tag that `query` defines over `table`. `before`: the tag, where it is refreshed.
///
/// # Errors
/// `InvalidInput` for a query that names no users, and what its running raises.
pub(crate) async fn compute(
    runner: &Runner<'_>,
    table: &Arc<EventTable>,
    query: &Query,
    before: Option<&Tag>,
) -> Result<Computed> {
    let planned = StatementContext::new(&runner.state, &runner.names).plan_query(Box::new(query.clone()))?;
    if !planned.get_parameter_names()?.is_empty() {
        return Err(Error::invalid("the query of a tag has no parameters").with_hint("write the values out"));
    }
    let columns = Columns::of(planned.schema())?;
    let is_steady = is_lasting(&planned)? && !asks_for_tags(&planned)?;
    let optimized = runner.state.optimize(&runner.bound(planned)?)?;
    if columns.value.is_none()
        && let Some(asked) = Asked::of(&optimized, table, runner)?
    {
        return asked.compute(runner, table, is_steady, before).await;
    }
    let members = by_rows(runner, table, optimized, &columns).await?;
    Ok(Computed { members, snapshot: table.snapshot.clone(), basis: String::new(), incremental: false })
}

/// Where a query has the users, and their values.
struct Columns {
    user: usize,
    value: Option<usize>,
}

impl Columns {
    fn of(schema: &DFSchema) -> Result<Self> {
        let fields = schema.fields();
        let named = |name: &str| fields.iter().position(|field| field.name().eq_ignore_ascii_case(name));
        let user = match (named("user_id"), fields.len()) {
            (Some(user), _) => user,
            (None, 1) => 0,
            (None, _) => {
                let names = listed(fields.iter().map(|field| field.name().as_str()));
                return Err(Error::invalid(format!("the query of a tag has no column user_id, but {names}"))
                    .with_hint("call the column of the users so: SELECT customer AS user_id …"));
            }
        };
        let given = fields[user].data_type();
        if !matches!(given, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null) {
            let message = format!("the users of a tag are texts, but column '{}' is {given}", fields[user].name());
            return Err(Error::invalid(message).with_hint("convert it: CAST(… AS TEXT) AS user_id"));
        }
        let value = named("value").filter(|_| fields.len() == 2);
        Ok(Self { user, value })
    }
}

/// A query for the users with an event that satisfies a condition.
struct Asked {
    condition: Condition,
    /// The condition, and the columns that it looks at, with their types: where one of them is widened, it means another one.
    basis: String,
}

impl Asked {
    /// `None` where the query asks for anything else.
    fn of(optimized: &LogicalPlan, table: &EventTable, runner: &Runner<'_>) -> Result<Option<Self>> {
        let input = each_once(optimized);
        let Some(peeled) = Peeled::of(input)? else { return Ok(None) };
        let [(qualifier, field)] = &input.schema().iter().collect::<Vec<_>>()[..] else { return Ok(None) };
        let user = Expr::Column((*qualifier, *field).into());
        let is_user =
            matches!(peeled.rebase(&user, input.schema())?, Some(Expr::Column(column)) if column.name == "user_id");
        if !is_user || peeled.table.get().snapshot.id != table.snapshot.id {
            return Ok(None);
        }
        let props = runner.state.execution_props();
        let translator = Translator { schema: &table.schema, props, table: table.snapshot.id };
        let condition = translator.conjunction(&peeled.filters)?;
        let columns: BTreeSet<&str> =
            peeled.filters.iter().flat_map(Expr::column_refs).map(|column| column.name.as_str()).collect();
        let typed = |name: &&str| {
            let data_type = table.schema.field_with_name(name).ok().map(|field| field.data_type().to_string());
            format!("{name} {}", data_type.unwrap_or_default())
        };
        let columns: Vec<String> = columns.iter().map(typed).collect();
        // What the query says may change, too: it may read a view.
        let filters: Vec<String> = peeled.filters.iter().map(ToString::to_string).collect();
        // Another version of this program may understand a condition in another way.
        let version = env!("CARGO_PKG_VERSION");
        let basis = format!("{version}: {}: {}", columns.join(", "), filters.join(" AND "));
        Ok(Some(Self { condition, basis }))
    }

    async fn compute(
        self,
        runner: &Runner<'_>,
        table: &Arc<EventTable>,
        is_steady: bool,
        before: Option<&Tag>,
    ) -> Result<Computed> {
        let snapshot = table.snapshot.clone();
        let basis = if is_steady { self.basis } else { String::new() };
        let goes_on = |tag: &&Tag| {
            let info = tag.info();
            is_steady
                && !tag.by_value()
                && info.basis == basis
                && info.hidden_before_us == snapshot.hidden_before_us
                && info.arrivals.len() == snapshot.shards.len()
                // Events of an alias may be somebody's now who did not arrive with them.
                && info.position >= snapshot.identity_at
                && !snapshot.has_joined()
        };
        let before = before.filter(goes_on).cloned();
        let incremental = before.is_some();
        let (threads, statement) = (runner.shared.options.threads, Arc::clone(&runner.statement));
        let (condition, whole) = (self.condition, snapshot.clone());
        let members = blocking(move || {
            let part = match &before {
                Some(tag) => whole.since(&tag.info().arrivals),
                None => whole,
            };
            let found = users_with(&part, &condition.filter, condition.time, threads, statement.cancel_flag())?;
            Ok(match before {
                Some(tag) => tag.users(None)?.or(&found),
                None => found,
            })
        });
        Ok(Computed { members: TagMembers::Plain(members.await?), snapshot, basis, incremental })
    }
}

/// The input of what leaves out repetitions alone: a tag has each user once anyhow.
fn each_once(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::Distinct(Distinct::All(input)) => each_once(input),
        LogicalPlan::SubqueryAlias(alias) => each_once(&alias.input),
        LogicalPlan::Aggregate(aggregate) => {
            let is_plain = aggregate.aggr_expr.is_empty()
                && matches!(aggregate.group_expr.as_slice(), [Expr::Column(_)])
                && aggregate.input.schema().fields().len() == 1;
            if is_plain { each_once(&aggregate.input) } else { plan }
        }
        _ => plan,
    }
}

/// By the rows of a query. Users whom the table does not know are left out, and told.
async fn by_rows(
    runner: &Runner<'_>,
    table: &Arc<EventTable>,
    optimized: LogicalPlan,
    columns: &Columns,
) -> Result<TagMembers> {
    let physical = runner.lowered(optimized).await?;
    let mut rows = execute_stream(physical, runner.task_context())?;
    let mut found = Found::new(table.snapshot.clone(), columns.value.is_some());
    while let Some(batch) = rows.next().await {
        runner.statement.check_cancelled()?;
        let batch = batch?;
        let ids = texts(batch.column(columns.user))?;
        let values = columns.value.map(|value| texts(batch.column(value))).transpose()?;
        found = blocking(move || found.with(&ids, values.as_ref())).await?;
    }
    if found.unknown > 0 {
        let message = format!("{} rows of the query name no user of table '{}'", found.unknown, table.snapshot.table);
        let hint = Some("they are left out; a tag FROM a list of ids keeps users without events".into());
        runner.statement.warn(Warning { message, hint });
    }
    Ok(found.into_members())
}

fn texts(column: &ArrayRef) -> Result<StringViewArray> {
    let texts = cast(column, &DataType::Utf8View).map_err(datafusion::common::DataFusionError::from)?;
    let texts = texts.as_any().downcast_ref::<StringViewArray>();
    texts.cloned().ok_or_else(|| Error::internal("a column that is no text"))
}

/// The users of the rows so far, by value; of a tag without values under the empty text.
struct Found {
    snapshot: Snapshot,
    by_value: bool,
    values: BTreeMap<String, Vec<RoaringBitmap>>,
    unknown: u64,
}

impl Found {
    fn new(snapshot: Snapshot, by_value: bool) -> Self {
        Self { snapshot, by_value, values: BTreeMap::new(), unknown: 0 }
    }

    fn with(mut self, ids: &StringViewArray, values: Option<&StringViewArray>) -> Result<Self> {
        let rows: Vec<usize> = (0..ids.len()).filter(|&row| ids.is_valid(row)).collect();
        let asked: Vec<&str> = rows.iter().map(|&row| ids.value(row)).collect();
        for (row, place) in rows.into_iter().zip(self.snapshot.ordinals_of(&asked)?) {
            // Without a value a user is not tagged.
            if values.is_some_and(|values| values.is_null(row)) {
                continue;
            }
            let Some((shard, ordinal)) = place else {
                self.unknown += 1;
                continue;
            };
            let value = values.map_or("", |values| values.value(row));
            if !self.values.contains_key(value) {
                if self.values.len() >= TAG_VALUES_MAX {
                    let message = format!("the tag has more than {TAG_VALUES_MAX} values");
                    return Err(Error::new(ErrorKind::ResourceLimit, message)
                        .with_hint("put values together to fewer ones, such as ranges of a number"));
                }
                let shards = vec![RoaringBitmap::new(); self.snapshot.shards.len()];
                self.values.insert(value.to_string(), shards);
            }
            if let Some(shards) = self.values.get_mut(value) {
                shards[usize::from(shard)].insert(ordinal);
            }
        }
        Ok(self)
    }

    fn into_members(mut self) -> TagMembers {
        if self.by_value {
            return TagMembers::ByValue(
                self.values.into_iter().map(|(value, shards)| (value, shards.into())).collect(),
            );
        }
        let none = || vec![RoaringBitmap::new(); self.snapshot.shards.len()];
        TagMembers::Plain(self.values.remove("").unwrap_or_else(none).into())
    }
}
