//! The plain form: an event is a JSON object with `user_id`, `event`, `ts`, `event_id`, and properties beside them.

use super::when;
use crate::http::delivery::{Delivery, Malformed, Rejection, SentEvent, optional, required};
use crate::http::json::{Json, Members};
use crate::http::value::{Properties, flatten_member};

/// What is no property.
const FIXED: [&str; 4] = ["user_id", "ts", "event", "event_id"];

/// The events of a text: one object, an array of objects, or an object a line.
///
/// # Errors
/// What is wrong with the text as a whole.
pub fn decode(text: &str) -> Result<Delivery<'_>, Malformed> {
    let mut delivery = Delivery::default();
    match Json::parse(text) {
        Ok(Json::Array(items)) => {
            for item in Json::Array(items).items() {
                one(&mut delivery, Ok(item));
            }
        }
        Ok(object @ Json::Object(_)) => one(&mut delivery, Ok(object)),
        Ok(_) => return Err(Malformed("the body is no JSON object, array or JSON lines".into())),
        Err(error) => lines(&mut delivery, text, error)?,
    }
    Ok(delivery)
}

/// A line that is no JSON is one bad event, unless no line is one.
fn lines<'a>(delivery: &mut Delivery<'a>, text: &'a str, error: String) -> Result<(), Malformed> {
    let lines: Vec<_> = text.lines().map(str::trim_ascii).filter(|line| !line.is_empty()).map(Json::parse).collect();
    if lines.len() < 2 || lines.iter().all(Result::is_err) {
        return Err(Malformed(format!("the body is no JSON: {error}")));
    }
    for line in lines {
        one(delivery, line);
    }
    Ok(())
}

fn one<'a>(delivery: &mut Delivery<'a>, json: Result<Json<'a>, String>) {
    let index = delivery.messages;
    delivery.messages += 1;
    match json
        .map_err(|error| Rejection::invalid(index, "event", format!("no JSON: {error}")))
        .and_then(|json| event(index, &json))
    {
        Ok(event) => delivery.events.push(event),
        Err(rejection) => delivery.rejected.push(rejection),
    }
}

fn event<'a>(index: usize, json: &Json<'a>) -> Result<SentEvent<'a>, Rejection> {
    let Json::Object(_) = json else { return Err(Rejection::invalid(index, "event", "an event is a JSON object")) };
    let members = Members::of(json);
    let mut properties = Properties::new();
    for (name, value) in members.others(&FIXED) {
        flatten_member(name, &value, &mut properties);
    }
    Ok(SentEvent {
        index,
        user_id: required(index, "user_id", members.get("user_id").name())?,
        ts_us: when::instant(index, "ts", &members.get("ts"))?,
        event: required(index, "event", members.get("event").name())?,
        event_id: optional(index, "event_id", members.get("event_id").name())?,
        properties,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::value::Value;

    #[test]
    fn an_object_an_array_and_lines() {
        let one = r#"{"user_id":7,"event":"visit","ts":1772323200000,"event_id":"e","price":1.5,"page":{"url":"/"},"x":null}"#;
        for text in [one.to_string(), format!("[{one}]"), format!("[{one},{one}]"), format!("{one}\r\n\n{one}\n")] {
            let delivery = decode(&text).unwrap();
            assert_eq!(delivery.events.len(), delivery.messages, "{text}");
            let event = &delivery.events[0];
            assert_eq!((event.user_id.as_ref(), event.event.as_ref()), ("7", "visit"));
            assert_eq!((event.ts_us, event.event_id.as_deref()), (Some(1_772_323_200_000_000), Some("e")));
            let want = [("price".into(), Value::Number("1.5")), ("page.url".into(), Value::text("/"))];
            assert_eq!(event.properties, want);
        }
    }

    #[test]
    fn a_bad_event_does_not_lose_the_others() {
        let delivery = decode(
            "{\"user_id\":\"u\",\"event\":\"a\"}\nnonsense\n7\n{\"user_id\":\"u\"}\n{\"user_id\":\"\",\"event\":\"a\"}",
        )
        .unwrap();
        assert_eq!((delivery.messages, delivery.events.len()), (5, 1));
        let found: Vec<_> = delivery.rejected.iter().map(|one| (one.index, one.field)).collect();
        assert_eq!(found, [(1, "event"), (2, "event"), (3, "event"), (4, "user_id")]);
        for text in ["", "nonsense", "7", "\"a\"", "{\"user_id\"", "x\ny"] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
