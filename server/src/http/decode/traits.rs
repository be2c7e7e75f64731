//! What a message says of a user, as operations on the columns of a profile.

use crate::http::delivery::{Operation, ProfileUpdate};
use crate::http::json::Json;
use crate::http::value::{Value, visit};
use std::borrow::Cow;

/// Operations in the order in which they are said.
pub(super) type Operations<'a> = Vec<(Cow<'a, str>, Operation<'a>)>;

/// Set the members of an object, nested ones as paths under `prefix`; `null` unsets.
pub(super) fn set<'a>(prefix: &str, object: &Json<'a>, into: &mut Operations<'a>) {
    let operation = |value: Option<Value<'a>>| value.map_or(Operation::Unset, Operation::Set);
    visit(prefix, object, &mut |path, value| into.push((path, operation(value))));
}

/// The same where there is no value yet.
pub(super) fn set_once<'a>(object: &Json<'a>, into: &mut Operations<'a>) {
    visit("", object, &mut |path, value| {
        if let Some(value) = value {
            into.push((path, Operation::SetOnce(value)));
        }
    });
}

/// Unset what is named: elements of an array, or members of an object whatever their values.
pub(super) fn unset<'a>(names: &Json<'a>, into: &mut Operations<'a>) {
    let listed = names.items().into_iter().filter_map(|item| item.name());
    let members = names.members().into_iter().map(|(name, _)| name);
    into.extend(listed.chain(members).map(|name| (name, Operation::Unset)));
}

/// The update that says `operations`, or none where they are none.
pub(super) fn update<'a>(
    index: usize,
    user_id: &Cow<'a, str>,
    ts_us: Option<i64>,
    event_id: &Option<Cow<'a, str>>,
    operations: Operations<'a>,
) -> Option<ProfileUpdate<'a>> {
    let update = ProfileUpdate {
        index,
        user_id: user_id.clone(),
        ts_us,
        event_id: event_id.clone(),
        operations,
        forgets: false,
    };
    (!update.operations.is_empty()).then_some(update)
}
