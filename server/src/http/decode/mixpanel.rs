//! Mixpanel: `/track`, `/import` and `/engage`.

use super::amplitude::not_held;
use super::traits::{self, Operations};
use super::when;
use crate::http::delivery::{
    Delivery, Malformed, Part, ProfileUpdate, Rejection, SentAlias, SentEvent, optional, required,
};
use crate::http::json::{Json, Members};
use crate::http::value::{Properties, flatten_member};
use std::borrow::Cow;

/// Properties of an event that are no column, or make one of another name.
const NO_COLUMN: [&str; 4] = ["token", "distinct_id", "time", "$insert_id"];
/// Members of an update that are no operation.
const NO_OPERATION: [&str; 9] =
    ["$token", "token", "api_key", "$distinct_id", "distinct_id", "$time", "$ip", "$ignore_time", "$ignore_alias"];

/// The events of a request to `/track` or `/import`: one, an array, or one a line.
///
/// # Errors
/// What is wrong with the text as a whole.
pub fn events(text: &str) -> Result<Delivery<'_>, Malformed> {
    each(text, |delivery, index, members| {
        let properties = Members::of(&members.get("properties"));
        if delivery.token.is_none() {
            delivery.token = properties.get("token").name();
        }
        event(delivery, index, members, &properties)
    })
}

/// The updates of a request to `/engage`: one, an array, or one a line.
///
/// # Errors
/// What is wrong with the text as a whole.
pub fn updates(text: &str) -> Result<Delivery<'_>, Malformed> {
    each(text, |delivery, index, members| {
        if delivery.token.is_none() {
            delivery.token = members.first(&["$token", "token", "api_key"]).name();
        }
        update(delivery, index, members)
    })
}

type Take = for<'d, 'm, 'a> fn(&'d mut Delivery<'a>, usize, &'m Members<'a>) -> Result<(), Rejection>;

fn each(text: &str, take: Take) -> Result<Delivery<'_>, Malformed> {
    let messages = match Json::parse(text) {
        Ok(array @ Json::Array(_)) => array.items(),
        Ok(object @ Json::Object(_)) => vec![object],
        Ok(_) => return Err(Malformed("the data is no JSON object or array".into())),
        Err(error) => lines(text).ok_or_else(|| Malformed(format!("the data is no JSON: {error}")))?,
    };
    let mut delivery = Delivery { messages: messages.len(), ..Delivery::default() };
    for (index, message) in messages.iter().enumerate() {
        let taken = take(&mut delivery, index, &Members::of(message));
        delivery.rejected.extend(taken.err());
    }
    Ok(delivery)
}

/// Objects, one a line.
fn lines(text: &str) -> Option<Vec<Json<'_>>> {
    let lines = text.lines().map(str::trim_ascii).filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.map(|line| Json::parse(line).ok()).collect::<Option<_>>()?;
    (lines.len() > 1).then_some(lines)
}

fn event<'a>(
    delivery: &mut Delivery<'a>,
    index: usize,
    members: &Members<'a>,
    properties: &Members<'a>,
) -> Result<(), Rejection> {
    let event = required(index, "event", members.get("event").name())?;
    if event == "$merge" {
        return merge(delivery, index, properties);
    }
    let own = properties.first(&["distinct_id", "$user_id", "$device_id"]).name();
    let user_id = required(index, "properties.distinct_id", own)?;
    let event_id = optional(index, "properties.$insert_id", properties.get("$insert_id").name())?;
    let ts_us = when::instant(index, "properties.time", &properties.get("time"))?;
    let alias = match event.as_ref() {
        "$create_alias" => Some((properties.get("alias").name(), user_id.clone())),
        "$identify" => properties.get("$anon_id").name().map(|anonymous| {
            let known = properties.get("$identified_id").name();
            (Some(anonymous), known.unwrap_or_else(|| user_id.clone()))
        }),
        _ => None,
    };
    if let Some((source, target)) = alias {
        let source = required(index, "properties.alias", source).map_err(|rejection| rejection.of(Part::Alias))?;
        if source != target {
            delivery.aliases.push(SentAlias { index, source, target });
        }
    }
    let mut columns = Properties::new();
    for (name, value) in properties.others(&NO_COLUMN) {
        flatten_member(name, &value, &mut columns);
    }
    delivery.events.push(SentEvent { index, user_id, ts_us, event, event_id, properties: columns });
    Ok(())
}

/// Two ids of one person, of which the first is to stay.
fn merge<'a>(delivery: &mut Delivery<'a>, index: usize, properties: &Members<'a>) -> Result<(), Rejection> {
    let ids: Vec<Cow<'a, str>> = properties.get("$distinct_ids").items().iter().filter_map(Json::name).collect();
    let [target, source] = ids.as_slice() else {
        let reason = format!("'$distinct_ids' has {} ids; $merge takes two", ids.len());
        return Err(Rejection::invalid(index, "properties.$distinct_ids", reason).of(Part::Alias));
    };
    for id in &ids {
        required(index, "properties.$distinct_ids", Some(id.clone())).map_err(|rejection| rejection.of(Part::Alias))?;
    }
    delivery.aliases.push(SentAlias { index, source: source.clone(), target: target.clone() });
    Ok(())
}

fn update<'a>(delivery: &mut Delivery<'a>, index: usize, members: &Members<'a>) -> Result<(), Rejection> {
    let of_profile = |rejection: Rejection| rejection.of(Part::Profile);
    let user = members.first(&["$distinct_id", "distinct_id"]).name();
    let user_id = required(index, "$distinct_id", user).map_err(of_profile)?;
    let ts_us = when::instant(index, "$time", &members.get("$time")).map_err(of_profile)?;
    let mut operations = Operations::new();
    let mut forgets = false;
    traits::set_once(&members.get("$set_once"), &mut operations);
    for (name, value) in members.others(&NO_OPERATION) {
        match name {
            "$set_once" => {}
            "$set" => traits::set("", &value, &mut operations),
            "$unset" => traits::unset(&value, &mut operations),
            "$delete" => forgets = true,
            "$add" | "$append" | "$union" | "$remove" => {
                delivery.rejected.push(of_profile(Rejection::invalid(index, "$operation", not_held(name))));
            }
            other => {
                let reason = format!("'{other}' is no operation: $set, $set_once, $unset and $delete are");
                delivery.rejected.push(of_profile(Rejection::invalid(index, "$operation", reason)));
            }
        }
    }
    if forgets || !operations.is_empty() {
        let update = ProfileUpdate { index, user_id, ts_us, event_id: None, operations, forgets };
        delivery.profiles.push(update);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::delivery::Operation;
    use crate::http::value::Value;

    #[test]
    fn events_with_their_time_in_seconds_or_milliseconds() {
        let text = r#"[{"event":"bought","properties":{"token":"k","distinct_id":"u1","time":1772359200,"$insert_id":"i","price":9}},
            {"event":"bought","properties":{"distinct_id":"u1","time":1772359200250,"mp_lib":"node","deep":{"a":[1]}}}]"#;
        let delivery = events(text).unwrap();
        assert_eq!((delivery.token.as_deref(), delivery.messages), (Some("k"), 2));
        let times: Vec<_> = delivery.events.iter().map(|event| event.ts_us).collect();
        assert_eq!(times, [Some(1_772_359_200_000_000), Some(1_772_359_200_250_000)]);
        assert_eq!(delivery.events[0].event_id.as_deref(), Some("i"));
        assert_eq!(delivery.events[0].properties, [("price".into(), Value::Number("9"))]);
        let want = [("mp_lib".into(), Value::text("node")), ("deep.a".into(), Value::text("[1]"))];
        assert_eq!(delivery.events[1].properties, want);
        let line = r#"{"event":"a","properties":{"distinct_id":"u"}}"#;
        assert_eq!(events(&format!("{line}\n{line}\n")).unwrap().events.len(), 2);
    }

    #[test]
    fn aliases_and_merges() {
        let text = r#"[{"event":"$create_alias","properties":{"distinct_id":"u1","alias":"a1"}},
            {"event":"$identify","properties":{"distinct_id":"u1","$identified_id":"u1","$anon_id":"a2"}},
            {"event":"$merge","properties":{"$distinct_ids":["u1","b"]}},
            {"event":"$merge","properties":{"$distinct_ids":["u1"]}},
            {"event":"$create_alias","properties":{"distinct_id":"u1"}},{"event":"x"},{}]"#;
        let delivery = events(text).unwrap();
        let aliases: Vec<_> =
            delivery.aliases.iter().map(|alias| (alias.source.as_ref(), alias.target.as_ref())).collect();
        assert_eq!(aliases, [("a1", "u1"), ("a2", "u1"), ("b", "u1")]);
        assert_eq!(delivery.events.len(), 2);
        let found: Vec<_> = delivery.rejected.iter().map(|one| (one.index, one.field)).collect();
        let want =
            [(3, "properties.$distinct_ids"), (4, "properties.alias"), (5, "properties.distinct_id"), (6, "event")];
        assert_eq!(found, want);
    }

    #[test]
    fn updates_of_profiles() {
        let text = r#"[{"$token":"k","$distinct_id":"u1","$time":1772359200,"$set":{"plan":"pro"},"$set_once":{"first":1},"$ip":"0"},
            {"$token":"k","$distinct_id":"u1","$unset":["plan"]},{"$token":"k","$distinct_id":"u1","$delete":""},
            {"$distinct_id":"u1","$add":{"n":1}},{"$set":{"a":1}},{"$distinct_id":"u1","$jump":1}]"#;
        let delivery = updates(text).unwrap();
        assert_eq!((delivery.token.as_deref(), delivery.profiles.len()), (Some("k"), 3));
        let want: Operations<'_> = vec![
            ("first".into(), Operation::SetOnce(Value::Number("1"))),
            ("plan".into(), Operation::Set(Value::text("pro"))),
        ];
        assert_eq!(
            (&delivery.profiles[0].operations, delivery.profiles[0].ts_us),
            (&want, Some(1_772_359_200_000_000))
        );
        assert_eq!(delivery.profiles[1].operations, [("plan".into(), Operation::Unset)]);
        assert!(delivery.profiles[2].forgets);
        let found: Vec<_> = delivery.rejected.iter().map(|one| (one.index, one.field, one.part)).collect();
        let want =
            [(3, "$operation", Part::Profile), (4, "$distinct_id", Part::Profile), (5, "$operation", Part::Profile)];
        assert_eq!(found, want);
    }
}
