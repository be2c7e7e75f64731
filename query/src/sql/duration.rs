//! Spans of time in text: `'7 days'`, `'36 hours'`, `'1 day 12 hours'`.

use crate::error::{Error, Result};

const UNITS: [(&str, i64); 9] = [
    ("microsecond", 1),
    ("millisecond", 1_000),
    ("second", 1_000_000),
    ("sec", 1_000_000),
    ("minute", 60_000_000),
    ("min", 60_000_000),
    ("hour", 3_600_000_000),
    ("day", 86_400_000_000),
    ("week", 604_800_000_000),
];

/// `text` in microseconds: numbers and units that take turns.
///
/// # Errors
/// `InvalidInput` for anything else, and for months and years, which have no fixed length.
pub(crate) fn parse_us(text: &str) -> Result<i64> {
    let wrong = || {
        Error::invalid(format!("'{text}' is no span of time")).with_hint("write a number and a unit, as in '7 days'")
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() || words.len() % 2 == 1 {
        return Err(wrong());
    }
    let mut total = 0i64;
    for pair in words.chunks(2) {
        let count: i64 = pair[0].parse().map_err(|_| wrong())?;
        let unit = pair[1].to_lowercase();
        let unit = unit.strip_suffix('s').unwrap_or(&unit);
        if unit == "month" || unit == "year" {
            return Err(no_fixed_length(unit));
        }
        let (_, unit_us) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let part = count.checked_mul(*unit_us).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
    }
    Ok(total)
}

/// A month or a year where a fixed span is needed.
pub(crate) fn no_fixed_length(unit: &str) -> Error {
    Error::invalid(format!("a {unit} has no fixed length")).with_hint("say it in days: '30 days', '365 days'")
}

/// `us` as a person writes it.
pub(crate) fn format_us(us: i64) -> String {
    let units = [(86_400_000_000, "day"), (3_600_000_000, "hour"), (60_000_000, "minute"), (1_000_000, "second")];
    for (unit_us, name) in units {
        if us != 0 && us % unit_us == 0 {
            let count = us / unit_us;
            return format!("{count} {name}{}", if count.abs() == 1 { "" } else { "s" });
        }
    }
    format!("{us} microseconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        assert_eq!(parse_us("7 days").unwrap(), 604_800_000_000);
        assert_eq!(parse_us("1 day 12 hours").unwrap(), 129_600_000_000);
        assert_eq!(parse_us("90 MINUTES").unwrap(), 5_400_000_000);
        assert_eq!(format_us(604_800_000_000), "7 days");
        assert_eq!(format_us(1_500_000), "1500000 microseconds");
        for bad in ["", "7", "days", "7 moons", "x days", "9223372036854775807 days"] {
            assert!(parse_us(bad).is_err(), "{bad}");
        }
        assert!(parse_us("1 month").unwrap_err().message().contains("no fixed length"));
    }
}
