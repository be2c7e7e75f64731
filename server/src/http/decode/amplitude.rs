//! Amplitude: `/2/httpapi` and `/batch`.

use super::traits::{self, Operations};
use super::when;
use crate::http::delivery::{Delivery, Malformed, Part, Rejection, SentAlias, SentEvent, optional, required};
use crate::http::json::{Json, Members};
use crate::http::value::{Properties, Value, flatten};
use std::borrow::Cow;

/// Members of an event that are no column, or make one of another name.
const KNOWN: [&str; 8] = [
    "device_id",
    "event_properties",
    "event_type",
    "group_properties",
    "insert_id",
    "time",
    "user_id",
    "user_properties",
];
/// Operations that need the value before, which a profile that keeps the last value of each column cannot apply exactly once.
const NOT_HELD: [&str; 6] = ["$add", "$append", "$prepend", "$preInsert", "$postInsert", "$remove"];

/// The events of a request, `{"api_key", "events": […]}`.
///
/// # Errors
/// What is wrong with the text as a whole.
pub fn decode(text: &str) -> Result<Delivery<'_>, Malformed> {
    let body = Json::parse(text).map_err(|error| Malformed(format!("the body is no JSON: {error}")))?;
    let members = Members::of(&body);
    let events = match members.first(&["events", "event"]) {
        array @ Json::Array(_) => array.items(),
        object @ Json::Object(_) => vec![object],
        _ => return Err(Malformed("'events' is missing: send {\"api_key\": …, \"events\": […]}".into())),
    };
    let mut delivery = Delivery { token: members.get("api_key").name(), messages: events.len(), ..Delivery::default() };
    for (index, event) in events.iter().enumerate() {
        let members = Members::of(event);
        let taken = Message::read(index, &members).and_then(|message| message.take(&mut delivery));
        delivery.rejected.extend(taken.err());
    }
    Ok(delivery)
}

struct Message<'m, 'a> {
    index: usize,
    members: &'m Members<'a>,
    user_id: Cow<'a, str>,
    device_id: Option<Cow<'a, str>>,
    event: Cow<'a, str>,
    event_id: Option<Cow<'a, str>>,
    ts_us: Option<i64>,
}

impl<'m, 'a> Message<'m, 'a> {
    fn read(index: usize, members: &'m Members<'a>) -> Result<Self, Rejection> {
        let event = required(index, "event_type", members.get("event_type").name())?;
        if event == "$groupidentify" {
            let reason = "a property of a group: profiles are of users; set it for each of them with $identify";
            return Err(Rejection::invalid(index, "event_type", reason).of(Part::Profile));
        }
        let own = optional(index, "user_id", members.get("user_id").name())?;
        let device = optional(index, "device_id", members.get("device_id").name())?;
        let user_id = required(index, "user_id", own.clone().or_else(|| device.clone()))?;
        let event_id = optional(index, "insert_id", members.get("insert_id").name())?;
        let ts_us = when::millis(index, "time", &members.get("time"))?;
        Ok(Self { index, members, user_id, device_id: own.and(device), event, event_id, ts_us })
    }

    fn take(self, delivery: &mut Delivery<'a>) -> Result<(), Rejection> {
        let operations = self.operations(&mut delivery.rejected);
        let update = traits::update(self.index, &self.user_id, self.ts_us, &self.event_id, operations);
        delivery.profiles.extend(update);
        let source = self.device_id.clone().filter(|source| self.event == "$identify" && *source != self.user_id);
        if let Some(source) = source {
            delivery.aliases.push(SentAlias { index: self.index, source, target: self.user_id.clone() });
        }
        let properties = self.columns();
        let Self { index, user_id, ts_us, event, event_id, .. } = self;
        delivery.events.push(SentEvent { index, user_id, ts_us, event, event_id, properties });
        Ok(())
    }

    fn columns(&self) -> Properties<'a> {
        let mut columns = Properties::new();
        if let Some(device_id) = &self.device_id {
            columns.push(("device_id".into(), Value::Text(device_id.clone())));
        }
        flatten("", &self.members.get("event_properties"), &mut columns);
        for (name, value) in self.members.others(&KNOWN) {
            flatten(&format!("message.{name}"), &value, &mut columns);
        }
        columns
    }

    /// What is said of the user: operations of `$identify`, or plain properties beside any event.
    fn operations(&self, rejected: &mut Vec<Rejection>) -> Operations<'a> {
        let said = self.members.get("user_properties");
        let parts = Members::of(&said);
        let mut operations = Operations::new();
        traits::set_once(&parts.get("$setOnce"), &mut operations);
        for (name, value) in parts.others(&["$setOnce"]) {
            match name {
                "$set" => traits::set("", &value, &mut operations),
                "$unset" => traits::unset(&value, &mut operations),
                "$clearAll" => {
                    let reason = "'$clearAll' is not taken: unset the properties by name with $unset";
                    rejected.push(Rejection::invalid(self.index, "user_properties", reason).of(Part::Profile));
                }
                name if NOT_HELD.contains(&name) => {
                    rejected.push(Rejection::invalid(self.index, "user_properties", not_held(name)).of(Part::Profile));
                }
                name => traits::set(name, &value, &mut operations),
            }
        }
        operations
    }
}

/// Why an operation that builds on the value before is refused.
pub(super) fn not_held(operation: &str) -> String {
    format!(
        "'{operation}' builds on the value before, and a profile keeps the last value that was set: send it with $set, or count events"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::delivery::Operation;

    #[test]
    fn events_and_identify() {
        let text = r#"{"api_key":"k","events":[
            {"user_id":"u1","device_id":"d1","event_type":"bought","insert_id":"i1","time":1772359200250,
             "event_properties":{"price":9.5,"a":{"b":null,"c":"x"}},"platform":"iOS","user_properties":{"plan":"pro"}},
            {"user_id":"u1","device_id":"d1","event_type":"$identify",
             "user_properties":{"$set":{"a":1},"$setOnce":{"b":2},"$unset":{"c":"-"},"$add":{"n":1}}},
            {"device_id":"d2","event_type":"opened"}]}"#;
        let delivery = decode(text).unwrap();
        assert_eq!((delivery.token.as_deref(), delivery.events.len()), (Some("k"), 3));
        let first = &delivery.events[0];
        assert_eq!((first.event_id.as_deref(), first.ts_us), (Some("i1"), Some(1_772_359_200_250_000)));
        let want = [
            ("device_id".into(), Value::text("d1")),
            ("price".into(), Value::Number("9.5")),
            ("a.c".into(), Value::text("x")),
            ("message.platform".into(), Value::text("iOS")),
        ];
        assert_eq!(first.properties, want);
        assert_eq!(delivery.profiles[0].operations, [("plan".into(), Operation::Set(Value::text("pro")))]);
        let want = [
            ("b".into(), Operation::SetOnce(Value::Number("2"))),
            ("a".into(), Operation::Set(Value::Number("1"))),
            ("c".into(), Operation::Unset),
        ];
        assert_eq!(delivery.profiles[1].operations, want);
        assert_eq!((delivery.aliases.len(), delivery.aliases[0].source.as_ref()), (1, "d1"));
        assert_eq!(delivery.events[2].user_id, "d2");
        assert_eq!((delivery.rejected.len(), delivery.rejected[0].part), (1, Part::Profile));
        assert!(delivery.rejected[0].reason.contains("$add"));
    }

    #[test]
    fn bad_events_are_told_by_field() {
        let text = r#"{"events":[{"user_id":"u"},{"event_type":"a"},{"user_id":"u","event_type":"a","time":"x"},
            {"event_type":"$groupidentify","groups":{"org":"g"}},{"user_id":"u","event_type":"a"}]}"#;
        let delivery = decode(text).unwrap();
        let found: Vec<_> = delivery.rejected.iter().map(|one| (one.index, one.field, one.missing)).collect();
        assert_eq!(
            found,
            [(0, "event_type", true), (1, "user_id", true), (2, "time", false), (3, "event_type", false)]
        );
        for text in ["", "{}", "[]", "{\"events\":7}"] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
