//! EASE: each item as a linear sum of all others, by least squares with a ridge, in closed form.
//!
//! After Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (2019): with `P` the inverse of `XᵀX + λI`, the
//! weight of item i for item j is `-P[i][j] / P[j][j]`, and 0 for an item itself.

use super::effort::Effort;
use super::linear::invert;
use super::pairs::{Pairs, column_of};
use super::scores::{Scores, Source};
use super::shared_users::SharedUsers;
use ndarray::Array2;
use trodden_engine::error::{Error, ErrorKind, Result};

/// Items above which the model is refused: its inverse takes the square of them in memory and their cube in time.
pub const EASE_ITEMS_MAX: usize = 10_000;

/// Options of `ease`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EaseOptions {
    /// The ridge, above 0: how strongly weights are held back.
    pub lambda: f64,
    /// What the vote of each older item of the history is worth of that of the next newer one, above 0 and at most 1.
    pub recency: f64,
}

impl Default for EaseOptions {
    fn default() -> Self {
        Self { lambda: 200.0, recency: 0.95 }
    }
}

impl EaseOptions {
    pub(super) fn validate(&self) -> Result<()> {
        if !(self.lambda > 0.0 && self.lambda.is_finite() && self.recency > 0.0 && self.recency <= 1.0) {
            let message = format!("ease with lambda {} and recency {}", self.lambda, self.recency);
            return Err(Error::invalid(message).with_hint("lambda is above 0, recency above 0 and at most 1"));
        }
        Ok(())
    }
}

/// Weights between items.
#[derive(Debug)]
pub struct Ease {
    options: EaseOptions,
    /// Code of the item of each column.
    items: Vec<u32>,
    column_of: Vec<u32>,
    /// Row after row: what an item says about each other one.
    weights: Vec<f32>,
}

impl Ease {
    /// Learns the weights from which users have which items. Threads change no bit of them.
    ///
    /// # Errors
    /// Of kind `ResourceLimit` above [`EASE_ITEMS_MAX`] items; those of `effort`.
    pub fn fit(pairs: &Pairs, options: EaseOptions, effort: &Effort<'_>) -> Result<Self> {
        let count = pairs.items.len();
        if count > EASE_ITEMS_MAX {
            let message = format!("ease over {count} items, and its limit is {EASE_ITEMS_MAX}");
            let hint = "use 'rp3beta', or fewer items: a shorter window, or a filter of the input";
            return Err(Error::new(ErrorKind::ResourceLimit, message).with_hint(hint));
        }
        // The matrix, and the weights that are made of it.
        (effort.memory)(count * count * (size_of::<f64>() + size_of::<f32>()))?;
        let mut matrix = gram(pairs, options.lambda);
        if !invert(&mut matrix, effort)? {
            let message = "ease found no weights: the matrix of items is not positive";
            return Err(Error::invalid(message).with_hint("give a larger lambda"));
        }
        let scales: Vec<f64> = matrix.diag().iter().map(|value| -1.0 / value).collect();
        let mut weights = Vec::with_capacity(count * count);
        for (item, row) in matrix.outer_iter().enumerate() {
            weights.extend(row.iter().zip(&scales).map(|(value, scale)| (value * scale) as f32));
            weights[item * count + item] = 0.0;
        }
        Ok(Self { options, items: pairs.items.clone(), column_of: column_of(&pairs.items), weights })
    }

    /// The options.
    pub fn options(&self) -> EaseOptions {
        self.options
    }

    /// Bytes held on the heap.
    pub fn heap_bytes(&self) -> usize {
        4 * (self.weights.capacity() + self.items.capacity() + self.column_of.capacity())
    }

    /// Adds what each source says about every item.
    pub(super) fn score(&self, sources: &[Source], scores: &mut Scores) {
        let count = self.items.len();
        for source in sources {
            let column = self.column_of.get(source.item as usize).copied().unwrap_or(u32::MAX);
            if column != u32::MAX {
                let row = &self.weights[column as usize * count..][..count];
                for (&item, &weight) in self.items.iter().zip(row) {
                    scores.add(item, source.weight * f64::from(weight));
                }
            }
        }
    }
}

/// Users that items share, with the ridge on the diagonal.
fn gram(pairs: &Pairs, lambda: f64) -> Array2<f64> {
    let count = pairs.items.len();
    let mut gram = Array2::<f64>::zeros((count, count));
    let mut shared = SharedUsers::new(pairs);
    for (column, mut row) in gram.outer_iter_mut().enumerate() {
        shared.each(column, |other, users| {
            row[other as usize] = f64::from(users);
            1
        });
        row[column] += lambda;
    }
    gram
}
