//! Times as the protocols write them, in microseconds since 1970.

use crate::http::delivery::Rejection;
use crate::http::json::Json;
use trodden_query::engine::types::{TS_MAX_US, TS_MIN_US};
use trodden_query::import::parse_instant;

/// A time in any form of which it is clear what it means; `None` where there is none.
///
/// # Errors
/// The rejection for what is no time.
pub(super) fn instant(index: usize, field: &'static str, json: &Json<'_>) -> Result<Option<i64>, Rejection> {
    if json.is_blank() {
        return Ok(None);
    }
    let found = match json {
        Json::Text(text) => parse_instant(text),
        Json::Number(text) => parse_instant(text),
        _ => None,
    };
    found.map(Some).ok_or_else(|| no_time(index, field, json, "RFC 3339, or a number since 1970"))
}

/// A time in milliseconds since 1970, for protocols that say so; a text may be one of RFC 3339.
///
/// # Errors
/// The rejection for what is no time.
pub(super) fn millis(index: usize, field: &'static str, json: &Json<'_>) -> Result<Option<i64>, Rejection> {
    let found = match json {
        json if json.is_blank() => return Ok(None),
        Json::Number(text) => match text.parse::<i64>() {
            Ok(whole) => whole.checked_mul(1000),
            Err(_) => {
                text.parse::<f64>().ok().map(|value| value * 1000.0).filter(|us| us.abs() < 1e18).map(|us| us as i64)
            }
        },
        Json::Text(text) => parse_instant(text),
        _ => None,
    };
    let found = found.filter(|us| (TS_MIN_US..=TS_MAX_US).contains(us));
    found.map(Some).ok_or_else(|| no_time(index, field, json, "milliseconds since 1970"))
}

fn no_time(index: usize, field: &'static str, json: &Json<'_>, wanted: &str) -> Rejection {
    let shown = match json {
        Json::Text(text) => text.chars().take(60).collect(),
        Json::Number(text) | Json::Array(text) | Json::Object(text) => text.chars().take(60).collect(),
        Json::Boolean(value) => value.to_string(),
        Json::Null => String::new(),
    };
    Rejection::invalid(index, field, format!("'{shown}' is no time (expected {wanted}, years 1 to 9999)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_or_refused() {
        let at =
            |text: &str| instant(0, "timestamp", &Json::parse(text).unwrap()).map_err(|rejection| rejection.reason);
        assert_eq!(at(r#""2026-03-01T10:00:00.250+02:00""#), Ok(Some(1_772_352_000_250_000)));
        assert_eq!(at("1772352000"), Ok(Some(1_772_352_000_000_000)));
        assert_eq!(at("1772352000250"), Ok(Some(1_772_352_000_250_000)));
        assert_eq!((at("null"), at(r#""""#)), (Ok(None), Ok(None)));
        for text in [r#""yesterday""#, "12", "true", "{}", r#""99999-01-01""#] {
            assert!(at(text).unwrap_err().contains("is no time"), "{text}");
        }
        let ms = |text: &str| millis(0, "time", &Json::parse(text).unwrap()).map_err(|rejection| rejection.reason);
        assert_eq!((ms("5000"), ms("-1"), ms("1.5")), (Ok(Some(5_000_000)), Ok(Some(-1000)), Ok(Some(1500))));
        assert!(ms("1e300").is_err() && ms("9223372036854775807").is_err() && ms("[]").is_err());
    }
}
