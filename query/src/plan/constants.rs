//! Constant arguments: intervals, words, numbers.

use crate::behavior::bucket::Bucket;
use crate::behavior::periods::Period;
use crate::error::{Error, Result, closest};
use crate::sql::duration::{format_us, no_fixed_length, parse_us};
use chrono::Weekday;
use chrono_tz::Tz;
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;

/// The value of a literal.
pub(crate) fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Alias(alias) => literal(&alias.expr),
        _ => None,
    }
}

/// A text.
pub(crate) fn text(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

/// A whole number.
pub(crate) fn integer(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int8(Some(v)) => Some(i64::from(*v)),
        ScalarValue::Int16(Some(v)) => Some(i64::from(*v)),
        ScalarValue::Int32(Some(v)) => Some(i64::from(*v)),
        ScalarValue::Int64(Some(v)) => Some(*v),
        ScalarValue::UInt8(Some(v)) => Some(i64::from(*v)),
        ScalarValue::UInt16(Some(v)) => Some(i64::from(*v)),
        ScalarValue::UInt32(Some(v)) => Some(i64::from(*v)),
        ScalarValue::UInt64(Some(v)) => i64::try_from(*v).ok(),
        _ => None,
    }
}

/// A span of time in microseconds; `None` for NULL, which means no limit.
///
/// # Errors
/// `InvalidInput` for what is no span of time, or has no fixed length.
pub(crate) fn interval_us(value: &ScalarValue, argument: &str) -> Result<Option<i64>> {
    if value.is_null() {
        return Ok(None);
    }
    if let Some(text) = text(value) {
        return parse_us(text).map(Some);
    }
    let too_long = || Error::invalid(format!("{argument} is longer than 292,000 years"));
    let us = match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            if interval.months != 0 {
                return Err(no_fixed_length(if interval.months % 12 == 0 { "year" } else { "month" }));
            }
            let days_us = i64::from(interval.days).checked_mul(86_400_000_000).ok_or_else(too_long)?;
            days_us.checked_add(interval.nanoseconds.div_euclid(1_000)).ok_or_else(too_long)?
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            let days_us = i64::from(interval.days) * 86_400_000_000;
            days_us + i64::from(interval.milliseconds) * 1_000
        }
        ScalarValue::IntervalYearMonth(Some(_)) => return Err(no_fixed_length("month")),
        ScalarValue::DurationSecond(Some(v)) => v.checked_mul(1_000_000).ok_or_else(too_long)?,
        ScalarValue::DurationMillisecond(Some(v)) => v.checked_mul(1_000).ok_or_else(too_long)?,
        ScalarValue::DurationMicrosecond(Some(v)) => *v,
        ScalarValue::DurationNanosecond(Some(v)) => v.div_euclid(1_000),
        other => {
            return Err(Error::invalid(format!("{argument} needs a span of time, not {other}"))
                .with_hint(format!("for example {argument} => INTERVAL '7' DAY")));
        }
    };
    Ok(Some(us))
}

/// A span of time of which one day, week and month are those of a calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CalendarSpan {
    Day,
    Week,
    Month,
    /// So many microseconds.
    Us(i64),
}

/// A span of time by the calendar. `hint` says what the argument takes.
///
/// # Errors
/// `InvalidInput` for what is no span of time, for NULL, and for other months than one.
pub(crate) fn calendar_span(value: &ScalarValue, argument: &str, hint: &str) -> Result<CalendarSpan> {
    let months = |months: i32| match months {
        1 => Ok(CalendarSpan::Month),
        months => Err(Error::invalid(format!("{argument} cannot be {months} months")).with_hint(hint)),
    };
    match value {
        // No time at all is told as such by who takes it.
        ScalarValue::IntervalMonthDayNano(Some(interval))
            if interval.months != 0 && (interval.days, interval.nanoseconds) == (0, 0) =>
        {
            return months(interval.months);
        }
        ScalarValue::IntervalYearMonth(Some(interval)) => return months(*interval),
        _ => {}
    }
    match text(value).and_then(calendar_unit) {
        Some("day") => return Ok(CalendarSpan::Day),
        Some("week") => return Ok(CalendarSpan::Week),
        Some("month") => return Ok(CalendarSpan::Month),
        _ => {}
    }
    match interval_us(value, argument)? {
        Some(86_400_000_000) => Ok(CalendarSpan::Day),
        Some(us) => Ok(CalendarSpan::Us(us)),
        None => Err(Error::invalid(format!("{argument} cannot be NULL")).with_hint(hint)),
    }
}

/// A calendar day, week or month. `hint` says what the argument takes.
///
/// # Errors
/// `InvalidInput` for every other span of time, and for what is none.
pub(crate) fn calendar_period(value: &ScalarValue, argument: &str, starts_on: Weekday, hint: &str) -> Result<Period> {
    match calendar_span(value, argument, hint)? {
        CalendarSpan::Day => Ok(Period::Day),
        CalendarSpan::Week => Ok(Period::Week { starts_on }),
        CalendarSpan::Month => Ok(Period::Month),
        CalendarSpan::Us(us) => Err(Error::invalid(format!("{argument} cannot be {}", format_us(us))).with_hint(hint)),
    }
}

/// A division of time into buckets.
///
/// # Errors
/// `InvalidInput` for what is no span of time.
pub(crate) fn bucket(value: &ScalarValue) -> Result<Bucket> {
    const HINT: &str = "bucket is 'day', 'week', 'month' or an interval in days, hours, minutes or seconds";
    Ok(match calendar_span(value, "bucket", HINT)? {
        CalendarSpan::Day => Bucket::Day,
        CalendarSpan::Week => Bucket::Week,
        CalendarSpan::Month => Bucket::Month,
        CalendarSpan::Us(us) => Bucket::IntervalUs(us),
    })
}

/// The day that a week starts on.
///
/// # Errors
/// `InvalidInput` for what is no day of the week.
pub(crate) fn weekday(value: &ScalarValue) -> Result<Weekday> {
    let days = [
        ("monday", Weekday::Mon),
        ("tuesday", Weekday::Tue),
        ("wednesday", Weekday::Wed),
        ("thursday", Weekday::Thu),
        ("friday", Weekday::Fri),
        ("saturday", Weekday::Sat),
        ("sunday", Weekday::Sun),
    ];
    word(value, "week_start", &days)
}

/// An instant: a TIMESTAMP, a date, or the text of one.
///
/// # Errors
/// `InvalidInput` for what is none.
pub(crate) fn instant_us(value: &ScalarValue, argument: &str) -> Result<i64> {
    let is_time = matches!(value.data_type(), DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
    let as_time = DataType::Timestamp(TimeUnit::Microsecond, None);
    match value.cast_to(&as_time) {
        Ok(ScalarValue::TimestampMicrosecond(Some(us), _)) if is_time || text(value).is_some() => Ok(us),
        _ => Err(Error::invalid(format!("{argument} needs a time, not {value}"))
            .with_hint(format!("for example {argument} => TIMESTAMP '2026-03-01'"))),
    }
}

/// The calendar unit that a text names: `day` or `1 day`, likewise week and month.
pub(crate) fn calendar_unit(text: &str) -> Option<&'static str> {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    let unit = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [unit] if !unit.ends_with('s') => unit.to_string(),
        ["1", unit] => unit.strip_suffix('s').unwrap_or(unit).to_string(),
        _ => return None,
    };
    ["day", "week", "month"].into_iter().find(|known| *known == unit)
}

/// One of a few words.
///
/// # Errors
/// `InvalidInput` with the words that there are.
pub(crate) fn word<T: Copy>(value: &ScalarValue, argument: &str, words: &[(&str, T)]) -> Result<T> {
    let given = text(value).map_or_else(|| value.to_string(), String::from);
    if let Some((_, meaning)) = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&given)) {
        return Ok(*meaning);
    }
    let near = closest(&given, words.iter().map(|(word, _)| *word)).map(|near| format!("did you mean '{near}'? "));
    let choices: Vec<String> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
    let hint = format!("{}{argument} is {}", near.unwrap_or_default(), choices.join(", "));
    Err(Error::invalid(format!("{argument} cannot be '{given}'")).with_hint(hint))
}

/// A time zone by its IANA name.
///
/// # Errors
/// `InvalidInput` for a name that is not in the IANA database.
pub(crate) fn time_zone(value: &ScalarValue) -> Result<Tz> {
    let name = text(value).map_or_else(|| value.to_string(), String::from);
    name.parse().map_err(|_| {
        Error::invalid(format!("'{name}' is no time zone"))
            .with_hint("use an IANA name such as 'Europe/Berlin' or 'UTC'")
    })
}

/// An expression for a person: intervals as `7 days`, texts without the marks of their type.
pub(crate) fn display(expr: &Expr) -> String {
    match literal(expr) {
        Some(value) => match (text(value), interval_us(value, "")) {
            (Some(text), _) => format!("'{text}'"),
            (None, Ok(Some(us))) => format_us(us),
            _ => value.to_string(),
        },
        None => expr.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::IntervalMonthDayNano;

    #[test]
    fn intervals_have_a_fixed_length() {
        let of =
            |months, days, ns| ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, ns)));
        assert_eq!(interval_us(&of(0, 7, 5_000), "within").unwrap(), Some(604_800_000_005));
        assert!(interval_us(&of(1, 0, 0), "within").unwrap_err().message().contains("no fixed length"));
        assert_eq!(interval_us(&ScalarValue::from("2 hours"), "within").unwrap(), Some(7_200_000_000));
        assert!(interval_us(&ScalarValue::from(5i64), "within").unwrap_err().hint().is_some());
        assert_eq!(interval_us(&ScalarValue::Null, "within").unwrap(), None);
    }

    #[test]
    fn a_calendar_unit_is_told_from_a_span() {
        for (text, unit) in [("week", "week"), ("1 Week", "week"), (" 1  months ", "month"), ("DAY", "day")] {
            assert_eq!(calendar_unit(text), Some(unit), "{text}");
        }
        for text in ["2 weeks", "7 days", "weeks", "1 hour", "", "1 week 1 day"] {
            assert_eq!(calendar_unit(text), None, "{text}");
        }
    }

    #[test]
    fn words_are_suggested() {
        let words = [("ordered", 1), ("strict", 2)];
        assert_eq!(word(&ScalarValue::from("STRICT"), "order", &words).unwrap(), 2);
        let error = word(&ScalarValue::from("strikt"), "order", &words).unwrap_err();
        assert!(error.hint().unwrap().starts_with("did you mean 'strict'?"), "{error}");
    }
}
