//! The inverse of a symmetric positive matrix, block by block, so that nearly all of it is products of matrices.
//!
//! Gauss-Jordan without exchanging rows, which such a matrix does not need. For a block `K` of rows and columns, with `P`
//! the inverse of `A[K][K]` and `R = P A[K]`: every other row `i` becomes `A[i] - A[i][K] R`, rows `K` become `R`, and in
//! columns `K` the old values count as 0 and those of `R` as `P`. After all blocks the inverse stands in place of the
//! matrix. Of every 100 numbers no more than a few are held twice.

use super::effort::Effort;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayViewMut2, Axis, s};
use trodden_engine::error::Result;

/// Rows and columns of a block: a panel of it for 10,000 items stays in the cache.
const BLOCK: usize = 128;

/// Replaces a symmetric positive matrix by its inverse; false, and rubbish, where it is not positive. Blocks of rows are
/// computed alike on whatever number of threads, so the result is the same to the last bit.
///
/// # Errors
/// `Cancelled`, between two blocks.
pub(super) fn invert(matrix: &mut Array2<f64>, effort: &Effort<'_>) -> Result<bool> {
    let size = matrix.nrows();
    for start in (0..size).step_by(BLOCK) {
        effort.check()?;
        let end = (start + BLOCK).min(size);
        let mut pivot = matrix.slice(s![start..end, start..end]).to_owned();
        if !invert_small(&mut pivot) {
            return Ok(false);
        }
        let columns = matrix.slice(s![.., start..end]).to_owned();
        matrix.slice_mut(s![.., start..end]).fill(0.0);
        let mut rows = pivot.dot(&matrix.slice(s![start..end, ..]));
        rows.slice_mut(s![.., start..end]).assign(&pivot);
        let mut panels: Vec<(usize, ArrayViewMut2<'_, f64>)> =
            matrix.axis_chunks_iter_mut(Axis(0), BLOCK).enumerate().collect();
        let each = panels.len().div_ceil(effort.threads.max(1));
        std::thread::scope(|scope| {
            for panels in panels.chunks_mut(each) {
                let (rows, columns) = (&rows, &columns);
                scope.spawn(move || {
                    for (place, panel) in panels {
                        let first = *place * BLOCK;
                        if first == start {
                            panel.assign(rows);
                        } else {
                            let left = columns.slice(s![first..first + panel.nrows(), ..]);
                            general_mat_mul(-1.0, &left, rows, 1.0, panel);
                        }
                    }
                });
            }
        });
    }
    Ok(true)
}

/// The same without blocks.
fn invert_small(matrix: &mut Array2<f64>) -> bool {
    let size = matrix.nrows();
    let mut pivot_row = vec![0.0; size];
    for pivot in 0..size {
        let value = matrix[(pivot, pivot)];
        if !(value > 0.0 && value.is_finite()) {
            return false;
        }
        matrix[(pivot, pivot)] = 1.0;
        matrix.row_mut(pivot).iter_mut().for_each(|entry| *entry /= value);
        pivot_row.iter_mut().zip(matrix.row(pivot)).for_each(|(copy, entry)| *copy = *entry);
        for (_, mut entries) in matrix.outer_iter_mut().enumerate().filter(|(row, _)| *row != pivot) {
            let scale = std::mem::take(&mut entries[pivot]);
            entries.iter_mut().zip(&pivot_row).for_each(|(entry, from)| *entry -= scale * from);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `XᵀX` of numbers that look random, with a ridge.
    fn positive(size: usize) -> Array2<f64> {
        let number =
            |row: usize, column: usize| ((row * 7_919 + column * 104_729 + row * column) % 1_009) as f64 / 1_009.0;
        let factors = Array2::from_shape_fn((size, size), |(row, column)| number(row, column) - 0.5);
        factors.t().dot(&factors) + Array2::<f64>::eye(size) * 0.5
    }

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        for size in [1, 2, 5, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17] {
            let matrix = positive(size);
            let mut inverse = matrix.clone();
            assert!(invert(&mut inverse, &Effort::of_threads(2)).unwrap());
            let error =
                (matrix.dot(&inverse) - Array2::<f64>::eye(size)).mapv(f64::abs).fold(0.0, |a: f64, &b| a.max(b));
            assert!(error < 1e-9, "{size}: {error}");
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let mut one = positive(5 * BLOCK + 3);
        let (mut two, mut many) = (one.clone(), one.clone());
        assert!(
            invert(&mut one, &Effort::of_threads(1)).unwrap()
                && invert(&mut two, &Effort::of_threads(2)).unwrap()
                && invert(&mut many, &Effort::of_threads(7)).unwrap()
        );
        assert_eq!(one, two);
        assert_eq!(one, many);
    }

    #[test]
    fn the_work_ends_between_two_blocks() {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        let go_on = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 2;
        let effort = Effort { go_on: &go_on, ..Effort::of_threads(2) };
        let error = invert(&mut positive(5 * BLOCK), &effort).unwrap_err();
        assert_eq!(error.kind(), trodden_engine::error::ErrorKind::Cancelled);
        assert_eq!(asked.into_inner(), 3);
    }

    #[test]
    fn a_matrix_that_is_not_positive_is_told() {
        let mut matrix = Array2::from_shape_vec((2, 2), vec![1.0, 2.0, 2.0, 1.0]).unwrap();
        assert!(!invert(&mut matrix, &Effort::of_threads(1)).unwrap());
    }
}
