//! Segment, and RudderStack, which speaks the same: `/v1/batch` and a path for each kind of message.

use super::traits::{self, Operations};
use super::when;
use crate::http::delivery::{
    Delivery, Malformed, Operation, Part, Rejection, SentAlias, SentEvent, optional, required,
};
use crate::http::json::{Json, Members};
use crate::http::value::{Properties, Value, flatten};
use std::borrow::Cow;
use std::collections::HashSet;

/// Members of a message that are no column, or make one of another name.
const KNOWN: [&str; 18] = [
    "_metadata",
    "anonymousId",
    "context",
    "event",
    "groupId",
    "messageId",
    "name",
    "category",
    "originalTimestamp",
    "previousId",
    "properties",
    "receivedAt",
    "sentAt",
    "timestamp",
    "traits",
    "type",
    "userId",
    "writeKey",
];

/// Bytes that a context of the batch may have in all of its messages together.
const SHARED_MAX_BYTES: usize = 64 << 20;

/// The messages of a request. `kind`: what the path says that the body is, such as `track`; `None` for a batch.
///
/// # Errors
/// What is wrong with the text as a whole.
pub fn decode<'a>(text: &'a str, kind: Option<&'a str>) -> Result<Delivery<'a>, Malformed> {
    let body = Json::parse(text).map_err(|error| Malformed(format!("the body is no JSON: {error}")))?;
    let Json::Object(_) = body else { return Err(Malformed("the body is no JSON object".into())) };
    let members = Members::of(&body);
    let mut delivery = Delivery { token: members.get("writeKey").name(), ..Delivery::default() };
    match (kind, members.get("batch")) {
        (Some(kind), _) => {
            delivery.messages = 1;
            one(&mut delivery, 0, &members, Some(kind), &Json::Null);
        }
        (None, Json::Array(batch)) => {
            let context = members.get("context");
            let messages = Json::Array(batch).items();
            check_shared(&context, messages.len())?;
            delivery.messages = messages.len();
            for (index, message) in messages.iter().enumerate() {
                one(&mut delivery, index, &Members::of(message), None, &context);
            }
        }
        (None, _) => return Err(Malformed("'batch' is missing: send {\"batch\": […]}".into())),
    }
    Ok(delivery)
}

/// A context of the batch is one of each message.
fn check_shared(context: &Json<'_>, messages: usize) -> Result<(), Malformed> {
    let bytes = if let Json::Object(text) = context { text.len() } else { 0 };
    match bytes.saturating_mul(messages) <= SHARED_MAX_BYTES {
        true => Ok(()),
        false => Err(Malformed(format!("a context of {bytes} bytes for {messages} messages: send smaller batches"))),
    }
}

fn one<'a>(
    delivery: &mut Delivery<'a>,
    index: usize,
    members: &Members<'a>,
    kind: Option<&'a str>,
    shared_context: &Json<'a>,
) {
    if let Err(rejection) =
        Message::read(index, members, kind).and_then(|message| message.take(delivery, shared_context))
    {
        delivery.rejected.push(rejection);
    }
}

/// A message with what all kinds have.
struct Message<'m, 'a> {
    index: usize,
    members: &'m Members<'a>,
    kind: Cow<'a, str>,
    user_id: Cow<'a, str>,
    anonymous_id: Option<Cow<'a, str>>,
    ts_us: Option<i64>,
    event_id: Option<Cow<'a, str>>,
}

impl<'m, 'a> Message<'m, 'a> {
    fn read(index: usize, members: &'m Members<'a>, kind: Option<&'a str>) -> Result<Self, Rejection> {
        let kind = kind.map(Cow::Borrowed).or_else(|| members.get("type").name());
        let kind = required(index, "type", kind)?;
        let own = optional(index, "userId", members.get("userId").name())?;
        let anonymous = optional(index, "anonymousId", members.get("anonymousId").name())?;
        let user_id = required(index, "userId", own.clone().or_else(|| anonymous.clone()))?;
        Ok(Self {
            index,
            members,
            kind,
            user_id,
            anonymous_id: own.and(anonymous),
            ts_us: when::instant(index, "timestamp", &members.first(&["timestamp", "originalTimestamp"]))?,
            event_id: optional(index, "messageId", members.get("messageId").name())?,
        })
    }

    fn take(self, delivery: &mut Delivery<'a>, shared_context: &Json<'a>) -> Result<(), Rejection> {
        match self.kind.as_ref() {
            "track" => {
                let event = required(self.index, "event", self.members.get("event").name())?;
                delivery.events.push(self.event(event, shared_context));
            }
            "page" | "screen" => {
                let event = self.kind.clone();
                delivery.events.push(self.event(event, shared_context));
            }
            "identify" => self.identify(delivery, shared_context),
            "group" => self.group(delivery)?,
            "alias" => self.alias(delivery)?,
            other => {
                let reason = format!("'{other}' is no type: track, identify, page, screen, group and alias are");
                return Err(Rejection::invalid(self.index, "type", reason));
            }
        }
        Ok(())
    }

    fn event(&self, event: Cow<'a, str>, shared_context: &Json<'a>) -> SentEvent<'a> {
        SentEvent {
            index: self.index,
            user_id: self.user_id.clone(),
            ts_us: self.ts_us,
            event,
            event_id: self.event_id.clone(),
            properties: self.properties(shared_context),
        }
    }

    fn properties(&self, shared_context: &Json<'a>) -> Properties<'a> {
        let mut properties = Properties::new();
        if let Some(anonymous_id) = &self.anonymous_id {
            properties.push(("anonymous_id".into(), Value::Text(anonymous_id.clone())));
        }
        flatten("", &self.members.get("properties"), &mut properties);
        for name in ["name", "category"] {
            // The browser's SDK has these among the properties as well.
            let value = Value::of(&self.members.get(name));
            properties
                .extend(value.map(|value| (Cow::Borrowed(name), value)).filter(|pair| !properties.contains(pair)));
        }
        flatten("traits", &self.members.get("traits"), &mut properties);
        flatten("context", &self.members.get("context"), &mut properties);
        let mut shared = Properties::new();
        flatten("context", shared_context, &mut shared);
        if !shared.is_empty() {
            let own: HashSet<&str> = properties.iter().map(|(path, _)| path.as_ref()).collect();
            shared.retain(|(path, _)| !own.contains(path.as_ref()));
        }
        properties.append(&mut shared);
        for (name, value) in self.members.others(&KNOWN) {
            flatten(&format!("message.{name}"), &value, &mut properties);
        }
        properties
    }

    fn identify(&self, delivery: &mut Delivery<'a>, shared_context: &Json<'a>) {
        delivery.events.push(self.event("identify".into(), shared_context));
        let mut operations = Operations::new();
        // RudderStack's SDK for Python has them in the context.
        traits::set("", &Members::of(&self.members.get("context")).get("traits"), &mut operations);
        traits::set("", &self.members.get("traits"), &mut operations);
        let update = traits::update(self.index, &self.user_id, self.ts_us, &self.event_id, operations);
        delivery.profiles.extend(update);
        if let Some(source) = self.anonymous_id.clone().filter(|source| *source != self.user_id) {
            delivery.aliases.push(SentAlias { index: self.index, source, target: self.user_id.clone() });
        }
    }

    fn group(&self, delivery: &mut Delivery<'a>) -> Result<(), Rejection> {
        let group = required(self.index, "groupId", self.members.get("groupId").name());
        let group = group.map_err(|rejection| rejection.of(Part::Profile))?;
        let mut operations = Operations::new();
        operations.push(("group_id".into(), Operation::Set(Value::Text(group))));
        traits::set("group", &self.members.get("traits"), &mut operations);
        let update = traits::update(self.index, &self.user_id, self.ts_us, &self.event_id, operations);
        delivery.profiles.extend(update);
        Ok(())
    }

    fn alias(&self, delivery: &mut Delivery<'a>) -> Result<(), Rejection> {
        let source = required(self.index, "previousId", self.members.get("previousId").name());
        let source = source.map_err(|rejection| rejection.of(Part::Alias))?;
        delivery.aliases.push(SentAlias { index: self.index, source, target: self.user_id.clone() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'d>(delivery: &'d Delivery<'_>, event: usize) -> Vec<&'d str> {
        delivery.events[event].properties.iter().map(|(path, _)| path.as_ref()).collect()
    }

    #[test]
    fn a_batch_becomes_events() {
        let text = r#"{"batch":[
            {"type":"track","userId":"u1","anonymousId":"a1","event":"Order Completed","messageId":"m1",
             "timestamp":"2026-03-01T10:00:00.250Z","properties":{"total":19.5,"page":{"url":"/x"},"ids":[1,2]},
             "context":{"library":{"name":"js"}},"integrations":{"All":true}},
            {"type":"page","anonymousId":"a1","name":"Home","category":"c","properties":{"name":"Home"}},
            {"type":"screen","userId":7,"name":"Start"}],
            "context":{"ip":"1.1.1.1","library":{"name":"ignored"}},"sentAt":"2026-03-01T10:00:01Z","writeKey":"k"}"#;
        let delivery = decode(text, None).unwrap();
        assert_eq!((delivery.token.as_deref(), delivery.messages), (Some("k"), 3));
        assert!(delivery.rejected.is_empty() && delivery.profiles.is_empty() && delivery.aliases.is_empty());
        let first = &delivery.events[0];
        assert_eq!((first.user_id.as_ref(), first.event.as_ref()), ("u1", "Order Completed"));
        assert_eq!((first.ts_us, first.event_id.as_deref()), (Some(1_772_359_200_250_000), Some("m1")));
        let want = [
            "anonymous_id",
            "total",
            "page.url",
            "ids",
            "context.library.name",
            "context.ip",
            "message.integrations.All",
        ];
        assert_eq!(names(&delivery, 0), want);
        assert_eq!(first.properties[1].1, Value::Number("19.5"));
        assert_eq!(first.properties[3].1, Value::text("[1,2]"));
        let page = &delivery.events[1];
        assert_eq!((page.user_id.as_ref(), page.event.as_ref(), page.ts_us), ("a1", "page", None));
        assert_eq!(names(&delivery, 1), ["name", "category", "context.ip", "context.library.name"]);
        assert_eq!(delivery.events[2].user_id, "7");
    }

    #[test]
    fn identify_group_and_alias() {
        let text = r#"{"batch":[
            {"type":"identify","userId":"u1","anonymousId":"a1","messageId":"m","traits":{"plan":"pro","age":null,"a":{"b":1}}},
            {"type":"group","userId":"u1","groupId":"g","traits":{"name":"Acme"}},
            {"type":"alias","userId":"u1","previousId":"old"},
            {"type":"identify","anonymousId":"a2","traits":{}},
            {"type":"identify","userId":"u3","context":{"traits":{"plan":"free"}}}]}"#;
        let delivery = decode(text, None).unwrap();
        let events: Vec<&str> = delivery.events.iter().map(|event| event.event.as_ref()).collect();
        assert_eq!(events, ["identify", "identify", "identify"]);
        assert_eq!(names(&delivery, 0), ["anonymous_id", "traits.plan", "traits.a.b"]);
        let want: Operations<'_> = vec![
            ("plan".into(), Operation::Set(Value::text("pro"))),
            ("age".into(), Operation::Unset),
            ("a.b".into(), Operation::Set(Value::Number("1"))),
        ];
        assert_eq!(delivery.profiles[0].operations, want);
        let want: Operations<'_> = vec![
            ("group_id".into(), Operation::Set(Value::text("g"))),
            ("group.name".into(), Operation::Set(Value::text("Acme"))),
        ];
        assert_eq!(delivery.profiles[1].operations, want);
        assert_eq!(delivery.profiles.len(), 3);
        assert_eq!(delivery.profiles[2].operations, [("plan".into(), Operation::Set(Value::text("free")))]);
        let aliases: Vec<_> =
            delivery.aliases.iter().map(|alias| (alias.source.as_ref(), alias.target.as_ref())).collect();
        assert_eq!(aliases, [("a1", "u1"), ("old", "u1")]);
    }

    #[test]
    fn a_bad_message_does_not_lose_the_others() {
        let long = "x".repeat(70_000);
        let text = format!(
            r#"{{"batch":[{{"type":"track","event":"a"}},{{"type":"track","userId":"u"}},
            {{"type":"track","userId":"u","event":"a","timestamp":"no"}},{{"type":"jump","userId":"u"}},7,
            {{"type":"track","userId":"{long}","event":"a"}},{{"type":"group","userId":"u"}},{{"type":"alias","userId":"u"}},
            {{"userId":"u"}},{{"type":"track","userId":"u","event":"good"}}]}}"#
        );
        let delivery = decode(&text, None).unwrap();
        assert_eq!((delivery.messages, delivery.events.len()), (10, 1));
        let found: Vec<_> = delivery.rejected.iter().map(|one| (one.index, one.field, one.missing)).collect();
        let want = [
            (0, "userId", true),
            (1, "event", true),
            (2, "timestamp", false),
            (3, "type", false),
            (4, "type", true),
            (5, "userId", false),
            (6, "groupId", true),
            (7, "previousId", true),
            (8, "type", true),
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn a_path_says_the_type() {
        let text = r#"{"userId":"u","event":"x","type":"page","writeKey":"k"}"#;
        let delivery = decode(text, Some("track")).unwrap();
        assert_eq!((delivery.events[0].event.as_ref(), delivery.token.as_deref()), ("x", Some("k")));
        for text in ["", "[]", "{\"batch\":1}", "nonsense"] {
            assert!(decode(text, None).is_err(), "{text}");
        }
    }
}
