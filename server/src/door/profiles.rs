//! Updates of profiles as one batch, and what `set once` means when it comes.

use super::columns::{Cell, Columns, Second, free_name};
use crate::http::delivery::{Operation, ProfileUpdate, Rejection};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use trodden_query::Result;
use trodden_query::arrow::array::{Array, AsArray, BooleanArray, Int64Array, NullArray, StringArray};
use trodden_query::engine::profiles::{ProfileBatch, ProfileColumn, ProfileScan, is_reserved};
use trodden_query::engine::types::Schema;
use trodden_query::engine::{Profiles, Table};
use trodden_query::rules::RuleSet;

/// An update of which it is decided what it sets.
#[derive(Debug, Clone)]
pub(super) struct Decided<'a> {
    pub(super) update: ProfileUpdate<'a>,
    cells: Vec<(Cow<'a, str>, Cell<'a>)>,
}

/// The updates with the users and names that rules give them. What is decided by what a profile holds is asked by these.
///
/// # Errors
/// `UnsupportedFormat` where a rule cannot be read.
pub(super) fn renamed<'a>(updates: Vec<ProfileUpdate<'a>>, rules: &RuleSet) -> Result<Vec<ProfileUpdate<'a>>> {
    if rules.is_empty() {
        return Ok(updates);
    }
    let rename = |mut update: ProfileUpdate<'a>| -> Result<ProfileUpdate<'a>> {
        update.user_id = Cow::Owned(rules.user(&update.user_id)?);
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for (path, operation) in update.operations {
            let name = rules.profile_column(&path)?;
            match name == path {
                true => own.push((path, operation)),
                false => others.push((Cow::Owned(name), operation)),
            }
        }
        // A value that gets the name of another one takes its place.
        own.append(&mut others);
        update.operations = own;
        Ok(update)
    };
    updates.into_iter().map(rename).collect()
}

/// Whether any update depends on what a profile holds by now.
pub(super) fn depend_on_values(updates: &[ProfileUpdate<'_>]) -> bool {
    let is_once = |update: &ProfileUpdate<'_>| update.operations.iter().any(|(_, operation)| is_once(operation));
    updates.iter().any(|update| update.forgets || is_once(update))
}

/// What each update sets and unsets. Where [`depend_on_values`], nobody else may update profiles until they are stored.
///
/// # Errors
/// What the disk says.
pub(super) fn decided<'a>(
    updates: Vec<ProfileUpdate<'a>>,
    table: &Table,
    profiles: Option<&Arc<Profiles>>,
) -> Result<Vec<Decided<'a>>> {
    let mut known = match profiles {
        Some(profiles) if depend_on_values(&updates) => Known::read(&updates, table, profiles)?,
        _ => Known::default(),
    };
    let aliases = table.aliases();
    let decide = |update: ProfileUpdate<'a>| {
        let person = aliases.resolve(&update.user_id).to_string();
        let cells = known.decide(&person, &update);
        Decided { update, cells }
    };
    // An update of which nothing is left says nothing.
    Ok(updates.into_iter().map(decide).filter(|decided| !decided.cells.is_empty()).collect())
}

/// The columns, in lower case, of which it matters whether they have a value; `None`: all.
fn asked_columns(updates: &[ProfileUpdate<'_>]) -> Option<HashSet<String>> {
    if updates.iter().any(|update| update.forgets) {
        return None;
    }
    let once = updates.iter().flat_map(|update| &update.operations).filter(|(_, operation)| is_once(operation));
    Some(once.map(|(path, _)| free_name(path, is_reserved).to_lowercase()).collect())
}

fn is_once(operation: &Operation<'_>) -> bool {
    matches!(operation, Operation::SetOnce(_))
}

/// Which columns of which persons have a value. Columns are in lower case.
#[derive(Default)]
struct Known {
    values: HashMap<(String, String), bool>,
    columns: Vec<String>,
}

impl Known {
    fn read(updates: &[ProfileUpdate<'_>], table: &Table, profiles: &Arc<Profiles>) -> Result<Self> {
        let users: HashSet<&str> = updates.iter().map(|update| update.user_id.as_ref()).collect();
        let users = table.persons(users.into_iter().map(Some).collect::<StringArray>());
        let users: Vec<String> = users.iter().flatten().map(String::from).collect();
        let asked = asked_columns(updates);
        let is_asked = |name: &str| asked.as_ref().is_none_or(|asked| asked.contains(&name.to_lowercase()));
        let schema = profiles.schema();
        let names = schema.columns.iter().map(|column| column.name.clone());
        let columns: Vec<String> = names.filter(|name| is_asked(name)).collect();
        let names = std::iter::once("user_id".to_string()).chain(columns.iter().cloned()).collect();
        let scan = ProfileScan { columns: names, users: Some(users), ..ProfileScan::default() };
        let mut known = Self { columns: columns.clone(), ..Self::default() };
        let snapshot = profiles.snapshot();
        for shard in 0..snapshot.shards() {
            snapshot.read(shard, &scan, &mut |batch| {
                let persons = batch.column(0);
                for row in 0..batch.num_rows() {
                    let person = text_at(persons.as_ref(), row);
                    for (name, values) in columns.iter().zip(&batch.columns()[1..]) {
                        known.values.insert((person.clone(), name.to_lowercase()), !values.is_null(row));
                    }
                }
                Ok(true)
            })?;
        }
        Ok(known)
    }

    fn decide<'a>(&mut self, person: &str, update: &ProfileUpdate<'a>) -> Vec<(Cow<'a, str>, Cell<'a>)> {
        let mut cells: Vec<(Cow<'a, str>, Cell<'a>)> = Vec::new();
        if update.forgets {
            cells.extend(self.columns.iter().map(|name| (Cow::Owned(name.clone()), None)));
            self.values.retain(|(own, _), _| own != person);
        }
        for (path, operation) in &update.operations {
            let key = (person.to_string(), free_name(path, is_reserved).to_lowercase());
            let cell = match operation {
                Operation::Set(value) => Some(value.clone()),
                Operation::Unset => None,
                Operation::SetOnce(_) if self.values.get(&key) == Some(&true) => continue,
                Operation::SetOnce(value) => Some(value.clone()),
            };
            self.values.insert(key, cell.is_some());
            cells.push((path.clone(), cell));
        }
        cells
    }
}

/// The text of a row of a column of ids, whichever array of texts it is.
fn text_at(ids: &dyn Array, row: usize) -> String {
    let plain = ids.as_string_opt::<i32>().map(|ids| ids.value(row));
    plain.or_else(|| ids.as_string_view_opt().map(|ids| ids.value(row))).unwrap_or_default().to_string()
}

/// The batch of updates for profiles of `schema`. `now_us`: the time of those without one.
pub(super) fn batch(
    updates: &[&Decided<'_>],
    schema: &Schema,
    now_us: i64,
    rejected: &mut Vec<Rejection>,
) -> ProfileBatch {
    let mut columns = Columns::new(schema, is_reserved);
    let mut taken: Vec<&ProfileUpdate<'_>> = Vec::with_capacity(updates.len());
    for decided in updates {
        match columns.push_row(taken.len(), decided.cells.iter().cloned(), Second::Wins) {
            Ok(()) => taken.push(&decided.update),
            Err(reason) => {
                let rejection = Rejection::invalid(decided.update.index, "traits", reason);
                rejected.push(rejection.of(crate::http::delivery::Part::Profile));
            }
        }
    }
    let rows = taken.len();
    let column = |column: super::columns::Column<'_>| {
        let mut sets = vec![false; rows];
        column.cells.iter().for_each(|(row, ..)| sets[*row] = true);
        let values = column.array(rows).unwrap_or_else(|| Arc::new(NullArray::new(rows)));
        ProfileColumn { name: column.name, values, sets: Some(BooleanArray::from(sets)) }
    };
    ProfileBatch {
        columns: columns.finish().map(column).collect(),
        user_id: taken.iter().map(|update| Some(update.user_id.as_ref())).collect(),
        ts: taken.iter().map(|update| Some(update.ts_us.unwrap_or(now_us))).collect::<Int64Array>(),
        event_id: Some(taken.iter().map(|update| update.event_id.as_deref()).collect()),
    }
}
