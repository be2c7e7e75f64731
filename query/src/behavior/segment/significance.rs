//! Whether two shares differ by more than chance.

use std::f64::consts::PI;

/// How much two shares differ, measured by what chance would do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Significance {
    /// The difference, in standard errors of a difference where both shares are the same.
    pub z: f64,
    /// How likely a difference so large, or larger, to either side, would be by chance.
    pub p_value: f64,
}

/// The two-proportion z-test with a pooled share, two-sided and without a correction: `a` of `of_a` against `b` of `of_b`.
/// `None` where one of them has nobody, or where all or none of both are counted: then there is nothing to test.
pub fn two_proportions((a, of_a): (u64, u64), (b, of_b): (u64, u64)) -> Option<Significance> {
    let [a, of_a, b, of_b] = [a, of_a, b, of_b].map(|count| count as f64);
    if of_a == 0.0 || of_b == 0.0 {
        return None;
    }
    let pooled = (a + b) / (of_a + of_b);
    let error = (pooled * (1.0 - pooled) * (1.0 / of_a + 1.0 / of_b)).sqrt();
    if error.is_nan() || error <= 0.0 {
        return None;
    }
    let z = (a / of_a - b / of_b) / error;
    Some(Significance { z, p_value: complementary_error(z.abs() / std::f64::consts::SQRT_2) })
}

/// The complementary error function of `x` from 0 on: twice the tail of a normal distribution beyond `x · √2`.
fn complementary_error(x: f64) -> f64 {
    if x < 2.0 {
        return 1.0 - error_series(x);
    }
    // erfc(x) = exp(-x²)/√π · 1/(x + ½/(x + 1/(x + 3⁄2/(x + …)))): from x = 2 on 120 terms are more than a double tells.
    let mut fraction = x;
    for term in (1..=120).rev() {
        fraction = x + f64::from(term) / 2.0 / fraction;
    }
    (-x * x).exp() / PI.sqrt() / fraction
}

/// The error function as the series 2/√π · exp(-x²) · Σ 2ⁿ x²ⁿ⁺¹ / (1 · 3 · 5 ⋯ (2n + 1)), all of whose terms are positive.
fn error_series(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    let mut odd = 1.0;
    while term > sum * f64::EPSILON / 4.0 {
        odd += 2.0;
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_the_normal_distribution_is_that_of_tables() {
        // Values of erfc with more digits than a double has.
        let known = [
            (0.0, 1.0),
            (0.1, 0.887_537_083_981_715),
            (0.5, 0.479_500_122_186_953_5),
            (1.0, 0.157_299_207_050_285_13),
            (1.5, 0.033_894_853_524_689_27),
            (2.0, 0.004_677_734_981_047_266),
            (2.5, 0.000_406_952_017_444_958_9),
            (3.0, 0.000_022_090_496_998_585_44),
            (4.0, 1.541_725_790_028_002e-8),
            (5.0, 1.537_459_794_428_035e-12),
            (10.0, 2.088_487_583_762_545e-45),
        ];
        for (x, value) in known {
            let found = complementary_error(x);
            assert!((found - value).abs() <= value * 2e-13, "erfc({x}) = {found}, not {value}");
        }
        assert_eq!(complementary_error(40.0), 0.0);
    }

    #[test]
    fn series_and_fraction_meet() {
        let (below, above) = (complementary_error(2.0 - 1e-9), complementary_error(2.0));
        let slope = 2.0 / PI.sqrt() * (-4.0_f64).exp();
        assert!((below - above - slope * 1e-9).abs() < 1e-15);
    }

    #[test]
    fn shares_are_compared() {
        // 60 of 200 against 90 of 220, by hand: pooled 150/420, error √(150/420 · 270/420 · (1/200 + 1/220)).
        let found = two_proportions((60, 200), (90, 220)).unwrap();
        let pooled: f64 = 150.0 / 420.0;
        let error = (pooled * (1.0 - pooled) * (1.0 / 200.0 + 1.0 / 220.0)).sqrt();
        assert!((found.z - (0.3 - 90.0 / 220.0) / error).abs() < 1e-12);
        assert!((found.z + 2.330_301_06).abs() < 1e-6, "{}", found.z);
        assert!((found.p_value - 0.019_790_24).abs() < 1e-6, "{}", found.p_value);
        let same = two_proportions((10, 100), (20, 200)).unwrap();
        assert_eq!((same.z, same.p_value), (0.0, 1.0));
        assert_eq!(two_proportions((0, 0), (1, 2)), None);
        assert_eq!(two_proportions((0, 5), (0, 2)), None);
        assert_eq!(two_proportions((5, 5), (2, 2)), None);
    }
}
