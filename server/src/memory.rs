//! How much memory a query may use when nobody says.

use std::fs;

/// The part of the machine's memory that a query may use: the rest is for the system, and for what the count of the query
/// leaves out.
const SHARE_PERCENT: u64 = 80;

/// 80 % of the memory that this process can have, in bytes. `None` where that is not known: no limit.
pub fn default_limit() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_bytes(&text))?;
    // In a container the limit of its group is what counts.
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    Some(machine.min(group.unwrap_or(u64::MAX)) / 100 * SHARE_PERCENT)
}

/// `MemTotal` of `/proc/meminfo`, which counts in KiB.
fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_its_line() {
        let text = "MemFree:   1 kB\nMemTotal:       16384000 kB\nSwapTotal: 2 kB\n";
        assert_eq!(total_bytes(text), Some(16_384_000 * 1024));
        assert_eq!(total_bytes("MemFree: 1 kB"), None);
        assert_eq!(total_bytes("MemTotal: many kB"), None);
    }

    #[test]
    fn this_machine_has_a_limit_below_its_memory() {
        let limit = default_limit().expect("Linux tells its memory");
        assert!(limit > 64 << 20, "{limit}");
    }
}
