//! Values of properties, and how nested ones become columns.

use super::json::Json;
use std::borrow::Cow;

/// Objects nested deeper than this stay JSON text, as in an import.
const DEPTH_MAX: usize = 32;

/// A value of a property. NULL is the absence of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `true` or `false`.
    Boolean(bool),
    /// A number as it was written.
    Number(&'a str),
    /// A text; an array or an object that stays JSON text.
    Text(Cow<'a, str>),
}

/// What a number as it was written is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number of 64 bits.
    BigInt(i64),
    /// Any other one that a float holds.
    Double(f64),
    /// One that neither holds: it stays a text, so that no digit is lost.
    Beyond,
}

impl Number {
    /// Of a text that is a JSON number, or `NaN` or `Infinity`.
    pub fn of(text: &str) -> Self {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return match text.parse::<i64>() {
                Ok(0) if text.starts_with('-') => Self::Double(-0.0),
                Ok(value) => Self::BigInt(value),
                Err(_) => Self::Beyond,
            };
        }
        let is_odd = matches!(digits, "NaN" | "Infinity");
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() || is_odd => Self::Double(value),
            _ => Self::Beyond,
        }
    }
}

impl<'a> Value<'a> {
    /// Of JSON that is not flattened; `None` for `null`.
    pub fn of(json: &Json<'a>) -> Option<Self> {
        Some(match json {
            Json::Null => return None,
            Json::Boolean(value) => Self::Boolean(*value),
            Json::Number(text) => Self::Number(text),
            Json::Text(text) => Self::Text(text.clone()),
            Json::Array(text) | Json::Object(text) => Self::Text(Cow::Borrowed(text)),
        })
    }

    /// Bytes of what was written.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Boolean(_) => 1,
            Self::Number(text) => text.len(),
            Self::Text(text) => text.len(),
        }
    }

    /// A text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }
}

/// Properties by their path.
pub type Properties<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

/// Add the members of `object`, nested ones flattened with dots, under `prefix` (such as `context`, or nothing). What is no
/// object is added under the prefix itself.
pub fn flatten<'a>(prefix: &str, object: &Json<'a>, into: &mut Properties<'a>) {
    visit(prefix, object, &mut |path, value| {
        if let Some(value) = value {
            into.push((path, value));
        }
    });
}

/// Add a property: a value under its name, or an object flattened under it.
pub fn flatten_member<'a>(name: &str, value: &Json<'a>, into: &mut Properties<'a>) {
    match value {
        Json::Object(_) => flatten(name, value, into),
        value => into.extend(Value::of(value).map(|value| (Cow::Owned(name.to_string()), value))),
    }
}

/// Give every leaf of `object` to `each` with its path, `null` as `None`.
pub fn visit<'a>(prefix: &str, object: &Json<'a>, each: &mut dyn FnMut(Cow<'a, str>, Option<Value<'a>>)) {
    match object {
        Json::Object(_) => walk(prefix, object, 0, each),
        other if !prefix.is_empty() => each(Cow::Owned(prefix.to_string()), Value::of(other)),
        _ => {}
    }
}

fn walk<'a>(prefix: &str, object: &Json<'a>, depth: usize, each: &mut dyn FnMut(Cow<'a, str>, Option<Value<'a>>)) {
    for (name, value) in object.members() {
        let path = match prefix.is_empty() {
            true => name,
            false => Cow::Owned(format!("{prefix}.{name}")),
        };
        match value {
            Json::Object(_) if depth < DEPTH_MAX => walk(&path, &value, depth + 1, each),
            value => each(path, Value::of(&value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(prefix: &str, text: &str) -> Vec<(String, String)> {
        let json = Json::parse(text).unwrap();
        let mut found = Vec::new();
        flatten(prefix, &json, &mut found);
        found.into_iter().map(|(path, value)| (path.into_owned(), format!("{value:?}"))).collect()
    }

    #[test]
    fn nested_objects_become_paths() {
        let found = flat("", r#"{"a":1,"b":{"c":"x","d":{"e":true,"f":null}},"g":[1,{"h":2}],"i":{}}"#);
        let want = [
            ("a", r#"Number("1")"#),
            ("b.c", r#"Text("x")"#),
            ("b.d.e", "Boolean(true)"),
            ("g", r#"Text("[1,{\"h\":2}]")"#),
        ];
        let want: Vec<_> = want.iter().map(|(path, value)| (path.to_string(), value.to_string())).collect();
        assert_eq!(found, want);
        assert_eq!(flat("context", r#"{"ip":"1.2.3.4"}"#), [("context.ip".into(), r#"Text("1.2.3.4")"#.into())]);
        assert_eq!(flat("context", "7"), [("context".into(), r#"Number("7")"#.into())]);
        assert!(flat("", "7").is_empty());
    }

    #[test]
    fn deep_objects_stay_text() {
        let text = format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100));
        let found = flat("", &text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, ["a"; 33].join("."));
        assert!(found[0].1.contains("{\\\"a\\\":"));
    }

    #[test]
    fn numbers_are_read_without_loss() {
        for (text, want) in [
            ("7", Number::BigInt(7)),
            ("-9223372036854775808", Number::BigInt(i64::MIN)),
            ("9223372036854775808", Number::Beyond),
            ("-0", Number::Double(-0.0)),
            ("1.50", Number::Double(1.5)),
            ("1e3", Number::Double(1000.0)),
            ("1e999", Number::Beyond),
            ("-Infinity", Number::Double(f64::NEG_INFINITY)),
        ] {
            assert_eq!(Number::of(text), want, "{text}");
        }
        assert!(matches!(Number::of("NaN"), Number::Double(value) if value.is_nan()));
    }
}
