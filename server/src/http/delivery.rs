//! What a request brings, whatever protocol it came by: events, updates of profiles, aliases, and what cannot be taken.

use super::value::Value;
use std::borrow::Cow;
use trodden_query::engine::ingest::MAX_NAME_BYTES;

/// The contents of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delivery<'a> {
    /// The key in the body, for protocols that have it there.
    pub token: Option<Cow<'a, str>>,
    /// The user agent of the request.
    pub agent: Option<Cow<'a, str>>,
    /// Events, in their order.
    pub events: Vec<SentEvent<'a>>,
    /// Updates of profiles, in their order.
    pub profiles: Vec<ProfileUpdate<'a>>,
    /// Aliases, in their order.
    pub aliases: Vec<SentAlias<'a>>,
    /// What of it cannot be taken.
    pub rejected: Vec<Rejection>,
    /// Number of messages, good and bad.
    pub messages: usize,
}

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub struct SentEvent<'a> {
    /// The place of its message in the request.
    pub index: usize,
    /// Who.
    pub user_id: Cow<'a, str>,
    /// When, in microseconds since 1970; `None`: on receipt.
    pub ts_us: Option<i64>,
    /// What.
    pub event: Cow<'a, str>,
    /// The sender's id of the event.
    pub event_id: Option<Cow<'a, str>>,
    /// Properties by their path; a path may be there twice.
    pub properties: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// An update of the profile of a user.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileUpdate<'a> {
    /// The place of its message in the request.
    pub index: usize,
    /// Who.
    pub user_id: Cow<'a, str>,
    /// Since when it holds, in microseconds since 1970; `None`: since receipt.
    pub ts_us: Option<i64>,
    /// The sender's id of the message.
    pub event_id: Option<Cow<'a, str>>,
    /// What it says, column by column, in this order.
    pub operations: Vec<(Cow<'a, str>, Operation<'a>)>,
    /// Whether everything that was known is forgotten first.
    pub forgets: bool,
}

/// What an update says of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Operation<'a> {
    /// The value is this one.
    Set(Value<'a>),
    /// The value is this one unless there is one.
    SetOnce(Value<'a>),
    /// There is no value.
    Unset,
}

/// Two ids of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentAlias<'a> {
    /// The place of its message in the request.
    pub index: usize,
    /// The id that is another name.
    pub source: Cow<'a, str>,
    /// The id that it stands for.
    pub target: Cow<'a, str>,
}

/// Which part of a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The event, and with it the whole message.
    Event,
    /// The update of a profile.
    Profile,
    /// The alias.
    Alias,
}

impl Part {
    /// Its word in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Profile => "profile",
            Self::Alias => "alias",
        }
    }
}

/// Something that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The place of its message in the request.
    pub index: usize,
    /// Which part of the message.
    pub part: Part,
    /// The field that is wrong, as the protocol calls it.
    pub field: &'static str,
    /// Whether the field is missing rather than wrong.
    pub missing: bool,
    /// Why, and the way out.
    pub reason: String,
}

impl Rejection {
    /// A field without which there is no event.
    pub fn missing(index: usize, field: &'static str) -> Self {
        let reason = format!("'{field}' is missing or empty");
        Self { index, part: Part::Event, field, missing: true, reason }
    }

    /// A field that holds something it cannot hold.
    pub fn invalid(index: usize, field: &'static str, reason: impl Into<String>) -> Self {
        Self { index, part: Part::Event, field, missing: false, reason: reason.into() }
    }

    /// The same about another part of the message.
    #[must_use]
    pub fn of(self, part: Part) -> Self {
        Self { part, ..self }
    }
}

/// A request that cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// An id or a name of a field, if a table can take it.
///
/// # Errors
/// The rejection for one that is missing or too long.
pub(super) fn required<'a>(
    index: usize,
    field: &'static str,
    name: Option<Cow<'a, str>>,
) -> Result<Cow<'a, str>, Rejection> {
    let name = name.ok_or_else(|| Rejection::missing(index, field))?;
    match name.len() <= MAX_NAME_BYTES {
        true => Ok(name),
        false => Err(too_long(index, field, name.len())),
    }
}

/// The same for one that may be missing.
///
/// # Errors
/// The rejection for one that is too long.
pub(super) fn optional<'a>(
    index: usize,
    field: &'static str,
    name: Option<Cow<'a, str>>,
) -> Result<Option<Cow<'a, str>>, Rejection> {
    name.map(|name| required(index, field, Some(name))).transpose()
}

fn too_long(index: usize, field: &'static str, bytes: usize) -> Rejection {
    Rejection::invalid(index, field, format!("'{field}' has {bytes} bytes; {MAX_NAME_BYTES} are the most"))
}
