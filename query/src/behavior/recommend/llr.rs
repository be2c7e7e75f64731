//! The log-likelihood ratio of two sets of users.
//!
//! After Dunning, "Accurate Methods for the Statistics of Surprise and Coincidence" (1993). It is a sum of `x ln x` of whole
//! numbers, which are looked up: logarithms take most of the time of a question about neighbours.

use parking_lot::RwLock;
use std::sync::{Arc, LazyLock};

/// Numbers that are looked up at most: 32 MiB of them.
const LOOKED_UP_MAX: usize = 4 << 20;

/// `x ln x` of the numbers from 0 on, as many as were needed so far. The same for every table.
static X_LN_X: LazyLock<RwLock<Arc<Vec<f64>>>> = LazyLock::new(|| RwLock::new(Arc::new(Vec::new())));

fn x_ln_x(x: f64) -> f64 {
    if x > 0.0 { x * x.ln() } else { 0.0 }
}

/// The ratio among `n` users.
#[derive(Debug, Clone)]
pub(super) struct Llr {
    n: f64,
    known: Arc<Vec<f64>>,
}

impl Llr {
    /// For sets of `n` users in all.
    pub(super) fn of_users(n: u32) -> Self {
        let wanted = (n as usize + 1).min(LOOKED_UP_MAX);
        let known = Arc::clone(&X_LN_X.read());
        let known = if known.len() >= wanted { known } else { Self::grown(wanted) };
        Self { n: f64::from(n), known }
    }

    fn grown(wanted: usize) -> Arc<Vec<f64>> {
        let mut all = X_LN_X.write();
        if all.len() < wanted {
            // Twice as many, so that a few more users do not make the table anew.
            let length = wanted.next_power_of_two().min(LOOKED_UP_MAX);
            let mut longer = Vec::with_capacity(length);
            longer.extend_from_slice(&all);
            longer.extend((all.len()..length).map(|x| x_ln_x(x as f64)));
            *all = Arc::new(longer);
        }
        Arc::clone(&all)
    }

    #[inline]
    fn x_ln_x(&self, x: f64) -> f64 {
        // Whole numbers that are not below 0, since no set is larger than one that it is a part of.
        self.known.get(x as usize).copied().unwrap_or_else(|| x_ln_x(x))
    }

    /// Log-likelihood ratio of the 2x2 table of `both` users of both, of `a` of one, of `b` of the other, and of neither; 0
    /// where chance alone would give more users of both. All are whole numbers.
    #[inline]
    pub(super) fn of(&self, both: f64, a: f64, b: f64) -> f64 {
        let n = self.n;
        if both * n <= a * b {
            return 0.0;
        }
        let cells = self.x_ln_x(both) + self.x_ln_x(a - both) + self.x_ln_x(b - both) + self.x_ln_x(n - a - b + both);
        let margins = self.x_ln_x(a) + self.x_ln_x(n - a) + self.x_ln_x(b) + self.x_ln_x(n - b);
        (2.0 * (cells + self.x_ln_x(n) - margins)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_up_is_what_is_computed() {
        let small = Llr::of_users(10);
        let large = Llr::of_users(5_000);
        for x in [0_u32, 1, 2, 10, 999, 5_000] {
            let x = f64::from(x);
            assert_eq!(small.x_ln_x(x).to_bits(), x_ln_x(x).to_bits());
            assert_eq!(large.x_ln_x(x).to_bits(), x_ln_x(x).to_bits());
        }
        assert!(small.known.len() >= 11 && large.known.len() >= 5_001);
    }

    #[test]
    fn more_users_than_are_looked_up() {
        let llr = Llr::of_users(2_000_000_000);
        assert_eq!(llr.known.len(), LOOKED_UP_MAX);
        let all = 2_000_000_000.0_f64;
        // Two items that nobody has but the same ten million: the ratio is twice n times their information.
        let part: f64 = 10_000_000.0;
        let expected = 2.0 * (x_ln_x(all) - x_ln_x(part) - x_ln_x(all - part));
        assert!((llr.of(part, part, part) / expected - 1.0).abs() < 1e-9);
        assert_eq!(llr.of(0.0, part, part), 0.0);
    }
}
