//! What is known of one user before all are.

/// One user with at least one event that counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Customer {
    /// Time of the last event that counts.
    pub last_us: i64,
    /// How many there are.
    pub frequency: u64,
    /// The sum of their values.
    pub monetary: f64,
}

/// How many of a user's events, whose `times` ascend, are not later than `as_of_us`.
pub fn events_until(times: &[i64], as_of_us: Option<i64>) -> usize {
    as_of_us.map_or(times.len(), |as_of_us| times.partition_point(|&ts| ts <= as_of_us))
}
