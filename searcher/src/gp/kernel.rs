//! k(x, x') = exp(-½ Σ_j ((x_j - x'_j) / ℓ_j)²).

use nalgebra::DMatrix;

pub(super) fn correlation(a: &[f64], b: &[f64], length_scales: &[f64]) -> f64 {
    let squared: f64 = (0..a.len()).map(|j| ((a[j] - b[j]) / length_scales[j]).powi(2)).sum();
    (-0.5 * squared).exp()
}

pub(super) fn correlation_matrix(points: &[Vec<f64>], length_scales: &[f64]) -> DMatrix<f64> {
    let mut matrix = DMatrix::identity(points.len(), points.len());
    for i in 0..points.len() {
        for j in 0..i {
            let k = correlation(&points[i], &points[j], length_scales);
            matrix[(i, j)] = k;
            matrix[(j, i)] = k;
        }
    }
    matrix
}
