//! PostHog: `/batch/`, `/i/v0/e/`, `/e/`, `/capture/`.

use super::traits::{self, Operations};
use super::when;
use crate::http::delivery::{Delivery, Malformed, Part, Rejection, SentAlias, SentEvent, optional, required};
use crate::http::json::{Json, Members};
use crate::http::value::{Properties, flatten, flatten_member};
use std::borrow::Cow;

/// Members of an event that are no column, or make one of another name.
const KNOWN: [&str; 16] = [
    "$set",
    "$set_once",
    "$unset",
    "api_key",
    "distinct_id",
    "event",
    "library",
    "library_version",
    "messageId",
    "offset",
    "properties",
    "timestamp",
    "token",
    "type",
    "uuid",
    "sent_at",
];
/// Properties that are no column.
const NO_COLUMN: [&str; 5] = ["$set", "$set_once", "$unset", "token", "distinct_id"];

/// The events of a request: `{"api_key", "batch": […]}`, an array, or one event. `now_us`: the time of receipt, from which
/// old browsers count back.
///
/// # Errors
/// What is wrong with the text as a whole.
pub fn decode(text: &str, now_us: i64) -> Result<Delivery<'_>, Malformed> {
    let body = Json::parse(text).map_err(|error| Malformed(format!("the body is no JSON: {error}")))?;
    let members = Members::of(&body);
    let mut delivery = Delivery { token: token(&members), ..Delivery::default() };
    let events = match (&body, members.get("batch")) {
        (Json::Array(_), _) => body.items(),
        (Json::Object(_), batch @ Json::Array(_)) => batch.items(),
        (Json::Object(_), _) => vec![body.clone()],
        _ => return Err(Malformed("the body is no JSON object or array".into())),
    };
    delivery.messages = events.len();
    for (index, event) in events.iter().enumerate() {
        let members = Members::of(event);
        if delivery.token.is_none() {
            delivery.token = token(&members);
        }
        let taken = Message::read(index, &members, now_us).and_then(|message| message.take(&mut delivery));
        delivery.rejected.extend(taken.err());
    }
    Ok(delivery)
}

fn token<'a>(members: &Members<'a>) -> Option<Cow<'a, str>> {
    let own = members.first(&["api_key", "token", "$token"]).name();
    own.or_else(|| Members::of(&members.get("properties")).first(&["token", "api_key"]).name())
}

struct Message<'m, 'a> {
    index: usize,
    members: &'m Members<'a>,
    properties: Members<'a>,
    user_id: Cow<'a, str>,
    event: Cow<'a, str>,
    event_id: Option<Cow<'a, str>>,
    ts_us: Option<i64>,
}

impl<'m, 'a> Message<'m, 'a> {
    fn read(index: usize, members: &'m Members<'a>, now_us: i64) -> Result<Self, Rejection> {
        let properties = Members::of(&members.get("properties"));
        let own = members.get("distinct_id").name().or_else(|| properties.get("distinct_id").name());
        let user_id = required(index, "distinct_id", own)?;
        let event = required(index, "event", members.get("event").name())?;
        let id = members.first(&["uuid", "messageId"]).name().or_else(|| properties.get("$insert_id").name());
        let event_id = optional(index, "uuid", id)?;
        let ts_us = match when::instant(index, "timestamp", &members.get("timestamp"))? {
            None => {
                when::millis(index, "offset", &members.get("offset"))?.map(|offset_us| now_us.saturating_sub(offset_us))
            }
            found => found,
        };
        Ok(Self { index, members, properties, user_id, event, event_id, ts_us })
    }

    fn take(self, delivery: &mut Delivery<'a>) -> Result<(), Rejection> {
        let operations = self.operations();
        let update = traits::update(self.index, &self.user_id, self.ts_us, &self.event_id, operations);
        delivery.profiles.extend(update);
        let alias = self.alias()?;
        delivery.aliases.extend(alias);
        let properties = self.columns();
        let Self { index, user_id, ts_us, event, event_id, .. } = self;
        delivery.events.push(SentEvent { index, user_id, ts_us, event, event_id, properties });
        Ok(())
    }

    fn columns(&self) -> Properties<'a> {
        let mut columns = Properties::new();
        for (name, value) in self.properties.others(&NO_COLUMN) {
            flatten_member(name, &value, &mut columns);
        }
        for (name, value) in self.members.others(&KNOWN) {
            flatten(&format!("message.{name}"), &value, &mut columns);
        }
        columns
    }

    /// What is said of the person, beside the event or among its properties.
    fn operations(&self) -> Operations<'a> {
        let mut operations = Operations::new();
        for members in [&self.properties, self.members] {
            traits::set_once(&members.get("$set_once"), &mut operations);
        }
        for members in [&self.properties, self.members] {
            let set = members.get("$set");
            if let Json::Object(_) = set {
                traits::set("", &set, &mut operations);
            }
            traits::unset(&members.get("$unset"), &mut operations);
        }
        operations
    }

    fn alias(&self) -> Result<Option<SentAlias<'a>>, Rejection> {
        let field = match self.event.as_ref() {
            "$create_alias" => "alias",
            "$merge_dangerously" => "alias",
            "$identify" => "$anon_distinct_id",
            _ => return Ok(None),
        };
        let source = self.properties.get(field).name();
        if source.is_none() && field == "$anon_distinct_id" {
            return Ok(None);
        }
        let source = required(self.index, field, source).map_err(|rejection| rejection.of(Part::Alias))?;
        let alias = SentAlias { index: self.index, source, target: self.user_id.clone() };
        Ok(Some(alias).filter(|alias| alias.source != alias.target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::delivery::Operation;
    use crate::http::value::Value;

    #[test]
    fn a_batch_becomes_events_profiles_and_aliases() {
        let text = r#"{"api_key":"k","batch":[
            {"event":"bought","distinct_id":"u1","uuid":"id1","timestamp":"2026-03-01T10:00:00Z","type":"capture",
             "properties":{"price":9,"deep":{"a":true},"$lib":"posthog-python","list":[1],"$set":{"plan":"pro"}},"library":"x"},
            {"event":"$identify","distinct_id":"u1","properties":{"$anon_distinct_id":"a1"},"$set":{"email":"e"},"$set_once":{"first":1}},
            {"event":"$create_alias","distinct_id":"u1","properties":{"alias":"old","distinct_id":"u1"}},
            {"event":"$unset","distinct_id":"u1","properties":{"$unset":["plan"]}}]}"#;
        let delivery = decode(text, 0).unwrap();
        assert_eq!((delivery.token.as_deref(), delivery.messages, delivery.events.len()), (Some("k"), 4, 4));
        let first = &delivery.events[0];
        assert_eq!((first.event_id.as_deref(), first.ts_us), (Some("id1"), Some(1_772_359_200_000_000)));
        let want = [
            ("price".into(), Value::Number("9")),
            ("deep.a".into(), Value::Boolean(true)),
            ("$lib".into(), Value::text("posthog-python")),
            ("list".into(), Value::text("[1]")),
        ];
        assert_eq!(first.properties, want);
        let operations: Vec<_> = delivery.profiles.iter().flat_map(|update| &update.operations).cloned().collect();
        let want: Operations<'_> = vec![
            ("plan".into(), Operation::Set(Value::text("pro"))),
            ("first".into(), Operation::SetOnce(Value::Number("1"))),
            ("email".into(), Operation::Set(Value::text("e"))),
            ("plan".into(), Operation::Unset),
        ];
        assert_eq!(operations, want);
        let aliases: Vec<_> =
            delivery.aliases.iter().map(|alias| (alias.source.as_ref(), alias.target.as_ref())).collect();
        assert_eq!(aliases, [("a1", "u1"), ("old", "u1")]);
    }

    #[test]
    fn the_forms_of_browsers() {
        for text in [
            r#"{"event":"$pageview","properties":{"token":"k","distinct_id":"u","$insert_id":"i","$current_url":"/"},"offset":250}"#,
            r#"[{"event":"$pageview","properties":{"token":"k","distinct_id":"u","$insert_id":"i","$current_url":"/"},"offset":250}]"#,
        ] {
            let delivery = decode(text, 1_000_000).unwrap();
            let event = &delivery.events[0];
            assert_eq!((delivery.token.as_deref(), event.user_id.as_ref()), (Some("k"), "u"));
            assert_eq!((event.ts_us, event.event_id.as_deref()), (Some(750_000), Some("i")));
            assert_eq!(event.properties.len(), 2);
        }
    }

    #[test]
    fn a_bad_event_does_not_lose_the_others() {
        let text = r#"{"batch":[{"event":"a"},{"distinct_id":"u"},7,{"event":"a","distinct_id":"u","timestamp":"x"},
            {"event":"$create_alias","distinct_id":"u"},{"event":"a","distinct_id":"u"}]}"#;
        let delivery = decode(text, 0).unwrap();
        let found: Vec<_> = delivery.rejected.iter().map(|one| (one.index, one.field)).collect();
        assert_eq!(found, [(0, "distinct_id"), (1, "event"), (2, "distinct_id"), (3, "timestamp"), (4, "alias")]);
        assert_eq!(delivery.events.len(), 1);
        for text in ["", "7", "[", "\"a\""] {
            assert!(decode(text, 0).is_err(), "{text}");
        }
    }
}
