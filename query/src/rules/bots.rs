//! Bots, by their user agents.

use super::text::texts;
use crate::error::Result;
use datafusion::arrow::array::{Array, ArrayRef, StringArray};
use datafusion::arrow::buffer::BooleanBuffer;
use isbot::Bots;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Properties that have the user agent, the first to be looked at first.
const PROPERTIES: [&str; 4] = ["context.userAgent", "$raw_user_agent", "$user_agent", "user_agent"];

static BOTS: LazyLock<Bots> = LazyLock::new(Bots::default);

/// Which of `rows` events are those of bots. `agent`: the user agent of the request.
///
/// # Errors
/// `Unsupported` for values that no table keeps.
pub(super) fn are_bots(properties: &[(String, ArrayRef)], agent: Option<&str>, rows: usize) -> Result<BooleanBuffer> {
    let named = PROPERTIES.iter().filter_map(|name| properties.iter().find(|(known, _)| known == name));
    let columns = named.map(|(name, values)| texts(name, values)).collect::<Result<Vec<StringArray>>>()?;
    let agent_of = |row: usize| {
        let own = columns.iter().filter(|column| column.is_valid(row)).map(|column| column.value(row));
        own.chain(agent).find(|text| !text.is_empty())
    };
    // Most events of a batch have the same few.
    let mut known: HashMap<&str, bool> = HashMap::new();
    let mut is_bot = |row| match agent_of(row) {
        Some(agent) => *known.entry(agent).or_insert_with(|| BOTS.is_bot(agent)),
        None => false,
    };
    Ok(BooleanBuffer::collect_bool(rows, &mut is_bot))
}
