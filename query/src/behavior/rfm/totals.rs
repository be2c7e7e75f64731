//! What customers of one segment or cell add up to.

use super::customer::Customer;
use crate::behavior::exact_sum::ExactSum;

/// Sums over customers, which do not depend on their order.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// How many customers.
    pub users: u64,
    days: i128,
    events: u128,
    monetary: ExactSum,
}

impl Totals {
    /// Adds a customer whose last event is `days` calendar days ago.
    pub fn add(&mut self, days: i64, customer: &Customer) {
        self.users += 1;
        self.days += i128::from(days);
        self.events += u128::from(customer.frequency);
        self.monetary.add(customer.monetary);
    }

    /// The mean of the days; `None` without customers.
    pub fn mean_recency_days(&self) -> Option<f64> {
        (self.users > 0).then(|| self.days as f64 / self.users as f64)
    }

    /// The mean of the numbers of events; `None` without customers.
    pub fn mean_frequency(&self) -> Option<f64> {
        (self.users > 0).then(|| self.events as f64 / self.users as f64)
    }

    /// The sum of all values.
    pub fn monetary(&self) -> f64 {
        self.monetary.value()
    }
}
