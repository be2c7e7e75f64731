//! What a user must have done, and the kernel that tells from the user's events.

use super::rule::Rule;
use crate::behavior::periods::{Calendar, Period};
use chrono_tz::Tz;

/// At least so many events of a condition within a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Deed {
    /// Which bit of an event's mask.
    pub condition: usize,
    /// The first instant that counts.
    pub from_us: i64,
    /// The first instant that does not count any more.
    pub until_us: i64,
    /// Whether days with such an event are counted, and not events.
    pub in_days: bool,
    /// How many; from 1.
    pub at_least: u32,
}

/// The arguments of a segment, apart from its conditions, which the caller has turned into masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSpec {
    /// How many sets of users are known from elsewhere, such as tags. Atoms of rules are numbers of these first.
    pub sets: usize,
    /// What the rules ask of users. Further atoms of rules are places in it.
    pub deeds: Vec<Deed>,
    /// Users who are to be counted, or among whom or against whom the segments are compared.
    pub chosen: Option<Rule>,
    /// Segments that are compared.
    pub segments: Vec<Rule>,
    /// Later events do not exist. `None`: all do.
    pub as_of_us: Option<i64>,
    /// Whose midnights divide days.
    pub time_zone: Tz,
}

impl SegmentSpec {
    /// All rules: that of the chosen users, where there is one, then the segments.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.chosen.iter().chain(&self.segments)
    }

    /// Whether an event at this instant exists.
    pub fn has_happened(&self, ts_us: i64) -> bool {
        self.as_of_us.is_none_or(|as_of_us| ts_us <= as_of_us)
    }

    /// The days that are counted.
    pub fn days(&self) -> Calendar {
        Calendar { period: Period::Day, time_zone: self.time_zone }
    }
}

impl Deed {
    /// Whether a user with these events, whose times ascend, did it.
    pub fn is_done(&self, times: &[i64], masks: &[u64], days: &Calendar) -> bool {
        let start = times.partition_point(|&ts| ts < self.from_us);
        let end = times.partition_point(|&ts| ts < self.until_us).max(start);
        let counts = |(_, mask): &(&i64, &u64)| *mask >> self.condition & 1 == 1;
        let mut counting = times[start..end].iter().zip(&masks[start..end]).filter(counts);
        if !self.in_days {
            return counting.nth(self.at_least.saturating_sub(1) as usize).is_some();
        }
        let (mut found, mut last) = (0, None);
        for (&ts, _) in counting {
            let day = days.number(ts);
            // Numbers of days never fall, so a day that was seen before is the last one.
            if last != Some(day) {
                last = Some(day);
                found += 1;
                if found >= self.at_least {
                    return true;
                }
            }
        }
        false
    }
}
