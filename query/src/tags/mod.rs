//! Tags in SQL: what defines one, how it is refreshed, and how a condition asks for it.
//!
//! - [`definition`]: the statement that made a tag, which is kept with it.
//! - [`compute`]: who is in it now: from conditions on events, by bitmaps, or from the rows of any query.
//! - [`refresh`]: one tag or all of a table, each by one at a time.
//! - [`keeper`]: the thread that refreshes what is due.
//! - [`function`]: `HAS_TAG` and `TAG_VALUE`. [`resolve`] finds which table's tags a call means when a statement is planned;
//!   [`bind`] gives it the tags of the statement's snapshot before it runs, so that no kept plan has any.

pub(crate) mod bind;
pub(crate) mod compute;
pub(crate) mod definition;
pub(crate) mod function;
pub(crate) mod keeper;
pub(crate) mod refresh;
pub(crate) mod resolve;

use crate::error::{Error, ErrorKind, closest, listed};
use trodden_engine::tags::Tags;

/// The error for a tag that is not there, with the name that was probably meant.
pub(crate) fn no_such_tag(name: &str, table: &str, tags: &Tags) -> Error {
    let hint = match closest(name, tags.names()) {
        Some(near) => format!("did you mean '{near}'?"),
        None if tags.names().next().is_none() => {
            format!("it has none yet: CREATE TAG … ON {table} AS (SELECT user_id …)")
        }
        None => format!("its tags are {}", listed(tags.names())),
    };
    Error::new(ErrorKind::NotFound, format!("table '{table}' has no tag '{name}'")).with_hint(hint)
}
