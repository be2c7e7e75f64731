//! Sums of doubles that do not depend on the order in which they are added.
//!
//! What the rounding of each addition loses is kept as further parts, after Shewchuk (1997), so that the parts are the sum
//! exactly. It is rounded once, when it is asked for.

/// Values are added as this part of them, a power of two: so no sum of fewer than 2⁶⁴ of them overflows on the way.
const SCALE: f64 = 1.0 / 18_446_744_073_709_551_616.0;

/// A sum that is exact until it is read.
#[derive(Debug, Clone, Default)]
pub struct ExactSum {
    /// From small to large, none of which has a bit in common with another.
    parts: Vec<f64>,
    /// The sum of infinities and NaN, where there was any.
    endless: Option<f64>,
}

impl ExactSum {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.endless = Some(self.endless.unwrap_or(0.0) + value);
            return;
        }
        self.add_part(value * SCALE);
    }

    fn add_part(&mut self, value: f64) {
        let mut carried = value;
        let mut kept = 0;
        for place in 0..self.parts.len() {
            let part = self.parts[place];
            let (large, small) = if carried.abs() < part.abs() { (part, carried) } else { (carried, part) };
            let sum = large + small;
            let lost = small - (sum - large);
            if lost != 0.0 {
                self.parts[kept] = lost;
                kept += 1;
            }
            carried = sum;
        }
        self.parts.truncate(kept);
        if carried != 0.0 {
            self.parts.push(carried);
        }
    }

    /// Adds everything of `other`.
    pub fn merge(&mut self, other: &Self) {
        other.parts.iter().for_each(|&part| self.add_part(part));
        if let Some(endless) = other.endless {
            self.endless = Some(self.endless.unwrap_or(0.0) + endless);
        }
    }

    /// The sum, rounded to the nearest double, of two that are equally near to the even one.
    pub fn value(&self) -> f64 {
        if let Some(endless) = self.endless {
            return if endless.is_nan() { f64::NAN } else { endless };
        }
        let mut rest = self.parts.iter().rev().copied();
        let Some(mut sum) = rest.next() else { return 0.0 };
        while let Some(part) = rest.next() {
            let before = sum;
            sum = before + part;
            let lost = part - (sum - before);
            if lost == 0.0 {
                continue;
            }
            // Where the sum lies just between two doubles what is below decides.
            if let Some(below) = rest.next()
                && (lost > 0.0) == (below > 0.0)
            {
                let doubled = 2.0 * lost;
                let next = sum + doubled;
                sum = if next - sum == doubled { next } else { sum };
            }
            break;
        }
        sum / SCALE + 0.0
    }

    /// Nothing added any more; the room stays.
    pub fn clear(&mut self) {
        self.parts.clear();
        self.endless = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        values.iter().for_each(|&value| sum.add(value));
        sum.value()
    }

    #[test]
    fn a_sum_is_rounded_once() {
        assert_eq!(sum(&[]).to_bits(), 0.0_f64.to_bits());
        assert_eq!(sum(&[-0.0]).to_bits(), 0.0_f64.to_bits());
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[1e16, 1.0, -1e16]), 1.0);
        assert_eq!(sum(&[1e16, 1.0, 1e-16]), 1e16 + 2.0);
        assert_eq!(sum(&[1e16, -1.0, -1e-16]), 9_999_999_999_999_998.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
    }

    #[test]
    fn what_is_endless_stays_so() {
        assert_eq!(sum(&[1.0, f64::INFINITY]), f64::INFINITY);
        assert_eq!(sum(&[f64::NEG_INFINITY, 5.0]), f64::NEG_INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(sum(&[f64::NAN, f64::INFINITY]).is_nan());
    }
}
