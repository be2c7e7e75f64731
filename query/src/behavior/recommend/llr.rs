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

    /// What the ratio takes off for an item with so many users.
    #[inline]
    pub(super) fn margin(&self, users: f64) -> f64 {
        self.x_ln_x(users) + self.x_ln_x(self.n - users)
    }

    /// Log-likelihood ratio of the 2x2 table of `both` users of both, of `a` of one, of `b` of the other, and of neither, from
    /// the margins of both items; 0 where chance alone would give more users of both. All numbers of users are whole.
    #[inline]
    pub(super) fn of(&self, both: f64, (a, a_margin): (f64, f64), (b, b_margin): (f64, f64)) -> f64 {
        let n = self.n;
        if both * n <= a * b {
            return 0.0;
        }
        // Pairs that change places when the items do, or who has both with who has neither: tables that differ by that alone
        // are equal to the last bit, so that the order of items decides between them and rounding does not.
        let alike = self.x_ln_x(both) + self.x_ln_x(n - a - b + both);
        let apart = self.x_ln_x(a - both) + self.x_ln_x(b - both);
        (2.0 * ((alike + apart) + self.x_ln_x(n) - (a_margin + b_margin))).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(llr: &Llr, both: f64, a: f64, b: f64) -> f64 {
        llr.of(both, (a, llr.margin(a)), (b, llr.margin(b)))
    }

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
    fn tables_that_are_mirrored_are_equally_surprising() {
        for n in 2..60_u32 {
            let llr = Llr::of_users(n);
            let of = |both: u32, a: u32, b: u32| ratio(&llr, f64::from(both), f64::from(a), f64::from(b)).to_bits();
            let tables = (1..n).flat_map(|a| (1..n).map(move |b| (a, b)));
            for (a, b) in tables {
                for both in (a + b).saturating_sub(n)..=a.min(b) {
                    let found = of(both, a, b);
                    assert_eq!(found, of(both, b, a), "{both} of {a} and {b} among {n}");
                    assert_eq!(found, of(n + both - a - b, n - a, n - b), "{both} of {a} and {b} among {n}");
                }
            }
        }
    }

    #[test]
    fn more_users_than_are_looked_up() {
        let llr = Llr::of_users(2_000_000_000);
        assert_eq!(llr.known.len(), LOOKED_UP_MAX);
        let all = 2_000_000_000.0_f64;
        // Two items that nobody has but the same ten million: the ratio is twice n times their information.
        let part: f64 = 10_000_000.0;
        let expected = 2.0 * (x_ln_x(all) - x_ln_x(part) - x_ln_x(all - part));
        assert!((ratio(&llr, part, part, part) / expected - 1.0).abs() < 1e-9);
        assert_eq!(ratio(&llr, 0.0, part, part), 0.0);
    }
}
