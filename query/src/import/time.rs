//! Times as files write them, to microseconds since 1970 in UTC.

use super::options::TimeFormat;
use super::pattern::{Pattern, Refused};
use chrono::{NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use trodden_engine::types::{TS_MAX_US, TS_MIN_US};

const DAY_US: i64 = 86_400_000_000;

/// The unit of times written as numbers since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EpochUnit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl EpochUnit {
    /// Digits after the point that a value in this unit needs to be in microseconds; below 0: digits to cut.
    fn shift(self) -> i32 {
        match self {
            Self::Seconds => 6,
            Self::Millis => 3,
            Self::Micros => 0,
            Self::Nanos => -3,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds since 1970",
            Self::Millis => "milliseconds since 1970",
            Self::Micros => "microseconds since 1970",
            Self::Nanos => "nanoseconds since 1970",
        }
    }

    /// The unit in which `magnitude` lies between 1973 and 5138. The four ranges are disjoint; smaller numbers tell
    /// nothing.
    pub(super) fn of_magnitude(magnitude: f64) -> Option<Self> {
        match magnitude {
            m if m < 1e8 => None,
            m if m < 1e11 => Some(Self::Seconds),
            m if m < 1e14 => Some(Self::Millis),
            m if m < 1e17 => Some(Self::Micros),
            m if m < 9.3e18 => Some(Self::Nanos),
            _ => None,
        }
    }
}

/// How the time column of one file is read.
#[derive(Debug, Clone)]
pub(super) enum StampKind {
    /// RFC 3339 and relatives.
    Iso,
    /// `YYYYMMDD`.
    CompactDate,
    /// A number since 1970.
    Epoch(EpochUnit),
    /// A pattern that was told.
    Pattern(Pattern),
}

impl StampKind {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Iso => "dates and times as in RFC 3339".into(),
            Self::CompactDate => "dates as YYYYMMDD".into(),
            Self::Epoch(unit) => unit.name().into(),
            Self::Pattern(pattern) => format!("'{}'", pattern.text()),
        }
    }

    /// What the options fix. `None` for [`TimeFormat::Auto`].
    pub(super) fn told(format: &TimeFormat) -> Result<Option<Self>, Refused> {
        Ok(Some(match format {
            TimeFormat::Auto => return Ok(None),
            TimeFormat::Rfc3339 => Self::Iso,
            TimeFormat::Seconds => Self::Epoch(EpochUnit::Seconds),
            TimeFormat::Millis => Self::Epoch(EpochUnit::Millis),
            TimeFormat::Micros => Self::Epoch(EpochUnit::Micros),
            TimeFormat::Nanos => Self::Epoch(EpochUnit::Nanos),
            TimeFormat::Pattern(pattern) => Self::Pattern(Pattern::new(pattern)?),
        }))
    }
}

/// Reads the times of one file.
#[derive(Debug, Clone)]
pub(super) struct TimeParser {
    pub(super) kind: StampKind,
    pub(super) zone: Tz,
}

impl TimeParser {
    /// Microseconds since 1970 of `text`, or `None` if it is no time of this kind or out of range.
    pub(super) fn parse(&self, text: &str) -> Option<i64> {
        let text = text.trim_ascii();
        in_range(match &self.kind {
            StampKind::Iso => parse_iso(text.as_bytes())?.in_zone(self.zone),
            StampKind::CompactDate => self.local(compact_date(text.as_bytes())?),
            StampKind::Epoch(unit) => decimal_to_us(text, *unit)?,
            StampKind::Pattern(pattern) => pattern.parse(text, self.zone)?,
        })
    }

    /// The same for a number.
    pub(super) fn parse_i64(&self, value: i64) -> Option<i64> {
        in_range(match &self.kind {
            StampKind::Epoch(EpochUnit::Seconds) => value.checked_mul(1_000_000)?,
            StampKind::Epoch(EpochUnit::Millis) => value.checked_mul(1_000)?,
            StampKind::Epoch(EpochUnit::Micros) => value,
            StampKind::Epoch(EpochUnit::Nanos) => value.div_euclid(1_000),
            _ => return self.parse(&value.to_string()),
        })
    }

    /// The same for a float.
    pub(super) fn parse_f64(&self, value: f64) -> Option<i64> {
        let us = match &self.kind {
            StampKind::Epoch(unit) => value * 10f64.powi(unit.shift()),
            _ if value.fract() == 0.0 && value.abs() < 1e15 => return self.parse_i64(value as i64),
            _ => return None,
        };
        (us.is_finite() && us.abs() < 1e18).then(|| us.round() as i64).and_then(in_range)
    }

    /// The instant of a local time in microseconds.
    pub(super) fn local(&self, local_us: i64) -> i64 {
        local_to_utc(local_us, self.zone)
    }
}

/// Microseconds since 1970 of a time as programs send it: RFC 3339 and its relatives, UTC where no offset is written, or a
/// number since 1970 whose magnitude tells whether it is in seconds, milliseconds, microseconds or nanoseconds. `None` for
/// anything else, and outside of the years 1 to 9999.
pub fn parse_instant(text: &str) -> Option<i64> {
    let iso = TimeParser { kind: StampKind::Iso, zone: Tz::UTC };
    iso.parse(text).or_else(|| {
        let magnitude = text.trim_ascii().parse::<f64>().ok()?.abs();
        let kind = StampKind::Epoch(EpochUnit::of_magnitude(magnitude)?);
        TimeParser { kind, zone: Tz::UTC }.parse(text)
    })
}

/// `us` if a table can store it.
pub(super) fn in_range(us: i64) -> Option<i64> {
    (TS_MIN_US..=TS_MAX_US).contains(&us).then_some(us)
}

/// The instant at which the clocks of `zone` showed `local_us`: the earlier one where they showed it twice; where they
/// never did, the offset before the jump is taken.
pub(super) fn local_to_utc(local_us: i64, zone: Tz) -> i64 {
    if zone == Tz::UTC {
        return local_us;
    }
    let offset_us = |local_us: i64| -> Option<i64> {
        let local: NaiveDateTime = chrono::DateTime::from_timestamp_micros(local_us)?.naive_utc();
        let offset = zone.offset_from_local_datetime(&local).earliest()?;
        Some(i64::from(offset.fix().local_minus_utc()) * 1_000_000)
    };
    local_us - offset_us(local_us).or_else(|| offset_us(local_us - DAY_US / 8)).unwrap_or(0)
}

/// A date and time as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IsoStamp {
    local_us: i64,
    offset_s: Option<i32>,
}

impl IsoStamp {
    /// The instant, with `zone` where no offset was written.
    pub(super) fn in_zone(self, zone: Tz) -> i64 {
        match self.offset_s {
            Some(offset_s) => self.local_us - i64::from(offset_s) * 1_000_000,
            None => local_to_utc(self.local_us, zone),
        }
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar, or `None` if there is no such date.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years from March, so that the leap day is the last of its year.
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

fn number(digits: &[u8]) -> Option<i64> {
    let add = |value: i64, &digit: &u8| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'));
    digits.iter().try_fold(0, add)
}

/// `YYYYMMDD` between 1900 and 2100, as local microseconds.
pub(super) fn compact_date(text: &[u8]) -> Option<i64> {
    if text.len() != 8 {
        return None;
    }
    let year = number(&text[..4])?;
    let days = days(year, number(&text[4..6])?, number(&text[6..])?)?;
    (1900..=2100).contains(&year).then_some(days * DAY_US)
}

/// `YYYY-MM-DD`, or that with a time `HH:MM[:SS[.fraction]]` and an offset `Z`, `UTC`, `+HH`, `+HHMM` or `+HH:MM`.
pub(super) fn parse_iso(text: &[u8]) -> Option<IsoStamp> {
    if text.len() < 10 || text[4] != text[7] || !matches!(text[4], b'-' | b'/') {
        return None;
    }
    let days = days(number(&text[..4])?, number(&text[5..7])?, number(&text[8..10])?)?;
    let Some((separator, clock)) = text[10..].split_first() else {
        return Some(IsoStamp { local_us: days * DAY_US, offset_s: None });
    };
    if !matches!(separator, b'T' | b't' | b' ') || clock.len() < 5 || clock[2] != b':' {
        return None;
    }
    let (hour, minute) = (number(&clock[..2])?, number(&clock[3..5])?);
    let mut rest = &clock[5..];
    let (mut second, mut fraction_us) = (0, 0);
    if let [b':', a, b, tail @ ..] = rest {
        second = number(&[*a, *b])?;
        rest = tail;
        if let [b'.' | b',', tail @ ..] = rest {
            let length = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
            fraction_us = fraction(&tail[..length])?;
            rest = &tail[length..];
        }
    }
    // Second 60 is a leap second: the first of the next minute.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let clock_us = ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction_us;
    Some(IsoStamp { local_us: days * DAY_US + clock_us, offset_s: parse_offset(rest.trim_ascii_start())? })
}

/// Microseconds of the digits after the point, cut; `None` without a digit.
fn fraction(digits: &[u8]) -> Option<i64> {
    let mut us = 0;
    for index in 0..6 {
        us = us * 10 + digits.get(index).map_or(0, |digit| i64::from(digit - b'0'));
    }
    (!digits.is_empty()).then_some(us)
}

/// The offset in seconds: `Some(None)` where none is written, `None` where it is not one.
fn parse_offset(text: &[u8]) -> Option<Option<i32>> {
    let (sign, digits) = match text {
        [] => return Some(None),
        [b'Z' | b'z'] | b"UTC" | b"GMT" => return Some(Some(0)),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits {
        [_, _] => (number(digits)?, 0),
        [_, _, b':', minutes @ ..] if minutes.len() == 2 => (number(&digits[..2])?, number(minutes)?),
        [_, _, minutes @ ..] if minutes.len() == 2 => (number(&digits[..2])?, number(minutes)?),
        _ => return None,
    };
    (hours <= 23 && minutes <= 59).then(|| Some(sign * (hours * 3600 + minutes * 60) as i32))
}

/// A decimal number in `unit`, exact to the microsecond, cut below.
fn decimal_to_us(text: &str, unit: EpochUnit) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 19 || !plain(whole) || !plain(decimals) {
        // An exponent, as some float printers write it.
        let value = text.parse::<f64>().ok()? * 10f64.powi(unit.shift());
        let is_number = text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
        return (is_number && value.abs() < 1e18).then(|| value.round() as i64);
    }
    let whole: i128 = whole.parse().ok()?;
    let us = match unit.shift() {
        shift @ 0.. => {
            let scale = shift as usize;
            let cut = &decimals.as_bytes()[..decimals.len().min(scale)];
            let below = cut.iter().fold(0, |value, digit| value * 10 + i128::from(digit - b'0'));
            whole * 10i128.pow(scale as u32) + below * 10i128.pow((scale - cut.len()) as u32)
        }
        _ => whole / 1_000,
    };
    i64::try_from(if negative { -us } else { us }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(text: &str) -> i64 {
        chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    }

    fn iso(text: &str) -> Option<i64> {
        TimeParser { kind: StampKind::Iso, zone: Tz::UTC }.parse(text)
    }

    #[test]
    fn iso_stamps_agree_with_chrono() {
        for text in [
            "2017-01-09T09:49:50.000+01:00",
            "1969-12-31T23:59:59.999999Z",
            "2000-02-29T00:00:00-23:59",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999Z",
            "1900-03-01T12:00:00.5+00:30",
        ] {
            assert_eq!(iso(text), Some(us(text)), "{text}");
        }
    }

    #[test]
    fn every_day_of_eight_hundred_years_agrees_with_chrono() {
        let mut date = chrono::NaiveDate::from_ymd_opt(1600, 1, 1).unwrap();
        while date < chrono::NaiveDate::from_ymd_opt(2400, 1, 1).unwrap() {
            let want = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros();
            assert_eq!(iso(&date.to_string()), Some(want));
            date = date.succ_opt().unwrap();
        }
    }

    #[test]
    fn relatives_of_rfc_3339() {
        let want = us("2024-05-01T10:00:00Z");
        for text in [
            "2024-05-01 10:00:00",
            "2024-05-01 10:00",
            "2024/05/01 10:00:00",
            "2024-05-01T10:00:00z",
            "2024-05-01 10:00:00 UTC",
            "2024-05-01 12:00:00+02",
            "2024-05-01 12:00:00 +0200",
            " 2024-05-01T10:00:00.0000000009Z ",
        ] {
            assert_eq!(iso(text), Some(want), "{text}");
        }
        assert_eq!(iso("2024-05-01 10:00:00.1234567"), Some(want + 123_456));
        assert_eq!(iso("2016-12-31T23:59:60Z"), Some(us("2017-01-01T00:00:00Z")));
    }

    #[test]
    fn what_is_no_stamp() {
        for text in [
            "",
            "2024",
            "2024-13-01",
            "2023-02-29",
            "2024-05-01T",
            "2024-05-01T25:00:00",
            "2024-05-01T10:60:00",
            "2024-05-01T10:00:00.Z",
            "2024-05-01T10:00:00+1",
            "2024-05-01X10:00:00",
            "2024-05/01",
            "01/05/2024 10:00",
            "2024-05-01T10:00:00+02:00x",
            "２０２４-05-01",
        ] {
            assert_eq!(iso(text), None, "{text}");
        }
    }

    #[test]
    fn stamps_without_offset_follow_the_zone() {
        let parser = TimeParser { kind: StampKind::Iso, zone: Tz::Europe__Berlin };
        assert_eq!(parser.parse("2024-07-01 12:00:00"), Some(us("2024-07-01T10:00:00Z")));
        assert_eq!(parser.parse("2024-07-01 12:00:00Z"), Some(us("2024-07-01T12:00:00Z")));
        // Shown twice: the first. Never shown: as if the clocks had not jumped yet.
        assert_eq!(parser.parse("2024-10-27 02:30:00"), Some(us("2024-10-27T00:30:00Z")));
        assert_eq!(parser.parse("2024-03-31 02:30:00"), Some(us("2024-03-31T01:30:00Z")));
    }

    #[test]
    fn epochs_are_exact() {
        let epoch = |unit, text: &str| TimeParser { kind: StampKind::Epoch(unit), zone: Tz::UTC }.parse(text);
        assert_eq!(epoch(EpochUnit::Seconds, "1593536687.0"), Some(1_593_536_687_000_000));
        assert_eq!(epoch(EpochUnit::Seconds, "1593536687.1234567"), Some(1_593_536_687_123_456));
        assert_eq!(epoch(EpochUnit::Seconds, "1.593536687E9"), Some(1_593_536_687_000_000));
        assert_eq!(epoch(EpochUnit::Seconds, "-1.5"), Some(-1_500_000));
        assert_eq!(epoch(EpochUnit::Millis, "1593536687123"), Some(1_593_536_687_123_000));
        assert_eq!(epoch(EpochUnit::Micros, "1593536687123456"), Some(1_593_536_687_123_456));
        assert_eq!(epoch(EpochUnit::Nanos, "1593536687123456789"), Some(1_593_536_687_123_456));
        for text in ["", "x", "1e30", "99999999999999999999999", "nan", "inf", "12:00"] {
            assert_eq!(epoch(EpochUnit::Seconds, text), None, "{text}");
        }
    }

    #[test]
    fn magnitudes_tell_the_unit_or_nothing() {
        let now = 1.7e9;
        assert_eq!(EpochUnit::of_magnitude(now), Some(EpochUnit::Seconds));
        assert_eq!(EpochUnit::of_magnitude(now * 1e3), Some(EpochUnit::Millis));
        assert_eq!(EpochUnit::of_magnitude(now * 1e6), Some(EpochUnit::Micros));
        assert_eq!(EpochUnit::of_magnitude(now * 1e9), Some(EpochUnit::Nanos));
        assert_eq!(EpochUnit::of_magnitude(20_240_501.0), None);
    }
}
