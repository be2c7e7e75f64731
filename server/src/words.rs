//! Numbers, sizes and times as people write and read them.

use std::time::Duration;

/// Binary and decimal units of bytes.
const BYTE_UNITS: [(&str, u64); 9] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// The bytes of `512MB`, `2GiB`, `1.5 GB` or `1000000`.
///
/// # Errors
/// What is wrong with the text, for a person.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim().to_ascii_lowercase());
    let unit = if unit.is_empty() { "b" } else { unit.as_str() };
    let factor = BYTE_UNITS.iter().find(|(name, _)| *name == unit || name.strip_suffix('b') == Some(unit));
    match (number.parse::<f64>(), factor) {
        (Ok(number), Some((_, factor))) if number * *factor as f64 >= 1.0 => Ok((number * *factor as f64) as u64),
        _ => Err("write a size such as 512MB or 2GiB".into()),
    }
}

/// As [`parse_bytes`], where 0 has a meaning.
///
/// # Errors
/// What is wrong with the text, for a person.
pub fn parse_bytes_or_none(text: &str) -> Result<u64, String> {
    match text.trim() {
        "0" => Ok(0),
        _ => parse_bytes(text).map_err(|message| format!("{message}, or 0")),
    }
}

/// The microseconds of `7 days`, `12h`, `30m` or `2 weeks`.
///
/// # Errors
/// What is wrong with the text, for a person.
pub fn parse_duration_us(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let seconds: Option<i64> = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "s" | "second" | "seconds" => Some(1),
        "m" | "min" | "minute" | "minutes" => Some(60),
        "h" | "hour" | "hours" => Some(3_600),
        "d" | "day" | "days" => Some(86_400),
        "w" | "week" | "weeks" => Some(7 * 86_400),
        _ => None,
    };
    let time = text[..digits].parse::<i64>().ok().zip(seconds).and_then(|(number, unit)| number.checked_mul(unit));
    time.and_then(|seconds| seconds.checked_mul(1_000_000))
        .ok_or_else(|| format!("'{text}' is no length of time; write one such as '7 days', '12 hours' or '2 weeks'"))
}

/// Microseconds in the largest unit that leaves no rest, as [`parse_duration_us`] reads it: `7 days`, `90 seconds`.
pub fn duration(us: i64) -> String {
    const UNITS: [(&str, i64); 4] = [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)];
    let unit = UNITS.iter().find(|(_, seconds)| us != 0 && us % (seconds * 1_000_000) == 0);
    match unit {
        Some((word, seconds)) => counted((us / (seconds * 1_000_000)).unsigned_abs(), word),
        None => format!("{us} µs"),
    }
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with its word: `1 row`, `2,000 rows`.
pub fn counted(number: u64, word: &str) -> String {
    format!("{} {word}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// Bytes in the largest unit that leaves at least one whole: `12.3 MB`.
pub fn bytes(number: u64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    match units.iter().find(|(_, factor)| number as f64 >= *factor) {
        Some((unit, factor)) => format!("{:.1} {unit}", number as f64 / factor),
        None => format!("{number} bytes"),
    }
}

/// A length of time with three digits that count: `4.56 ms`, `12.3 s`, `2 min 5 s`.
pub fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds < 0.001 => format!("{:.0} µs", seconds * 1e6),
        _ if seconds < 0.1 => format!("{:.1} ms", seconds * 1e3),
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 60.0 => format!("{seconds:.1} s"),
        _ => format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_and_without_units() {
        assert_eq!(parse_bytes("1000"), Ok(1000));
        assert_eq!(parse_bytes("2GiB"), Ok(2 << 30));
        assert_eq!(parse_bytes("1.5 gb"), Ok(1_500_000_000));
        assert_eq!(parse_bytes("64M"), Ok(64_000_000));
        for wrong in ["", "GB", "0", "-1", "1 parsec", "1.2.3MB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_bytes_or_none("0"), Ok(0));
        assert_eq!(parse_bytes_or_none("1 kB"), Ok(1000));
        assert!(parse_bytes_or_none("none").is_err());
    }

    #[test]
    fn lengths_of_time() {
        assert_eq!(parse_duration_us("7 days"), Ok(7 * 86_400_000_000));
        assert_eq!(parse_duration_us("90s"), Ok(90_000_000));
        for text in ["7 days", "1 hour", "90 seconds", "25 hours"] {
            assert_eq!(parse_duration_us(text).map(duration).as_deref(), Ok(text));
        }
        assert_eq!(duration(1), "1 µs");
        for wrong in ["", "7", "days", "99999999999999 days", "-1 day"] {
            assert!(parse_duration_us(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(12_345_678), "12,345,678");
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(bytes(1_500), "1.5 kB");
        assert_eq!(elapsed(Duration::from_micros(4_560)), "4.6 ms");
        assert_eq!(elapsed(Duration::from_secs(125)), "2 min 5 s");
    }
}
