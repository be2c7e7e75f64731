//! JSON as SDKs send it, read where it stands: numbers keep their text, what nobody asks for is never built.

use serde::de::IgnoredAny;
use std::borrow::Cow;

/// A value somewhere in a text that was checked as a whole.
#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number as it was written; also `NaN` and `Infinity`, which some SDKs send although JSON has none.
    Number(&'a str),
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// An array as it was written.
    Array(&'a str),
    /// An object as it was written.
    Object(&'a str),
}

impl<'a> Json<'a> {
    /// The value that `text` is.
    ///
    /// # Errors
    /// What is wrong with the text, and where.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}').trim_ascii();
        let checked = match text.contains("NaN") || text.contains("Infinity") {
            true => serde_json::from_str::<IgnoredAny>(&without_odd_numbers(text)),
            false => serde_json::from_str::<IgnoredAny>(text),
        };
        checked.map_err(|error| error.to_string())?;
        Ok(Walk { text, position: 0 }.value())
    }

    /// The members of an object in their order; none of anything else.
    pub fn members(&self) -> Vec<(Cow<'a, str>, Json<'a>)> {
        let Self::Object(text) = self else { return Vec::new() };
        let mut walk = Walk { text, position: 1 };
        let mut members = Vec::new();
        while walk.peek() == b'"' {
            let name = walk.string();
            walk.peek();
            members.push((name, walk.value()));
        }
        members
    }

    /// The elements of an array in their order; none of anything else.
    pub fn items(&self) -> Vec<Json<'a>> {
        let Self::Array(text) = self else { return Vec::new() };
        let mut walk = Walk { text, position: 1 };
        let mut items = Vec::new();
        while walk.peek() != b']' && walk.position < text.len() {
            items.push(walk.value());
        }
        items
    }

    /// An id or a name: a text that is not empty, or a number as it was written.
    pub fn name(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text.clone()),
            Self::Number(text) => Some(Cow::Borrowed(text)),
            _ => None,
        }
    }

    /// Whether there is nothing: `null`, or the empty text that some SDKs send for it.
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty(),
            _ => false,
        }
    }
}

/// The members of an object that are asked for by name. The last one of a name counts.
#[derive(Debug, Clone, Default)]
pub struct Members<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Members<'a> {
    /// Those of `object`; none of anything else.
    pub fn of(object: &Json<'a>) -> Self {
        Self(object.members())
    }

    /// The member called `name`, `Null` where there is none.
    pub fn get(&self, name: &str) -> Json<'a> {
        let found = self.0.iter().rev().find(|(own, _)| own == name);
        found.map_or(Json::Null, |(_, value)| value.clone())
    }

    /// The first of `names` that is there and not blank.
    pub fn first(&self, names: &[&str]) -> Json<'a> {
        names.iter().map(|name| self.get(name)).find(|value| !value.is_blank()).unwrap_or(Json::Null)
    }

    /// All but those called one of `names`.
    pub fn others<'s>(&'s self, names: &'s [&str]) -> impl Iterator<Item = (&'s str, Json<'a>)> {
        let others = self.0.iter().filter(|(own, _)| !names.contains(&own.as_ref()));
        others.map(|(name, value)| (name.as_ref(), value.clone()))
    }
}

/// `text` with numbers of the same length in place of `NaN` and `Infinity` outside of strings.
fn without_odd_numbers(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut position = 0;
    while position < text.len() {
        let rest = &text[position..];
        let length = match rest.as_bytes()[0] {
            b'"' => end_of_string(text.as_bytes(), position) - position,
            b'N' if rest.starts_with("NaN") => 3,
            b'I' if rest.starts_with("Infinity") => 8,
            _ => rest.find(['"', 'N', 'I']).filter(|&at| at > 0).unwrap_or_else(|| next_char(rest)),
        };
        match rest.as_bytes()[0] {
            b'N' | b'I' if length == 3 || length == 8 => plain.extend(std::iter::repeat_n('1', length)),
            _ => plain.push_str(&rest[..length]),
        }
        position += length;
    }
    plain
}

/// Bytes up to the next of the signs that matter, at least one character.
fn next_char(rest: &str) -> usize {
    match rest.as_bytes()[0] {
        b'N' | b'I' => 1,
        _ => rest.len(),
    }
}

/// A walk through JSON that is known to be valid.
struct Walk<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Walk<'a> {
    /// Skip white space and separators; the byte that comes then.
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':') = bytes.get(self.position) {
            self.position += 1;
        }
        bytes.get(self.position).copied().unwrap_or(b'}')
    }

    fn value(&mut self) -> Json<'a> {
        let first = self.peek();
        if first == b'"' {
            return Json::Text(self.string());
        }
        let start = self.position;
        self.position = self.end_of_value().max(start + 1).min(self.text.len());
        let text = &self.text[start..self.position];
        match first {
            b'{' => Json::Object(text),
            b'[' => Json::Array(text),
            b't' => Json::Boolean(true),
            b'f' => Json::Boolean(false),
            b'n' => Json::Null,
            _ => Json::Number(text),
        }
    }

    fn string(&mut self) -> Cow<'a, str> {
        let start = self.position;
        self.position = end_of_string(self.text.as_bytes(), start);
        let inner = &self.text[start + 1..self.position.saturating_sub(1).max(start + 1)];
        match inner.contains('\\') {
            true => Cow::Owned(unescaped(inner)),
            false => Cow::Borrowed(inner),
        }
    }

    /// The end of the value that begins here and is no string.
    fn end_of_value(&self) -> usize {
        let bytes = self.text.as_bytes();
        let (mut position, mut depth) = (self.position, 0_usize);
        while position < bytes.len() {
            match bytes[position] {
                b'"' => {
                    position = end_of_string(bytes, position);
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => return position,
                b'}' | b']' if depth == 1 => return position + 1,
                b'}' | b']' => depth -= 1,
                b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return position,
                _ => {}
            }
            position += 1;
        }
        position
    }
}

/// The place after the string that begins at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut position = start + 1;
    while position < bytes.len() {
        match bytes[position] {
            b'"' => return position + 1,
            b'\\' => position += 2,
            _ => position += 1,
        }
    }
    bytes.len()
}

/// The text of a string. Half of a pair of `\u` escapes, which programs that cut texts send, becomes U+FFFD.
fn unescaped(inner: &str) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = &rest[at + 1..];
        let sign = escape.chars().next().unwrap_or('\\');
        rest = escape.get(sign.len_utf8()..).unwrap_or("");
        match sign {
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'u' => {
                let (found, length) = unicode_escape(rest);
                text.push(found);
                rest = rest.get(length..).unwrap_or("");
            }
            other => text.push(other),
        }
    }
    text.push_str(rest);
    text
}

/// The character of the digits after `\u`, with those of a second escape where it takes two; and their bytes.
fn unicode_escape(rest: &str) -> (char, usize) {
    let unit = |digits: Option<&str>| digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let Some(first) = unit(rest.get(..4)) else { return ('\u{fffd}', 0) };
    let second = rest.get(4..6).filter(|mark| *mark == "\\u").and_then(|_| unit(rest.get(6..10)));
    match (first, second) {
        (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00);
            (char::from_u32(code).unwrap_or('\u{fffd}'), 10)
        }
        _ => (char::from_u32(first).unwrap_or('\u{fffd}'), 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Vec<(String, Json<'_>)> {
        let value = Json::parse(text).unwrap();
        value.members().into_iter().map(|(name, value)| (name.into_owned(), value)).collect()
    }

    #[test]
    fn values_are_what_was_written() {
        let text = r#" {"a" : 1.50,"b":{"c":"x\n\u00e9"},"f":[1, {"g":"]}"}],"h":true,"n":null,"":-0,"e":""} "#;
        let want = [
            ("a", Json::Number("1.50")),
            ("b", Json::Object(r#"{"c":"x\n\u00e9"}"#)),
            ("f", Json::Array(r#"[1, {"g":"]}"}]"#)),
            ("h", Json::Boolean(true)),
            ("n", Json::Null),
            ("", Json::Number("-0")),
            ("e", Json::Text("".into())),
        ];
        let want: Vec<_> = want.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        assert_eq!(members(text), want);
        let items = Json::parse("[ 1 ,[2,3], {} ,\"x,]\"]").unwrap().items();
        let want = [Json::Number("1"), Json::Array("[2,3]"), Json::Object("{}"), Json::Text("x,]".into())];
        assert_eq!(items, want);
        assert!(Json::parse("[]").unwrap().items().is_empty() && members("{}").is_empty());
    }

    #[test]
    fn strings_are_unescaped_and_halves_of_pairs_replaced() {
        let text = |quoted: &str| match Json::parse(quoted).unwrap() {
            Json::Text(text) => text.into_owned(),
            other => panic!("{other:?}"),
        };
        for quoted in [r#""\"\\\/\b\f\n\r\t""#, r#""\u00e9\ud83d\ude00x""#, r#""plain""#, r#""é\u0000""#] {
            assert_eq!(text(quoted), serde_json::from_str::<String>(quoted).unwrap(), "{quoted}");
        }
        assert_eq!(text(r#""a\ud83d""#), "a\u{fffd}");
        assert_eq!(text(r#""\ud83dx\ude00""#), "\u{fffd}x\u{fffd}");
    }

    #[test]
    fn numbers_that_json_has_none_of_are_taken() {
        let text = r#"{"a":NaN,"b":-Infinity,"NaN":"Infinity","c":[Infinity]}"#;
        let want = [
            ("a", Json::Number("NaN")),
            ("b", Json::Number("-Infinity")),
            ("NaN", Json::Text("Infinity".into())),
            ("c", Json::Array("[Infinity]")),
        ];
        let want: Vec<_> = want.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        assert_eq!(members(text), want);
        for text in ["{NaN:1}", "{\"a\":NaNa}", "{\"a\":N}", "Inf", "{\"Infinity\"}"] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_said() {
        for text in ["", "{", r#"{"a":1}x"#, "{'a':1}", "[1,]", r#"{"a":tru}"#, "data=1"] {
            assert!(!Json::parse(text).unwrap_err().is_empty(), "{text}");
        }
        assert!(Json::parse(&"[".repeat(100_000)).is_err());
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        if let Ok(value) = Json::parse(&deep) {
            assert_eq!(value.items().len(), 1);
        }
    }

    #[test]
    fn of_members_with_one_name_the_last_counts() {
        let members = Members::of(&Json::parse(r#"{"a":1,"a":2,"b":""}"#).unwrap());
        assert_eq!(members.get("a"), Json::Number("2"));
        assert_eq!(members.first(&["b", "a"]), Json::Number("2"));
        assert_eq!(members.get("c"), Json::Null);
        assert_eq!(members.others(&["a"]).count(), 1);
    }
}
