//! The users of all threads together, with what they are worth.

use super::worker::RfmWorker;
use crate::behavior::exact_sum::ExactSum;
use crate::behavior::rfm::{Customer, RfmSpec, Scores, Segment, recency_days, scores};
use crate::error::Result;
use crate::plan::merged_groups::MergedGroups;
use crate::plan::operator::{Answer, Decoder, Found};
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::DataFusionError;

/// Bytes that a customer takes here and in the columns that are made of it.
const CUSTOMER_BYTES: usize = 160;

/// All customers, one thread's after the other, and what is known of each.
pub(super) struct Customers {
    pub(super) customers: Vec<Customer>,
    pub(super) users: Vec<u64>,
    /// Numbers of groups, see [`Self::values`].
    pub(super) groups: Vec<u32>,
    pub(super) values: MergedGroups,
    pub(super) days: Vec<i64>,
    pub(super) scores: Vec<Scores>,
}

impl Customers {
    /// Add up values, and find the scores. The `by` columns of the answer begin at `first_by`.
    ///
    /// # Errors
    /// What the evaluation of a `by` expression raises; `ResourceLimit`.
    pub(super) fn of(
        spec: &RfmSpec,
        answer: &Answer<'_>,
        first_by: usize,
        found: Vec<Found<'_, RfmWorker>>,
    ) -> Result<Self> {
        let count: usize = found.iter().map(|(worker, _)| worker.users.len()).sum();
        answer.reservation.try_grow(count.saturating_mul(CUSTOMER_BYTES))?;
        let mut all = Self {
            customers: Vec::with_capacity(count),
            users: Vec::with_capacity(count),
            groups: Vec::with_capacity(count),
            values: MergedGroups::new(answer, first_by)?,
            days: Vec::new(),
            scores: Vec::new(),
        };
        for (worker, decoder) in found {
            answer.statement.check_cancelled()?;
            all.add(answer, decoder, &worker)?;
        }
        let as_of_us = match spec.as_of_us {
            Some(as_of_us) => as_of_us,
            None if all.customers.is_empty() => 0,
            None => (answer.newest_ts)()?,
        };
        all.days = recency_days(spec, as_of_us, &all.customers);
        all.scores = scores(spec, &all.days, &all.customers);
        Ok(all)
    }

    fn add(&mut self, answer: &Answer<'_>, decoder: &dyn Decoder, worker: &RfmWorker) -> Result<()> {
        let numbers =
            self.values.numbers(answer, decoder, &worker.groups, worker.users.iter().map(|user| user.group))?;
        let worth = numbers_of_codes(decoder, &worker.values)?;
        let mut values = worker.values.iter();
        let mut sum = ExactSum::default();
        for user in &worker.users {
            sum.clear();
            let own = values.by_ref().take(user.events as usize);
            own.for_each(|&code| sum.add(worth[code as usize]));
            let frequency = u64::from(user.events);
            self.customers.push(Customer { last_us: user.last_us, frequency, monetary: sum.value() });
            self.users.push(user.user);
            self.groups.push(numbers[&user.group]);
        }
        Ok(())
    }

    /// The segment of a customer.
    pub(super) fn segment(&self, spec: &RfmSpec, customer: usize) -> Segment {
        let Scores { recency, frequency, .. } = self.scores[customer];
        Segment::of(recency, frequency, spec.scores)
    }
}

/// The number behind each code; NULL is 0.
fn numbers_of_codes(decoder: &dyn Decoder, codes: &[u32]) -> Result<Vec<f64>> {
    let Some(&largest) = codes.iter().max() else { return Ok(Vec::new()) };
    let all: Vec<u32> = (0..=largest).collect();
    let numbers = cast(&decoder.column_values(0, &all)?, &DataType::Float64).map_err(DataFusionError::from)?;
    let numbers = numbers.as_primitive::<Float64Type>();
    Ok((0..numbers.len()).map(|at| if numbers.is_null(at) { 0.0 } else { numbers.value(at) }).collect())
}
