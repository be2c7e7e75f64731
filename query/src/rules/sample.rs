//! A share of users, the same for ever.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Other than that of the shards, so that a sample has users in all of them.
const SEED: u64 = 0x7472_6f64_6465_6e21;

/// Whether a user is in a sample of `percent`.
pub(super) fn is_in(user: &str, percent: f64) -> bool {
    // 53 bits: what DOUBLE holds exactly, so that the share is below 1.
    let share = (xxh3_64_with_seed(user.as_bytes(), SEED) >> 11) as f64 / (1_u64 << 53) as f64;
    share * 100.0 < percent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_sample_has_the_users_of_a_smaller_one() {
        let users: Vec<String> = (0..10_000).map(|n| format!("u{n}")).collect();
        let count = |percent| users.iter().filter(|user| is_in(user, percent)).count();
        assert!((900..1_100).contains(&count(10.0)), "{}", count(10.0));
        assert_eq!(count(100.0), 10_000);
        assert!(users.iter().all(|user| !is_in(user, 10.0) || is_in(user, 10.5)));
    }
}
