//! Implicit ALS: users and items as vectors whose products are near 1 where a user has an item.
//!
//! After Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (2008), with the conjugate
//! gradient steps of Takacs, Pilaszy and Tikk, "Applications of the Conjugate Gradient Method for Implicit Feedback
//! Collaborative Filtering" (2011). Every sum is in the order of ranks of items and codes of users, whatever the threads.
//!
//! Vectors are kept with 24 bits, and everything that is computed of them has 53: the steps depend on each other, and where
//! weights are large their rounding with 24 bits would be larger than what they are to find.

use super::effort::Effort;
use super::linear::invert;
use super::pairs::{Pairs, column_of};
use super::scores::{Scores, Source};
use ndarray::{Array1, Array2};
use trodden_engine::error::{Error, Result};

/// The most factors that may be asked for.
pub const ALS_FACTORS_MAX: usize = 512;
/// Vectors of a thread between two looks at whether the work is to go on.
const VECTORS_PER_CHECK: usize = 1_024;
/// Steps toward the best vector in each turn.
const GRADIENT_STEPS: usize = 3;
/// Square of what is left to be found, below which further steps would divide rounding by rounding.
const REST_MIN: f64 = 1e-20;

/// Options of `als`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlsOptions {
    /// Numbers in a vector.
    pub factors: usize,
    /// How strongly vectors are held back, above 0.
    pub regularization: f64,
    /// Confidence of a pair: 1 + alpha times its weight.
    pub alpha: f64,
    /// Turns between users and items.
    pub iterations: usize,
    /// What the vote of each older item of the history is worth of that of the next newer one, above 0 and at most 1.
    pub recency: f64,
}

impl Default for AlsOptions {
    fn default() -> Self {
        Self { factors: 96, regularization: 10.0, alpha: 1.0, iterations: 15, recency: 1.0 }
    }
}

impl AlsOptions {
    pub(super) fn validate(&self) -> Result<()> {
        if self.factors == 0 || self.factors > ALS_FACTORS_MAX || self.iterations == 0 || self.iterations > 1_000 {
            let message = format!("als with {} factors and {} iterations", self.factors, self.iterations);
            let hint = format!("give 1 to {ALS_FACTORS_MAX} factors and 1 to 1000 iterations");
            return Err(Error::invalid(message).with_hint(hint));
        }
        let positive = [self.regularization, self.alpha].iter().all(|value| *value > 0.0 && value.is_finite());
        if !(positive && self.recency > 0.0 && self.recency <= 1.0) {
            let message = "regularization or alpha of als is not above 0, or its recency not above 0 and at most 1";
            return Err(Error::invalid(message).with_hint("such as regularization 10, alpha 1, recency 1"));
        }
        Ok(())
    }
}

/// Vectors of items. A user's vector is found anew from the history when it is asked for.
#[derive(Debug)]
pub struct Als {
    options: AlsOptions,
    items: Vec<u32>,
    column_of: Vec<u32>,
    vectors: Vec<f32>,
    /// Products of vectors summed over items, with the regularization on the diagonal.
    gram: Array2<f64>,
}

impl Als {
    /// Learns the vectors.
    ///
    /// # Errors
    /// Those of `effort`.
    pub fn fit(pairs: &Pairs, options: AlsOptions, effort: &Effort<'_>) -> Result<Self> {
        let size = options.factors;
        (effort.memory)((pairs.items.len() + pairs.user_count()) * size * size_of::<f32>())?;
        let mut items = first_vectors(pairs.items.len(), size);
        let mut users = vec![0.0_f32; pairs.user_count() * size];
        for _ in 0..options.iterations {
            turn(&mut users, &items, |row| pairs.row(row), options, effort)?;
            turn(&mut items, &users, |column| pairs.column(column), options, effort)?;
        }
        let sums = gram(&items, size, options.regularization);
        let gram = Array2::from_shape_fn((size, size), |(row, column)| sums[row * size + column]);
        let column_of = column_of(&pairs.items);
        Ok(Self { options, items: pairs.items.clone(), column_of, vectors: items, gram })
    }

    /// The options.
    pub fn options(&self) -> AlsOptions {
        self.options
    }

    /// Bytes held on the heap.
    pub fn heap_bytes(&self) -> usize {
        4 * (self.vectors.capacity() + self.items.capacity() + self.column_of.capacity())
            + 8 * self.options.factors.pow(2)
    }

    /// Adds the product of each item's vector with that of the user who has these sources.
    pub(super) fn score(&self, sources: &[Source], scores: &mut Scores) {
        let parts = self.parts(sources);
        let user = parts.iter().fold(Array1::zeros(self.options.factors), |sum, part| sum + part);
        if !parts.is_empty() {
            for (column, &item) in self.items.iter().enumerate() {
                scores.add(item, self.product(column, &user));
            }
        }
    }

    /// What each source gave to the scores of `items`: a user's vector is a sum over the sources.
    pub(super) fn shares(&self, sources: &[Source], items: &[u32]) -> Vec<Vec<f64>> {
        let known: Vec<Source> = sources.iter().copied().filter(|source| self.column(source.item).is_some()).collect();
        let mut parts = self.parts(&known).into_iter();
        let share = |source: &Source| match self.column(source.item).and_then(|_| parts.next()) {
            Some(part) => {
                items.iter().map(|&item| self.column(item).map_or(0.0, |at| self.product(at, &part))).collect()
            }
            None => vec![0.0; items.len()],
        };
        sources.iter().map(share).collect()
    }

    fn column(&self, item: u32) -> Option<usize> {
        let column = self.column_of.get(item as usize).copied().filter(|&column| column != u32::MAX);
        column.map(|column| column as usize)
    }

    fn vector(&self, column: usize) -> &[f32] {
        &self.vectors[column * self.options.factors..][..self.options.factors]
    }

    fn product(&self, column: usize, user: &Array1<f64>) -> f64 {
        self.vector(column).iter().zip(user).map(|(&value, user)| f64::from(value) * user).sum()
    }

    /// For each source that is known, its part of the user's vector: `A⁻¹ (1 + c) y`, with `A` the sum of `c y yᵀ` over
    /// sources and the gram matrix.
    fn parts(&self, sources: &[Source]) -> Vec<Array1<f64>> {
        let known: Vec<(Array1<f64>, f64)> = sources
            .iter()
            .filter_map(|source| self.column(source.item).map(|column| (column, self.options.alpha * source.weight)))
            .map(|(column, confidence)| {
                (self.vector(column).iter().map(|&value| f64::from(value)).collect(), confidence)
            })
            .collect();
        let mut matrix = self.gram.clone();
        for (vector, confidence) in &known {
            for (mut row, value) in matrix.outer_iter_mut().zip(vector) {
                row.scaled_add(confidence * value, vector);
            }
        }
        // The regularization on the diagonal makes it positive.
        if known.is_empty() || !matches!(invert(&mut matrix, &Effort::of_threads(1)), Ok(true)) {
            return Vec::new();
        }
        known.iter().map(|(vector, confidence)| matrix.dot(vector) * (1.0 + confidence)).collect()
    }
}

/// Small numbers that look random and depend on nothing but the place: SplitMix64 over it.
fn first_vectors(count: usize, size: usize) -> Vec<f32> {
    let number = |place: usize| {
        let mut x = (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((x ^ (x >> 31)) >> 40) as f32 / (1_u64 << 24) as f32 - 0.5) * 0.1
    };
    (0..count * size).map(number).collect()
}

/// Sums of products of vectors, with `regularization` on the diagonal.
fn gram(vectors: &[f32], size: usize, regularization: f64) -> Vec<f64> {
    let mut sums = vec![0.0_f64; size * size];
    for vector in vectors.chunks_exact(size) {
        for (row, &value) in vector.iter().enumerate() {
            let sums = &mut sums[row * size..][..size];
            sums.iter_mut().zip(vector).for_each(|(sum, &other)| *sum += f64::from(value) * f64::from(other));
        }
    }
    (0..size).for_each(|at| sums[at * size + at] += regularization);
    sums
}

/// Improves each of `vectors` against the fixed `others`; each is on one thread, so the threads change nothing.
fn turn<'a>(
    vectors: &mut [f32],
    others: &[f32],
    pairs: impl Fn(usize) -> (&'a [u32], &'a [f32]) + Sync,
    options: AlsOptions,
    effort: &Effort<'_>,
) -> Result<()> {
    effort.check()?;
    let size = options.factors;
    let gram = gram(others, size, options.regularization);
    let each = (vectors.len() / size).div_ceil(effort.threads.max(1)).max(1);
    std::thread::scope(|scope| {
        for (part, vectors) in vectors.chunks_mut(each * size).enumerate() {
            let (gram, pairs, go_on) = (&gram, &pairs, effort.go_on);
            scope.spawn(move || {
                let mut gradient = Gradient::new(size);
                for (place, vector) in vectors.chunks_exact_mut(size).enumerate() {
                    if place % VECTORS_PER_CHECK == 0 && !go_on() {
                        return;
                    }
                    let (columns, weights) = pairs(part * each + place);
                    let confidence = |weight: f32| options.alpha * f64::from(weight);
                    let pair = |(&column, &weight): (&u32, &f32)| {
                        (&others[column as usize * size..][..size], confidence(weight))
                    };
                    gradient.improve(vector, gram, columns.iter().zip(weights).map(pair));
                }
            });
        }
    });
    effort.check()
}

/// Buffers of the conjugate gradient method.
struct Gradient {
    x: Vec<f64>,
    rest: Vec<f64>,
    direction: Vec<f64>,
    image: Vec<f64>,
}

impl Gradient {
    fn new(size: usize) -> Self {
        let zeros = || vec![0.0; size];
        Self { x: zeros(), rest: zeros(), direction: zeros(), image: zeros() }
    }

    /// Steps toward the solution of `(G + Σ c y yᵀ) x = Σ (1 + c) y`.
    fn improve<'a>(&mut self, vector: &mut [f32], gram: &[f64], pairs: impl Iterator<Item = (&'a [f32], f64)> + Clone) {
        self.x.iter_mut().zip(vector.iter()).for_each(|(x, &value)| *x = f64::from(value));
        multiply(gram, &self.x, &mut self.rest);
        self.rest.iter_mut().for_each(|value| *value = -*value);
        for (y, confidence) in pairs.clone() {
            let scale = 1.0 + confidence - confidence * dot(y, &self.x);
            add_scaled(&mut self.rest, y, scale);
        }
        self.direction.copy_from_slice(&self.rest);
        let mut size = dot(&self.rest, &self.rest);
        for _ in 0..GRADIENT_STEPS {
            if size < REST_MIN {
                break;
            }
            multiply(gram, &self.direction, &mut self.image);
            for (y, confidence) in pairs.clone() {
                let scale = confidence * dot(y, &self.direction);
                add_scaled(&mut self.image, y, scale);
            }
            let step = size / dot(&self.direction, &self.image);
            add_scaled(&mut self.x, &self.direction, step);
            add_scaled(&mut self.rest, &self.image, -step);
            let next = dot(&self.rest, &self.rest);
            let keep = next / size;
            self.direction.iter_mut().zip(&self.rest).for_each(|(value, rest)| *value = rest + keep * *value);
            size = next;
        }
        vector.iter_mut().zip(&self.x).for_each(|(value, &x)| *value = x as f32);
    }
}

fn multiply(matrix: &[f64], x: &[f64], image: &mut [f64]) {
    image.iter_mut().zip(matrix.chunks_exact(x.len())).for_each(|(value, row)| *value = dot(row, x));
}

fn add_scaled<T: Copy + Into<f64>>(sum: &mut [f64], values: &[T], scale: f64) {
    sum.iter_mut().zip(values).for_each(|(sum, &value)| *sum += scale * value.into());
}

/// Eight sums beside each other, so that the compiler may use vectors without another order of additions.
fn dot<T: Copy + Into<f64>>(a: &[T], b: &[f64]) -> f64 {
    let mut sums = [0.0_f64; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(&a, b)| a.into() * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            sums[lane] += a[lane].into() * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}
