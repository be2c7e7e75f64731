//! Sizes such as `64MiB`.

use crate::words::parse_bytes_or_none;
use serde::{Deserialize, Deserializer, de};

/// A number of bytes, written as `64MiB`, `20MB` or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// As a number of bytes in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_bytes_or_none(&text).map(Self).map_err(de::Error::custom)
    }
}

/// A size that may be left empty.
pub(super) fn parse_optional(text: &str) -> Result<Option<u64>, String> {
    match text {
        "" => Ok(None),
        text => parse_bytes_or_none(text).map(Some),
    }
}
