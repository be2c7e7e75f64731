//! A rule, ready to be applied.

use super::condition::Condition;
use super::limit::Limit;
use super::name::Name;
use super::secret::Secret;
use crate::error::{Error, Result};
use crate::sql::rules::RuleAction;
use datafusion::sql::sqlparser::ast::{Expr, Ident, Spanned};
use std::collections::HashMap;
use std::sync::Arc;
use trodden_engine::profiles::is_reserved;
use trodden_engine::types::FIXED_COLUMNS;

/// A rule, ready to be applied.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) action: Action,
    pub(super) condition: Option<Condition>,
}

/// What it does.
#[derive(Debug)]
pub(super) enum Action {
    DropBots,
    Limit(Arc<Limit>),
    Sample(f64),
    /// The reason that the sender is told.
    Reject(String),
    RenameEvent {
        from: String,
        to: String,
    },
    Rename {
        from: Name,
        to: Name,
    },
    MapEvent(Mapping),
    Map(Name, Mapping),
    Mask(Vec<Name>),
    Hash {
        user_id: bool,
        event_id: bool,
        properties: Vec<Name>,
        secret: Secret,
    },
}

impl Action {
    /// The word that counts have.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::DropBots => "drop",
            Self::Limit(_) => "limit",
            Self::Sample(_) => "sample",
            Self::Reject(_) => REJECT,
            Self::RenameEvent { .. } | Self::Rename { .. } => "rename",
            Self::MapEvent(_) | Self::Map(..) => "map",
            Self::Mask(_) => "mask",
            Self::Hash { .. } => "hash",
        }
    }
}

/// The word of events that are refused.
pub(super) const REJECT: &str = "reject";

/// Which value becomes which.
#[derive(Debug)]
pub(super) struct Mapping {
    pairs: HashMap<String, String>,
    otherwise: Option<String>,
}

impl Mapping {
    pub(super) fn of(&self, value: &str) -> Option<String> {
        self.pairs.get(value).or(self.otherwise.as_ref()).cloned()
    }
}

/// Whether rules of this kind have a key.
pub(super) fn needs_secret(action: &RuleAction) -> bool {
    matches!(action, RuleAction::Hash(_))
}

impl Rule {
    /// The rule of a statement. `secret`: the key, where [`needs_secret`].
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub(super) fn compile(
        name: &str,
        action: &RuleAction,
        condition: Option<&Expr>,
        secret: Option<&Secret>,
    ) -> Result<Self> {
        let action = match action {
            RuleAction::DropBots => Action::DropBots,
            RuleAction::Limit { events, window_us } => Action::Limit(Arc::new(Limit::new(*events, *window_us))),
            RuleAction::Sample { percent } => Action::Sample(*percent),
            RuleAction::Reject { reason } => {
                Action::Reject(reason.clone().unwrap_or_else(|| format!("rejected by rule '{name}'")))
            }
            RuleAction::RenameEvent { from, to } => Action::RenameEvent { from: from.clone(), to: to.clone() },
            RuleAction::Rename { from, to } => {
                let (from, to) = (property(from, "renamed")?, made_property(to)?);
                Action::Rename { from, to }
            }
            RuleAction::Map { column, pairs, otherwise } => {
                let mapping = Mapping { pairs: pairs.iter().cloned().collect(), otherwise: otherwise.clone() };
                match fixed(column) {
                    Some("event") => Action::MapEvent(mapping),
                    _ => Action::Map(property(column, "mapped")?, mapping),
                }
            }
            RuleAction::Mask(columns) => {
                Action::Mask(columns.iter().map(|column| property(column, "masked")).collect::<Result<_>>()?)
            }
            RuleAction::Hash(columns) => hash(columns, condition, secret)?,
        };
        Ok(Self { name: name.to_string(), action, condition: condition.map(Condition::read).transpose()? })
    }

    /// The properties that have to be there for it to do anything.
    pub(super) fn changed_properties(&self) -> &[Name] {
        match &self.action {
            Action::Rename { from, .. } => std::slice::from_ref(from),
            Action::Map(name, _) => std::slice::from_ref(name),
            Action::Mask(names) => names,
            Action::Hash { properties, .. } => properties,
            _ => &[],
        }
    }
}

fn hash(columns: &[Ident], condition: Option<&Expr>, secret: Option<&Secret>) -> Result<Action> {
    let Some(secret) = secret.cloned() else { return Err(Error::internal("HASH without a key")) };
    let (mut user_id, mut event_id, mut properties) = (false, false, Vec::new());
    for column in columns {
        match fixed(column) {
            Some("user_id") => user_id = true,
            Some("event_id") => event_id = true,
            _ => properties.push(property(column, "hashed")?),
        }
    }
    if let (true, Some(condition)) = (user_id, condition) {
        return Err(Error::invalid(
            "HASH user_id has no condition: a user is the same in all events, profiles and aliases",
        )
        .with_hint("leave WHERE away, or make a rule of its own for the other columns")
        .at(condition.span()));
    }
    Ok(Action::Hash { user_id, event_id, properties, secret })
}

/// The fixed column that a name means.
fn fixed(column: &Ident) -> Option<&'static str> {
    let name = Name::of(column);
    FIXED_COLUMNS.iter().copied().find(|fixed| name.means(fixed))
}

fn property(column: &Ident, done: &str) -> Result<Name> {
    let Some(fixed) = fixed(column) else { return Ok(Name::of(column)) };
    let hint = match fixed {
        "event" => "events are renamed by RENAME EVENT 'a' TO 'b', or MAP event ('a' TO 'b')",
        "ts" => "REJECT and a condition refuse events by their time",
        _ => "HASH user_id and HASH event_id hide who it was",
    };
    Err(Error::invalid(format!("the column '{fixed}' cannot be {done}")).with_hint(hint).at(column.span))
}

fn made_property(column: &Ident) -> Result<Name> {
    let name = Name::of(column);
    match is_reserved(&name.text) {
        true => Err(Error::invalid(format!("no property can be called '{}'", name.text))
            .with_hint("every table or profile has a column of this name already: choose another one")
            .at(column.span)),
        false => Ok(name),
    }
}
