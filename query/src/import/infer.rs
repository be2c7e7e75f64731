//! Types of columns, found from their values.

use super::time::{EpochUnit, StampKind, compact_date, in_range, parse_iso};
use chrono_tz::Tz;
use trodden_engine::types::{ColumnType, EXACT_DOUBLE_MAX};

/// A value as a text file has it. NULL is the absence of a cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell<'a> {
    pub(super) text: &'a str,
    /// A JSON string: text or a time, never a number.
    pub(super) quoted: bool,
}

/// A value with the narrowest type that holds it without loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Parsed {
    Boolean(bool),
    BigInt(i64),
    Double(f64),
    Timestamp(i64),
    Text,
}

impl<'a> Cell<'a> {
    /// The value, with `zone` for times without an offset.
    pub(super) fn parse(self, zone: Tz) -> Parsed {
        let text = self.text.trim_ascii();
        if !self.quoted {
            match parse_number(text) {
                Parsed::Text => {}
                number => return number,
            }
            match text {
                "true" | "True" | "TRUE" => return Parsed::Boolean(true),
                "false" | "False" | "FALSE" => return Parsed::Boolean(false),
                _ => {}
            }
        }
        match parse_iso(text.as_bytes()).and_then(|stamp| in_range(stamp.in_zone(zone))) {
            Some(us) => Parsed::Timestamp(us),
            None => Parsed::Text,
        }
    }

    /// The value as `column_type`, or `None` if that type cannot hold it without loss. TEXT holds every value.
    pub(super) fn parse_as(self, column_type: ColumnType, zone: Tz) -> Option<Parsed> {
        if column_type == ColumnType::Text {
            return Some(Parsed::Text);
        }
        match (column_type, self.parse(zone)) {
            (ColumnType::Boolean, value @ Parsed::Boolean(_))
            | (ColumnType::BigInt, value @ Parsed::BigInt(_))
            | (ColumnType::Double, value @ Parsed::Double(_))
            | (ColumnType::Timestamp, value @ Parsed::Timestamp(_)) => Some(value),
            (ColumnType::Double, Parsed::BigInt(value)) if is_exact(value) => Some(Parsed::Double(value as f64)),
            _ => None,
        }
    }

    /// As [`Cell::parse_as`], but with the goodwill that a type told by a person deserves: numbers in quotes, `1` and
    /// `0` as BOOLEAN, a whole DOUBLE as BIGINT, a number since 1970 as TIMESTAMP.
    pub(super) fn parse_as_told(self, column_type: ColumnType, zone: Tz) -> Option<Parsed> {
        let plain = Cell { quoted: false, ..self };
        plain.parse_as(column_type, zone).or_else(|| match (column_type, plain.parse(zone)) {
            (ColumnType::Boolean, Parsed::BigInt(value @ 0..=1)) => Some(Parsed::Boolean(value == 1)),
            (ColumnType::BigInt, Parsed::Double(value)) if value.fract() == 0.0 && value.abs() < 9e15 => {
                Some(Parsed::BigInt(value as i64))
            }
            (ColumnType::BigInt | ColumnType::Double, Parsed::Text) => {
                let digits = plain.text.trim_ascii().trim_start_matches('+');
                let value = digits.parse::<f64>().ok()?;
                match column_type {
                    ColumnType::BigInt => digits.parse().ok().map(Parsed::BigInt),
                    _ => Some(Parsed::Double(value)),
                }
            }
            (ColumnType::Timestamp, Parsed::BigInt(_) | Parsed::Double(_)) => {
                let magnitude = plain.text.trim_ascii().parse::<f64>().ok()?.abs();
                let kind = StampKind::Epoch(EpochUnit::of_magnitude(magnitude)?);
                super::time::TimeParser { kind, zone }.parse(plain.text).map(Parsed::Timestamp)
            }
            _ => None,
        })
    }
}

fn is_exact(value: i64) -> bool {
    value.unsigned_abs() <= EXACT_DOUBLE_MAX.unsigned_abs()
}

/// A number whose text can be had back from its value: no plus sign, no leading zero, no whole number beyond 64 bits.
fn parse_number(text: &str) -> Parsed {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    match digits {
        [b'0', b'0'..=b'9', ..] => return Parsed::Text,
        [b'0'..=b'9' | b'.', ..] => {}
        _ if matches!(text, "NaN" | "nan" | "inf" | "-inf" | "Infinity" | "-Infinity") => {
            return text.parse().map_or(Parsed::Text, Parsed::Double);
        }
        _ => return Parsed::Text,
    }
    if digits.iter().all(u8::is_ascii_digit) {
        return match text.parse::<i64>() {
            Ok(0) if text.starts_with('-') => Parsed::Double(-0.0),
            Ok(value) => Parsed::BigInt(value),
            Err(_) => Parsed::Text,
        };
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Parsed::Double(value),
        _ => Parsed::Text,
    }
}

/// What the values of a column were seen to be.
#[derive(Debug, Clone, Default)]
pub(super) struct Guess {
    pub(super) nulls: u64,
    booleans: u64,
    integers: u64,
    /// Whole numbers that DOUBLE does not hold exactly.
    inexact: u64,
    doubles: u64,
    timestamps: u64,
    texts: u64,
    /// The type that a file or the table declares, counted as values.
    declared: bool,
    stamps: StampStats,
}

/// What the values of a column would be as times.
#[derive(Debug, Clone, Default)]
struct StampStats {
    iso: u64,
    numeric: u64,
    compact: u64,
    /// Least and greatest magnitude that tells a unit.
    least: Option<f64>,
    greatest: Option<f64>,
    day_month: Option<String>,
    other: Option<String>,
}

impl Guess {
    /// A column of a declared type without a value seen.
    pub(super) fn declared(column_type: ColumnType) -> Self {
        let mut guess = Self { declared: true, ..Self::default() };
        guess.declare(column_type);
        guess
    }

    /// Take a declared type in as if a value of it had been seen.
    pub(super) fn declare(&mut self, column_type: ColumnType) {
        match column_type {
            ColumnType::Boolean => self.booleans += 1,
            ColumnType::BigInt => self.integers += 1,
            ColumnType::Double => self.doubles += 1,
            ColumnType::Text => self.texts += 1,
            ColumnType::Timestamp => self.timestamps += 1,
        }
    }

    pub(super) fn observe(&mut self, cell: Option<Cell<'_>>, zone: Tz) {
        let Some(cell) = cell else {
            self.nulls += 1;
            return;
        };
        let parsed = cell.parse(zone);
        match parsed {
            Parsed::Boolean(_) => self.booleans += 1,
            Parsed::BigInt(value) => self.observe_integer(value),
            Parsed::Double(_) => self.doubles += 1,
            Parsed::Timestamp(_) => self.timestamps += 1,
            Parsed::Text => self.texts += 1,
        }
        self.stamps.observe(cell.text.trim_ascii(), parsed);
    }

    fn observe_integer(&mut self, value: i64) {
        self.integers += 1;
        self.inexact += u64::from(!is_exact(value));
    }

    /// A whole number of a typed file.
    pub(super) fn observe_i64(&mut self, value: i64) {
        self.observe_integer(value);
    }

    /// A value of a typed file that no number type holds.
    pub(super) fn observe_beyond(&mut self) {
        self.texts += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.nulls += other.nulls;
        self.booleans += other.booleans;
        self.integers += other.integers;
        self.inexact += other.inexact;
        self.doubles += other.doubles;
        self.timestamps += other.timestamps;
        self.texts += other.texts;
        self.declared |= other.declared;
        self.stamps.merge(&other.stamps);
    }

    /// The narrowest type that holds every value seen. `None`: no value was seen.
    pub(super) fn column_type(&self) -> Option<ColumnType> {
        let kinds = [self.booleans, self.integers + self.doubles, self.timestamps, self.texts];
        if kinds.iter().filter(|&&count| count > 0).count() > 1 {
            return Some(ColumnType::Text);
        }
        match self {
            _ if self.texts > 0 => Some(ColumnType::Text),
            _ if self.booleans > 0 => Some(ColumnType::Boolean),
            _ if self.timestamps > 0 => Some(ColumnType::Timestamp),
            _ if self.doubles > 0 && self.inexact > 0 => Some(ColumnType::Text),
            _ if self.doubles > 0 => Some(ColumnType::Double),
            _ if self.integers > 0 => Some(ColumnType::BigInt),
            _ => None,
        }
    }

    /// What the type was chosen from, for the summary.
    pub(super) fn describe(&self) -> String {
        let mut parts = Vec::new();
        if self.declared {
            parts.push("declared by the file".to_string());
        } else {
            for (count, name) in [
                (self.integers, "BIGINT"),
                (self.doubles, "DOUBLE"),
                (self.booleans, "BOOLEAN"),
                (self.timestamps, "TIMESTAMP"),
                (self.texts, "TEXT"),
            ] {
                if count > 0 {
                    parts.push(format!("{count} {name}"));
                }
            }
            if self.nulls > 0 {
                parts.push(format!("{} empty", self.nulls));
            }
        }
        if parts.is_empty() { "no value".into() } else { parts.join(", ") }
    }

    /// How the values are to be read as times, or why that is unclear: (cause, hint).
    pub(super) fn stamp_kind(&self) -> Result<StampKind, (String, String)> {
        self.stamps.kind()
    }
}

impl StampStats {
    fn observe(&mut self, text: &str, parsed: Parsed) {
        match parsed {
            Parsed::Timestamp(_) => self.iso += 1,
            Parsed::BigInt(value) => {
                self.numeric += 1;
                self.compact += u64::from(compact_date(text.as_bytes()).is_some());
                self.magnitude((value as f64).abs());
            }
            Parsed::Double(value) if value.is_finite() => {
                self.numeric += 1;
                self.magnitude(value.abs());
            }
            _ if looks_like_day_month(text) => keep_first(&mut self.day_month, text),
            // A JSON string may hold a number since 1970.
            _ => match text.parse::<f64>() {
                Ok(value) if value.is_finite() && text.as_bytes()[0].is_ascii_digit() => {
                    self.numeric += 1;
                    self.compact += u64::from(compact_date(text.as_bytes()).is_some());
                    self.magnitude(value);
                }
                _ => keep_first(&mut self.other, text),
            },
        }
    }

    /// Numbers near 1970 in every unit, such as a 0 for "unknown", tell no unit and are left out.
    fn magnitude(&mut self, magnitude: f64) {
        if EpochUnit::of_magnitude(magnitude).is_some() {
            self.least = Some(self.least.map_or(magnitude, |least| least.min(magnitude)));
            self.greatest = Some(self.greatest.map_or(magnitude, |greatest| greatest.max(magnitude)));
        }
    }

    fn merge(&mut self, other: &Self) {
        self.iso += other.iso;
        self.numeric += other.numeric;
        self.compact += other.compact;
        for magnitude in [other.least, other.greatest].into_iter().flatten() {
            self.magnitude(magnitude);
        }
        self.day_month = self.day_month.take().or_else(|| other.day_month.clone());
        self.other = self.other.take().or_else(|| other.other.clone());
    }

    fn kind(&self) -> Result<StampKind, (String, String)> {
        let unit_hint = "say how to read it: time format s, ms, us, ns, rfc3339 or a pattern".to_string();
        if let (Some(example), true) = (&self.day_month, self.iso == 0 && self.numeric == 0) {
            return Err((
                format!("'{example}' may mean day/month or month/day"),
                "say which: time format '%d/%m/%Y' or '%m/%d/%Y', with ' %H:%M:%S' after it where needed".into(),
            ));
        }
        if self.iso >= self.numeric && self.iso > 0 {
            return Ok(StampKind::Iso);
        }
        if self.numeric > 0 && self.compact == self.numeric {
            return Ok(StampKind::CompactDate);
        }
        match (self.least.and_then(EpochUnit::of_magnitude), self.greatest.and_then(EpochUnit::of_magnitude)) {
            (Some(least), Some(greatest)) if least == greatest => Ok(StampKind::Epoch(least)),
            (Some(least), Some(greatest)) => {
                Err((format!("some numbers look like {}, others like {}", least.name(), greatest.name()), unit_hint))
            }
            _ if self.numeric > 0 => Err(("the numbers are too small to tell their unit".into(), unit_hint)),
            _ => match &self.other {
                Some(example) => Err((format!("'{example}' is no time that is understood"), unit_hint)),
                None => Err(("no row has a value".into(), "name another time column".into())),
            },
        }
    }
}

fn keep_first(place: &mut Option<String>, text: &str) {
    if place.is_none() {
        *place = Some(text.chars().take(64).collect());
    }
}

/// `1/2/2024`, `01.02.24`, `01-02-2024 10:00`.
fn looks_like_day_month(text: &str) -> bool {
    let date = text.split([' ', 'T']).next().unwrap_or("");
    let mut parts = date.split(['/', '.', '-']);
    let is_number = |part: Option<&str>, lengths: &[usize]| {
        part.is_some_and(|part| lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    is_number(parts.next(), &[1, 2])
        && is_number(parts.next(), &[1, 2])
        && is_number(parts.next(), &[2, 4])
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Parsed {
        Cell { text, quoted: false }.parse(Tz::UTC)
    }

    fn guess(values: &[&str]) -> Guess {
        let mut guess = Guess::default();
        for text in values {
            let cell = (!text.is_empty()).then_some(Cell { text, quoted: false });
            guess.observe(cell, Tz::UTC);
        }
        guess
    }

    #[test]
    fn a_number_keeps_its_text() {
        assert_eq!(parse("7"), Parsed::BigInt(7));
        assert_eq!(parse("-9223372036854775808"), Parsed::BigInt(i64::MIN));
        for text in ["007", "+49123", "9223372036854775808", "00.5", "1_000", "1,5", "0x10", "1e999", ""] {
            assert_eq!(parse(text), Parsed::Text, "{text}");
        }
        assert_eq!(parse("0.5"), Parsed::Double(0.5));
        assert_eq!(parse("1e3"), Parsed::Double(1000.0));
        assert_eq!(parse("-.5"), Parsed::Double(-0.5));
        assert!(matches!(parse("NaN"), Parsed::Double(value) if value.is_nan()));
    }

    #[test]
    fn types_meet_without_loss() {
        use ColumnType as T;
        for (values, want) in [
            (&["1", "2", ""][..], Some(T::BigInt)),
            (&["1", "2.5"], Some(T::Double)),
            (&["9007199254740993", "2.5"], Some(T::Text)),
            (&["9007199254740993", "2"], Some(T::BigInt)),
            (&["1", "x"], Some(T::Text)),
            (&["true", "1"], Some(T::Text)),
            (&["true", "False"], Some(T::Boolean)),
            (&["2024-05-01", "2024-05-01T10:00:00Z"], Some(T::Timestamp)),
            (&["2024-05-01", "5"], Some(T::Text)),
            (&["01234", "5"], Some(T::Text)),
            (&["", ""], None),
        ] {
            assert_eq!(guess(values).column_type(), want, "{values:?}");
        }
    }

    #[test]
    fn a_told_type_is_met_with_goodwill() {
        let told = |text, column_type| Cell { text, quoted: true }.parse_as_told(column_type, Tz::UTC);
        assert_eq!(told("1", ColumnType::Boolean), Some(Parsed::Boolean(true)));
        assert_eq!(told("5.0", ColumnType::BigInt), Some(Parsed::BigInt(5)));
        assert_eq!(told("007", ColumnType::BigInt), Some(Parsed::BigInt(7)));
        assert_eq!(told("1593536687", ColumnType::Timestamp), Some(Parsed::Timestamp(1_593_536_687_000_000)));
        assert_eq!(told("5.5", ColumnType::BigInt), None);
        assert_eq!(told("x", ColumnType::Double), None);
    }

    #[test]
    fn times_are_recognised_or_refused() {
        let kind = |values: &[&str]| guess(values).stamp_kind().map(|kind| kind.describe()).map_err(|(cause, _)| cause);
        assert_eq!(kind(&["1593536687.0", "1593536688.0"]).unwrap(), "seconds since 1970");
        assert_eq!(kind(&["0", "1593536687000"]).unwrap(), "milliseconds since 1970");
        assert_eq!(kind(&["19970101", "19980630"]).unwrap(), "dates as YYYYMMDD");
        assert_eq!(kind(&["2024-05-01", "n/a"]).unwrap(), "dates and times as in RFC 3339");
        assert!(kind(&["01/02/2024", "13/02/2024"]).unwrap_err().contains("day/month or month/day"));
        assert!(kind(&["1593536687", "1593536687000"]).unwrap_err().contains("others like milliseconds"));
        assert!(kind(&["12", "13"]).unwrap_err().contains("too small"));
        assert!(kind(&["yesterday"]).unwrap_err().contains("'yesterday' is no time"));
        assert!(kind(&[""]).unwrap_err().contains("no row has a value"));
    }
}
