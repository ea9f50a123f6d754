//! Lower triangular matrices: the Cholesky factor of a kernel matrix, and what is solved with it.
//!
//! Written out because hyperparameters are fitted by hundreds of factors and inverses a suggestion: rows are contiguous,
//! and only the triangle is worked on.

/// A square matrix of which the lower triangle is used, row by row.
#[derive(Debug, Clone)]
pub(super) struct Triangle {
    pub(super) size: usize,
    entries: Vec<f64>,
}

impl Triangle {
    pub(super) fn zeros(size: usize) -> Self {
        Self { size, entries: vec![0.0; size * size] }
    }

    pub(super) fn row(&self, row: usize) -> &[f64] {
        &self.entries[row * self.size..(row + 1) * self.size]
    }

    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.entries[row * self.size..(row + 1) * self.size]
    }

    /// Replaces a symmetric matrix, given by its lower triangle, by its Cholesky factor L; `None` unless it is positive
    /// definite.
    pub(super) fn cholesky(mut self) -> Option<Self> {
        let size = self.size;
        for i in 0..size {
            let (above, rest) = self.entries.split_at_mut(i * size);
            let row = &mut rest[..size];
            for j in 0..i {
                let other = &above[j * size..(j + 1) * size];
                row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
            }
            let square = row[i] - dot(&row[..i], &row[..i]);
            if !(square > 0.0 && square.is_finite()) {
                return None;
            }
            row[i] = square.sqrt();
        }
        Some(self)
    }

    /// Solves L x = b in place.
    pub(super) fn solve_lower(&self, b: &mut [f64]) {
        for i in 0..self.size {
            let row = self.row(i);
            b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
        }
    }

    /// Solves Lᵀ x = b in place.
    pub(super) fn solve_upper(&self, b: &mut [f64]) {
        for i in (0..self.size).rev() {
            let row = self.row(i);
            b[i] /= row[i];
            let x = b[i];
            b[..i].iter_mut().zip(row).for_each(|(b, l)| *b -= l * x);
        }
    }

    pub(super) fn ln_diagonal(&self) -> f64 {
        (0..self.size).map(|i| self.row(i)[i].ln()).sum()
    }

    /// The lower triangle of (L Lᵀ)⁻¹.
    pub(super) fn inverse(&self) -> Self {
        let size = self.size;
        // Row j of `upper` is column j of L⁻¹.
        let mut upper = Self::zeros(size);
        for j in 0..size {
            let column = upper.row_mut(j);
            column[j] = 1.0 / self.row(j)[j];
            for i in j + 1..size {
                let row = self.row(i);
                column[i] = -dot(&row[j..i], &column[j..i]) / row[i];
            }
        }
        let mut inverse = Self::zeros(size);
        for a in 0..size {
            for b in 0..=a {
                inverse.row_mut(a)[b] = dot(&upper.row(a)[a..], &upper.row(b)[a..]);
            }
        }
        inverse
    }
}

/// The inner product, summed in four lanes: the compiler may not reorder a sum on its own.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (left, right) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = left.remainder().iter().zip(right.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in left.zip(right) {
        for lane in 0..4 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes[0] + lanes[1] + lanes[2] + lanes[3] + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factor_solutions_and_inverse_agree() {
        let size = 9;
        let entry = |a: usize, b: usize| (-0.1 * (a as f64 - b as f64).powi(2)).exp() + if a == b { 0.3 } else { 0.0 };
        let mut matrix = Triangle::zeros(size);
        (0..size).for_each(|a| (0..=a).for_each(|b| matrix.row_mut(a)[b] = entry(a, b)));
        let factor = matrix.cholesky().unwrap();
        let inverse = factor.inverse();
        for column in 0..size {
            let mut solution: Vec<f64> = (0..size).map(|row| f64::from(u8::from(row == column))).collect();
            factor.solve_lower(&mut solution);
            factor.solve_upper(&mut solution);
            for (row, found) in solution.iter().enumerate() {
                let product: f64 = (0..size).map(|k| entry(row, k) * solution[k]).sum();
                assert!((product - f64::from(u8::from(row == column))).abs() < 1e-12);
                let (a, b) = (row.max(column), row.min(column));
                assert!((inverse.row(a)[b] - found).abs() < 1e-12);
            }
        }
        let mut indefinite = Triangle::zeros(2);
        indefinite.row_mut(0)[0] = 1.0;
        indefinite.row_mut(1)[..2].copy_from_slice(&[2.0, 1.0]);
        assert!(indefinite.cholesky().is_none());
    }
}
