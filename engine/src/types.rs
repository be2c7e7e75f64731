//! The words of the data model: column types, schemas, values, table options.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Earliest timestamp that a table stores: 0001-01-01T00:00:00Z, in microseconds since 1970.
pub const TS_MIN_US: i64 = -62_135_596_800_000_000;
/// Latest timestamp that a table stores: 9999-12-31T23:59:59.999999Z, in microseconds since 1970.
pub const TS_MAX_US: i64 = 253_402_300_799_999_999;
/// Names of the four fixed columns of an event table.
pub const FIXED_COLUMNS: [&str; 4] = ["user_id", "ts", "event", "event_id"];
/// Longest TEXT value: 1 GiB.
pub const TEXT_MAX_BYTES: usize = 1 << 30;
/// The largest magnitude up to which every BIGINT is also an exact DOUBLE: 2^53.
pub const EXACT_DOUBLE_MAX: i64 = 1 << 53;

/// The type of a property column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ColumnType {
    /// true or false.
    Boolean,
    /// 64-bit signed integer.
    BigInt,
    /// 64-bit IEEE float.
    Double,
    /// UTF-8 text of at most [`TEXT_MAX_BYTES`].
    Text,
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
}

impl ColumnType {
    /// The SQL name.
    pub fn sql_name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::BigInt => "BIGINT",
            Self::Double => "DOUBLE",
            Self::Text => "TEXT",
            Self::Timestamp => "TIMESTAMP",
        }
    }

    /// The narrowest type that holds every value of both types. `exact_as_double` tells whether all BIGINT values
    /// concerned are exact as DOUBLE; if not, BIGINT and DOUBLE meet in TEXT, so that no value is lost.
    pub fn widen(self, other: Self, exact_as_double: bool) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::BigInt, Self::Double) | (Self::Double, Self::BigInt) if exact_as_double => Self::Double,
            _ => Self::Text,
        }
    }
}

/// A property column: its name as written by the user, and its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDef {
    /// Name, unique in its table, not one of [`FIXED_COLUMNS`].
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
}

/// The property columns of an event table, in the order in which they were added. The fixed columns are not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// The columns.
    pub columns: Vec<ColumnDef>,
}

impl Schema {
    /// The property column called `name`.
    pub fn column(&self, name: &str) -> Option<&ColumnDef> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Position of the property column called `name`.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// What a table is told when it is created. Kept in its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableOptions {
    /// Number of shards, 1 to 1,024, for ever.
    pub shards: u16,
    /// IANA name of the time zone whose calendar days the index uses, and the default of every operator.
    pub time_zone: String,
    /// An event whose `event_id` the same user had within this many microseconds of event time is a duplicate.
    pub dedup_window_us: i64,
    /// Events older than this many microseconds before now are dropped. `None`: kept for ever.
    pub retention_us: Option<i64>,
    /// Refuse unknown columns and conflicting types instead of growing and widening.
    pub strict: bool,
    /// Keep every update of a profile, so that the values as of a time can be asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub profile_history: bool,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            shards: 8,
            time_zone: "UTC".into(),
            dedup_window_us: 7 * 86_400 * 1_000_000,
            retention_us: None,
            strict: false,
            profile_history: false,
        }
    }
}

impl TableOptions {
    /// The time zone as chrono knows it.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is not in the IANA database.
    pub fn tz(&self) -> Result<chrono_tz::Tz> {
        self.time_zone.parse().map_err(|_| {
            Error::invalid(format!("'{}' is no time zone", self.time_zone))
                .with_hint("use an IANA name such as 'Europe/Berlin' or 'UTC'")
        })
    }
}

/// One value of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// BIGINT.
    BigInt(i64),
    /// DOUBLE.
    Double(f64),
    /// TEXT.
    Text(String),
    /// TIMESTAMP in microseconds since 1970, UTC.
    Timestamp(i64),
}

/// A half-open range of time, `start_us <= ts < end_us`, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First microsecond inside.
    pub start_us: i64,
    /// First microsecond outside.
    pub end_us: i64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start_us: i64::MIN, end_us: i64::MAX };

    /// Whether `ts` is inside.
    pub fn contains(&self, ts: i64) -> bool {
        self.start_us <= ts && ts < self.end_us
    }

    /// Whether any timestamp of `min..=max` is inside.
    pub fn overlaps(&self, min: i64, max: i64) -> bool {
        self.start_us <= max && min < self.end_us
    }

    /// The part that both ranges have.
    pub fn intersect(&self, other: &Self) -> Self {
        Self { start_us: self.start_us.max(other.start_us), end_us: self.end_us.min(other.end_us) }
    }
}
