//! Upper triangular matrices: the Cholesky factor of a kernel matrix, and what is solved with it.
//!
//! Written out because hyperparameters are fitted by hundreds of factors and inverses a suggestion. All three O(n³)
//! computations subtract multiples of rows from a row, four at a time: contiguous, and no sum waits for the last one.

use crate::vectors::dot;

/// Rows that are subtracted at a time.
const ROWS: usize = 4;
/// Right-hand sides that are solved for at a time.
pub(super) const SIDES: usize = 8;

/// A square matrix of which the upper triangle is used, row by row.
#[derive(Debug, Clone)]
pub(super) struct Triangle {
    pub(super) size: usize,
    entries: Vec<f64>,
}

impl Triangle {
    pub(super) fn zeros(size: usize) -> Self {
        Self { size, entries: vec![0.0; size * size] }
    }

    /// A row from its diagonal on.
    pub(super) fn row(&self, row: usize) -> &[f64] {
        &self.entries[row * self.size + row..(row + 1) * self.size]
    }

    /// A row from its diagonal on.
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.entries[row * self.size + row..(row + 1) * self.size]
    }

    /// Replaces a symmetric matrix K, given by its upper triangle, by its Cholesky factor U with Uᵀ U = K; `None` unless
    /// it is positive definite.
    pub(super) fn cholesky(mut self) -> Option<Self> {
        let size = self.size;
        for k in 0..size {
            let (above, rest) = self.entries.split_at_mut(k * size);
            let row = &mut rest[k..size];
            subtract_rows(row, k, |_| size - k, |i| (above[i * size + k], &above[i * size + k..(i + 1) * size]));
            if !(row[0] > 0.0 && row[0].is_finite()) {
                return None;
            }
            let inverse = 1.0 / row[0].sqrt();
            row.iter_mut().for_each(|entry| *entry *= inverse);
        }
        Some(self)
    }

    /// Solves Uᵀ x = b in place.
    pub(super) fn solve_lower(&self, b: &mut [f64]) {
        for i in 0..self.size {
            let (diagonal, right) = self.row(i).split_first().expect("rows begin with their diagonal");
            let x = b[i] / diagonal;
            b[i] = x;
            b[i + 1..].iter_mut().zip(right).for_each(|(b, u)| *b -= u * x);
        }
    }

    /// Solves U x = b in place.
    pub(super) fn solve_upper(&self, b: &mut [f64]) {
        for i in (0..self.size).rev() {
            let (diagonal, right) = self.row(i).split_first().expect("rows begin with their diagonal");
            b[i] = (b[i] - dot(right, &b[i + 1..])) / diagonal;
        }
    }

    pub(super) fn ln_diagonal(&self) -> f64 {
        (0..self.size).map(|i| self.row(i)[0].ln()).sum()
    }

    /// The upper triangle of (Uᵀ U)⁻¹.
    pub(super) fn inverse(&self) -> Self {
        let size = self.size;
        // V = U⁻ᵀ, lower triangular and zero above: row i is (e_i - Σ_{j<i} U_ji V_j) / U_ii.
        let mut lower = vec![0.0; size * size];
        for i in 0..size {
            let (above, rest) = lower.split_at_mut(i * size);
            let row = &mut rest[..size];
            let term = |j: usize| (self.entries[j * size + i], &above[j * size..(j + 1) * size]);
            subtract_rows(row, i, |last| last + 1, term);
            row[i] = 1.0;
            let inverse = 1.0 / self.entries[i * size + i];
            row[..=i].iter_mut().for_each(|entry| *entry *= inverse);
        }
        // Vᵀ V: row a, from a on, is Σ_{i≥a} V_ia V_i.
        let mut product = Self::zeros(size);
        for a in 0..size {
            let term = |i: usize| (-lower[(a + i) * size + a], &lower[(a + i) * size + a..(a + i + 1) * size]);
            subtract_rows(product.row_mut(a), size - a, |last| last + 1, term);
        }
        product
    }

    /// Returns Uᵀ, to solve with for many right-hand sides.
    pub(super) fn transposed(&self) -> Transposed {
        let size = self.size;
        let rows = (0..size).flat_map(|i| (0..=i).map(move |j| (i, j)));
        Transposed { size, entries: rows.map(|(i, j)| self.entries[j * size + i]).collect() }
    }
}

/// The transpose of a triangle: its lower triangle, row by row, without gaps.
#[derive(Debug, Clone)]
pub(super) struct Transposed {
    size: usize,
    entries: Vec<f64>,
}

impl Transposed {
    /// Solves Uᵀ x = b in place for [`SIDES`] right-hand sides, of which `b` holds entry by entry.
    pub(super) fn solve_sides(&self, b: &mut [[f64; SIDES]]) {
        let mut start = 0;
        for i in 0..self.size {
            let (row, diagonal) = (&self.entries[start..start + i], self.entries[start + i]);
            let (known, rest) = b.split_at_mut(i);
            let mut left = rest[0];
            for (u, x) in row.iter().zip(known.iter()) {
                for side in 0..SIDES {
                    left[side] -= u * x[side];
                }
            }
            rest[0] = left.map(|left| left / diagonal);
            start += i + 1;
        }
    }
}

/// Subtracts from `target` the multiples of `count` rows that `term` tells. A row has nothing but zeros beyond the length
/// that `reach` tells of it and the rows before it.
fn subtract_rows<'a>(
    target: &mut [f64],
    count: usize,
    reach: impl Fn(usize) -> usize,
    term: impl Fn(usize) -> (f64, &'a [f64]),
) {
    for first in (0..count).step_by(ROWS) {
        let last = (first + ROWS).min(count) - 1;
        let length = reach(last);
        let target = &mut target[..length];
        // The last ones may be fewer than four: what is missing counts zero times.
        let [(a, p), (b, q), (c, r), (d, s)] = std::array::from_fn(|offset| {
            let (factor, row) = term((first + offset).min(last));
            (if first + offset > last { 0.0 } else { factor }, &row[..length])
        });
        for i in 0..length {
            target[i] -= (a * p[i] + b * q[i]) + (c * r[i] + d * s[i]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factor_solutions_and_inverse_agree() {
        for size in 1..=11 {
            let entry =
                |a: usize, b: usize| (-0.1 * (a as f64 - b as f64).powi(2)).exp() + if a == b { 0.3 } else { 0.0 };
            let mut matrix = Triangle::zeros(size);
            (0..size).for_each(|a| (a..size).for_each(|b| matrix.row_mut(a)[b - a] = entry(a, b)));
            let factor = matrix.cholesky().unwrap();
            let (inverse, transposed) = (factor.inverse(), factor.transposed());
            let mut sides = vec![[0.0; SIDES]; size];
            for column in 0..size {
                let mut solution: Vec<f64> = (0..size).map(|row| f64::from(u8::from(row == column))).collect();
                factor.solve_lower(&mut solution);
                let side = column % SIDES;
                sides.iter_mut().enumerate().for_each(|(row, of)| of[side] = f64::from(u8::from(row == column)));
                transposed.solve_sides(&mut sides);
                assert!(sides.iter().zip(&solution).all(|(of, x)| (of[side] - x).abs() < 1e-12));
                factor.solve_upper(&mut solution);
                for (row, found) in solution.iter().enumerate() {
                    let product: f64 = (0..size).map(|k| entry(row, k) * solution[k]).sum();
                    assert!((product - f64::from(u8::from(row == column))).abs() < 1e-12);
                    let (a, b) = (row.min(column), row.max(column));
                    assert!((inverse.row(a)[b - a] - found).abs() < 1e-12);
                }
            }
        }
        let mut indefinite = Triangle::zeros(2);
        indefinite.row_mut(0).copy_from_slice(&[1.0, 2.0]);
        indefinite.row_mut(1)[0] = 1.0;
        assert!(indefinite.cholesky().is_none());
    }
}
