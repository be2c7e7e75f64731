//! Patterns of times that a person tells, such as `%d/%m/%Y %H:%M`.

use super::time::local_to_utc;
use chrono::format::{Fixed, Item, Numeric, Parsed, StrftimeItems};
use chrono_tz::Tz;

/// A pattern in chrono's letters that leaves nothing of a time open but what may be taken for zero.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    items: Vec<Item<'static>>,
}

/// Why a pattern is refused, and the way out.
pub(super) type Refused = (String, String);

impl Pattern {
    /// Read a pattern. One that would lose a part of every time in silence is refused here, before the first row.
    pub(super) fn new(text: &str) -> Result<Self, Refused> {
        let example = "such as '%d/%m/%Y %H:%M'";
        let items = StrftimeItems::new(text)
            .parse_to_owned()
            .map_err(|_| (format!("'{text}' is no valid time pattern"), example.to_string()))?;
        Fields::of(&items)
            .check()
            .map_err(|(cause, hint)| (format!("the time pattern '{text}' {cause}"), hint.to_string()))?;
        Ok(Self { text: text.into(), items })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Microseconds since 1970, or `None` if `text` is not as the pattern says. `zone`: where no offset is written.
    pub(super) fn parse(&self, text: &str, zone: Tz) -> Option<i64> {
        let mut parsed = Parsed::new();
        chrono::format::parse(&mut parsed, text, self.items.iter()).ok()?;
        // A number since 1970 is an instant by itself, not a local time.
        if parsed.timestamp().is_some() {
            let stamp = parsed.to_naive_datetime_with_offset(0).ok()?;
            return Some(stamp.and_utc().timestamp_micros());
        }
        // `new` saw to it that what is missing here is not in the pattern at all.
        if parsed.hour_div_12().is_none() && parsed.hour_mod_12().is_none() {
            parsed.set_hour(0).ok()?;
        }
        if parsed.minute().is_none() {
            parsed.set_minute(0).ok()?;
        }
        if let Ok(stamp) = parsed.to_datetime() {
            return Some(stamp.timestamp_micros());
        }
        let local = parsed.to_naive_datetime_with_offset(0).ok()?;
        Some(local_to_utc(local.and_utc().timestamp_micros(), zone))
    }
}

/// What a pattern has places for.
#[derive(Debug, Default)]
struct Fields {
    /// A date and a time in one letter.
    whole: bool,
    year: bool,
    hour: bool,
    hour_of_twelve: bool,
    half_of_day: bool,
    minute: bool,
    second: bool,
    fraction: bool,
    nanoseconds: bool,
}

impl Fields {
    fn of(items: &[Item<'_>]) -> Self {
        let mut fields = Self::default();
        for item in items {
            match item {
                Item::Numeric(Numeric::Timestamp, _) | Item::Fixed(Fixed::RFC2822 | Fixed::RFC3339) => {
                    fields.whole = true;
                }
                Item::Numeric(Numeric::Year | Numeric::YearMod100 | Numeric::IsoYear | Numeric::IsoYearMod100, _) => {
                    fields.year = true
                }
                Item::Numeric(Numeric::Hour, _) => fields.hour = true,
                Item::Numeric(Numeric::Hour12, _) => fields.hour_of_twelve = true,
                Item::Fixed(Fixed::LowerAmPm | Fixed::UpperAmPm) => fields.half_of_day = true,
                Item::Numeric(Numeric::Minute, _) => fields.minute = true,
                Item::Numeric(Numeric::Second, _) => fields.second = true,
                Item::Numeric(Numeric::Nanosecond, _) => fields.nanoseconds = true,
                Item::Fixed(Fixed::Nanosecond | Fixed::Nanosecond3 | Fixed::Nanosecond6 | Fixed::Nanosecond9) => {
                    fields.fraction = true;
                }
                _ => {}
            }
        }
        fields
    }

    /// What would be lost or guessed, and the way out.
    fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let hour = self.hour || (self.hour_of_twelve && self.half_of_day);
        match self {
            Self { nanoseconds: true, .. } => {
                Err(("has %f, which counts nanoseconds", "write %.f for a fraction of a second with its point"))
            }
            Self { whole: true, .. } => Ok(()),
            Self { year: false, .. } => Err(("has no year", "%Y is a year of four digits, %y one of two")),
            Self { hour_of_twelve: true, half_of_day: false, hour: false, .. } => {
                Err(("has an hour of twelve (%I) and no %p", "add %p for AM and PM, or write %H for an hour of 24"))
            }
            Self { half_of_day: true, hour_of_twelve: false, hour: false, .. } => {
                Err(("has AM and PM (%p) and no hour", "add %I, the hour of twelve"))
            }
            Self { minute: true, .. } if !hour => {
                Err(("has a minute (%M) and no hour", "%H is the hour; is %m, the month, meant?"))
            }
            Self { second: true, minute: false, .. } => Err(("has a second (%S) and no minute", "%M is the minute")),
            Self { fraction: true, second: false, .. } => Err(("has a fraction and no second", "%S is the second")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(text: &str) -> i64 {
        chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    }

    fn parse(pattern: &str, text: &str, zone: Tz) -> Option<i64> {
        Pattern::new(pattern).unwrap().parse(text, zone)
    }

    #[test]
    fn what_a_pattern_has_is_read_and_only_what_it_lacks_is_zero() {
        for (pattern, text, want) in [
            ("%d/%m/%Y", "01/05/2024", "2024-05-01T00:00:00Z"),
            ("%Y-%m-%d %H", "2024-05-01 17", "2024-05-01T17:00:00Z"),
            ("%m/%d/%y %H:%M", "05/01/24 23:59", "2024-05-01T23:59:00Z"),
            ("%d/%m/%Y %I:%M %p", "01/05/2024 11:30 PM", "2024-05-01T23:30:00Z"),
            ("%d/%m/%Y %I %P", "01/05/2024 12 am", "2024-05-01T00:00:00Z"),
            ("%Y%m%d%H%M%S%.f", "20240501101112.25", "2024-05-01T10:11:12.25Z"),
            ("%d/%b/%Y:%H:%M:%S %z", "01/May/2024:02:00:00 +0200", "2024-05-01T00:00:00Z"),
            ("%Y-%m-%d %H %z", "2024-05-01 17 -0130", "2024-05-01T18:30:00Z"),
            ("%Y-%m-%d %z", "2024-05-01 +0200", "2024-04-30T22:00:00Z"),
            ("%c", "Wed May  1 10:11:12 2024", "2024-05-01T10:11:12Z"),
            ("%+", "2024-05-01T12:00:00+02:00", "2024-05-01T10:00:00Z"),
            ("at %s", "at 1714557600", "2024-05-01T10:00:00Z"),
        ] {
            assert_eq!(parse(pattern, text, Tz::UTC), Some(us(want)), "{pattern}: {text}");
        }
    }

    #[test]
    fn a_zone_counts_where_no_offset_is_written() {
        let berlin = Tz::Europe__Berlin;
        assert_eq!(parse("%d.%m.%Y %H", "01.05.2024 02", berlin), Some(us("2024-05-01T00:00:00Z")));
        assert_eq!(parse("%d.%m.%Y", "01.05.2024", berlin), Some(us("2024-04-30T22:00:00Z")));
        assert_eq!(parse("%Y-%m-%d %z", "2024-05-01 +0000", berlin), Some(us("2024-05-01T00:00:00Z")));
        assert_eq!(parse("%s", "1714557600", berlin), Some(us("2024-05-01T10:00:00Z")));
    }

    #[test]
    fn a_text_of_another_form_is_no_time() {
        assert_eq!(parse("%d/%m/%Y", "2024-05-01", Tz::UTC), None);
        assert_eq!(parse("%Y-%m-%d %H", "2024-05-01", Tz::UTC), None);
        assert_eq!(parse("%Y-%m-%d %H", "2024-05-01 24", Tz::UTC), None);
    }

    #[test]
    fn a_pattern_that_would_lose_a_part_of_the_time_is_refused() {
        for (pattern, cause, hint) in [
            ("%Q!", "no valid time pattern", "%d/%m/%Y"),
            ("%d/%m/%Y %I:%M", "(%I) and no %p", "%H"),
            ("%d/%m/%Y %p", "no hour", "%I"),
            ("%Y-%m-%d %M", "no hour", "%H"),
            ("%Y-%m-%d %H %S", "no minute", "%M"),
            ("%Y-%m-%d %H:%M%.f", "no second", "%S"),
            ("%Y-%m-%d %H:%M:%S.%f", "counts nanoseconds", "%.f"),
            ("%d.%m. %H:%M", "has no year", "%Y"),
        ] {
            let (found, way_out) = Pattern::new(pattern).unwrap_err();
            assert!(found.contains(cause) && found.contains(pattern), "{pattern}: {found}");
            assert!(way_out.contains(hint), "{pattern}: {way_out}");
        }
    }
}
