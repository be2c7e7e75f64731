//! The rules of a table over updates of profiles: those that change columns by name, and have no condition.

use super::apply::Counted;
use super::change::{Changed, masked, replaced};
use super::compile::{Action, Rule};
use super::name::Name;
use super::rename::merged;
use super::set::RuleSet;
use super::text::plain;
use crate::error::{Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, StringArray};
use datafusion::arrow::buffer::BooleanBuffer;
use trodden_engine::profiles::{ProfileBatch, ProfileColumn};

/// Updates of profiles after the rules.
#[derive(Debug)]
pub struct CleanedProfiles {
    /// What is to be stored.
    pub batch: ProfileBatch,
    /// What is counted, in the order of the rules.
    pub counts: Vec<Counted>,
}

impl RuleSet {
    /// Apply the rules to updates of profiles before they are stored.
    ///
    /// # Errors
    /// Those of [`RuleSet::apply`].
    pub fn apply_profiles(&self, mut batch: ProfileBatch) -> Result<CleanedProfiles> {
        let users = batch.user_id.iter().map(|id| id.map(|id| self.user(id)).transpose());
        batch.user_id = users.collect::<Result<StringArray>>()?;
        self.apply_profile_columns(batch)
    }

    /// As [`RuleSet::apply_profiles`], where the users are those of [`RuleSet::user`] already.
    ///
    /// # Errors
    /// Those of [`RuleSet::apply`].
    pub fn apply_profile_columns(&self, mut batch: ProfileBatch) -> Result<CleanedProfiles> {
        let rows = batch.user_id.len();
        let lengths = batch.columns.iter().flat_map(|column| {
            let sets = column.sets.as_ref().map_or(rows, BooleanArray::len);
            [(column.name.as_str(), column.values.len()), (column.name.as_str(), sets)]
        });
        if let Some((name, length)) = lengths.into_iter().find(|(_, length)| *length != rows) {
            return Err(Error::invalid(format!("column '{name}' has {length} rows, user_id has {rows}")));
        }
        let mut counts = Vec::new();
        for rule in self.readable()?.filter(|rule| rule.condition.is_none()) {
            let changed = act(rule, &mut batch)?;
            let events = changed.map_or(0, |changed| changed.count_set_bits() as u64);
            if events > 0 {
                counts.push(Counted { rule: rule.name.clone(), action: rule.action.word(), events });
            }
        }
        Ok(CleanedProfiles { batch, counts })
    }

    /// The id of a user as it is stored, for what is neither an event nor an update: aliases.
    ///
    /// # Errors
    /// `UnsupportedFormat` where a rule cannot be read.
    pub fn user(&self, id: &str) -> Result<String> {
        let mut id = id.to_string();
        for rule in self.readable()? {
            if let Action::Hash { user_id: true, secret, .. } = &rule.action
                && !id.is_empty()
            {
                id = secret.hash(&id);
            }
        }
        Ok(id)
    }

    /// The name under which a property of a profile is stored.
    ///
    /// # Errors
    /// `UnsupportedFormat` where a rule cannot be read.
    pub fn profile_column(&self, name: &str) -> Result<String> {
        let mut name = name.to_string();
        for rule in self.readable()?.filter(|rule| rule.condition.is_none()) {
            if let Action::Rename { from, to } = &rule.action
                && from.means(&name)
                && !to.means(&name)
            {
                name.clone_from(&to.text);
            }
        }
        Ok(name)
    }
}

/// Apply one rule; the answer is which updates it changed.
fn act(rule: &Rule, batch: &mut ProfileBatch) -> Result<Option<BooleanBuffer>> {
    let all = BooleanBuffer::new_set(batch.user_id.len());
    Ok(Some(match &rule.action {
        Action::Rename { from, to } => rename(&mut batch.columns, from, to)?,
        Action::Map(name, mapping) => {
            let change = |name: &str, values: &ArrayRef| replaced(name, values, &all, &|text| mapping.of(text));
            change_columns(batch, std::slice::from_ref(name), &change)?
        }
        Action::Mask(names) => change_columns(batch, names, &|name, values| masked(name, values, &all))?,
        Action::Hash { user_id, properties, secret, .. } => {
            let hash = |text: &str| Some(secret.hash(text));
            let changed = change_columns(batch, properties, &|name, values| replaced(name, values, &all, &hash))?;
            if *user_id { all } else { changed }
        }
        _ => return Ok(None),
    }))
}

fn change_columns(
    batch: &mut ProfileBatch,
    names: &[Name],
    change: &dyn Fn(&str, &ArrayRef) -> Result<Option<Changed>>,
) -> Result<BooleanBuffer> {
    let mut all = BooleanBuffer::new_unset(batch.user_id.len());
    for column in batch.columns.iter_mut().filter(|column| names.iter().any(|name| name.means(&column.name))) {
        if let Some(Changed { values, rows }) = change(&column.name, &column.values)? {
            column.values = values;
            // What an update does not say has no value that counts.
            all = &all | &(&rows & &said(column));
        }
    }
    Ok(all)
}

/// Which updates say anything about a column.
fn said(column: &ProfileColumn) -> BooleanBuffer {
    match &column.sets {
        None => BooleanBuffer::new_set(column.values.len()),
        Some(sets) => sets.iter().map(|sets| sets == Some(true)).collect(),
    }
}

/// What updates say of `from` they say of `to`, also that it has no value.
fn rename(columns: &mut Vec<ProfileColumn>, from: &Name, to: &Name) -> Result<BooleanBuffer> {
    let names = || columns.iter().map(|column| column.name.as_str());
    let target = to.find(names()).map_or_else(|| to.text.clone(), |place| columns[place].name.clone());
    let sources: Vec<String> = names().filter(|name| from.means(name) && *name != target).map(String::from).collect();
    let rows = columns.first().map_or(0, |column| column.values.len());
    let mut renamed = BooleanBuffer::new_unset(rows);
    for source in sources.iter().rev() {
        let Some(place) = columns.iter().position(|column| column.name == *source) else { continue };
        let mut moved = columns.remove(place);
        let says = said(&moved);
        renamed = &renamed | &says;
        match columns.iter_mut().find(|column| column.name == target) {
            None => {
                moved.name.clone_from(&target);
                columns.push(moved);
            }
            Some(column) => {
                let (new, old) = (plain(source, &moved.values)?, plain(&target, &column.values)?);
                column.sets = Some(BooleanArray::new(&said(column) | &says, None));
                column.values = merged(&target, &says, &new, &old)?;
            }
        }
    }
    Ok(renamed)
}
