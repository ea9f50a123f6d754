//! Windows of patches, shifted in every other block, with a learned bias for each distance within a window.

use tch::nn::Path;
use tch::{Device, Tensor};

use super::DEVIATION;
use crate::torch::images::to_i64;
use crate::torch::layers::{Initialiser, add_without_decay};

/// Keeps patches apart that only the shift has brought into one window.
const APART: f32 = -100.0;

/// Rows and columns of patches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    pub(super) height: usize,
    pub(super) width: usize,
}

/// How a grid is cut into square windows. Where they do not fill it, zeros are added at the right and at the bottom.
#[derive(Debug)]
pub(super) struct Windows {
    /// Patches of a window's side.
    side: i64,
    /// Rows and columns of the grid.
    grid: [i64; 2],
    /// Rows and columns of windows.
    windows: [i64; 2],
    /// Rows and columns by which windows are shifted.
    shift: [i64; 2],
    /// The bias of each distance and head, (2 side - 1)² × heads.
    biases: Tensor,
    /// Row of `biases` of each pair of patches of a window, side⁴.
    distances: Tensor,
    /// What keeps apart what the shift brought together, windows × side² × side²; `None` without shift.
    mask: Option<Tensor>,
}

impl Windows {
    pub(super) fn new(
        path: &Path<'_>,
        initialiser: &mut Initialiser,
        heads: usize,
        grid: Grid,
        side: usize,
        shift: usize,
    ) -> Self {
        let distances = 2 * side - 1;
        let values = initialiser.truncated_normal(&[to_i64(distances * distances), to_i64(heads)], DEVIATION);
        let sides = [grid.height, grid.width];
        let windows = sides.map(|patches| patches.div_ceil(side));
        // One window along a side has nothing to be shifted against.
        let shift = windows.map(|windows| if windows > 1 { shift } else { 0 });
        let device = path.device();
        Self {
            side: to_i64(side),
            grid: sides.map(to_i64),
            windows: windows.map(to_i64),
            shift: shift.map(to_i64),
            biases: add_without_decay(path, "relative_position_bias_table", &values),
            distances: relative_positions(side).to_device(device),
            mask: (shift != [0, 0]).then(|| mask(windows, side, shift, device)),
        }
    }

    /// Takes k × rows × columns × width and returns (k · windows) × side² × width.
    pub(super) fn cut(&self, patches: &Tensor) -> Tensor {
        let (count, rows, columns, width) = patches.size4().expect("patches are k × rows × columns × width");
        let [down, across] = self.windows;
        let padded = patches.constant_pad_nd([0, 0, 0, across * self.side - columns, 0, down * self.side - rows]);
        let shifted = padded.roll(self.shift.map(|shift| -shift), [1, 2]);
        let cut = shifted.reshape([count, down, self.side, across, self.side, width]).permute([0, 1, 3, 2, 4, 5]);
        cut.reshape([-1, self.side * self.side, width])
    }

    /// Undoes [`Self::cut`].
    pub(super) fn join(&self, cut: &Tensor) -> Tensor {
        let ([down, across], [rows, columns], side) = (self.windows, self.grid, self.side);
        let parts = cut.reshape([-1, down, across, side, side, cut.size()[2]]).permute([0, 1, 3, 2, 4, 5]);
        let shifted = parts.reshape([-1, down * side, across * side, cut.size()[2]]);
        shifted.roll(self.shift, [1, 2]).narrow(1, 0, rows).narrow(2, 0, columns)
    }

    /// Returns what is added to the logits of the attention within `count` windows, count × heads × side² × side² or what is
    /// broadcast to it.
    pub(super) fn bias(&self, count: i64) -> Tensor {
        let patches = self.side * self.side;
        let heads = self.biases.size()[1];
        let bias = self.biases.index_select(0, &self.distances).reshape([patches, patches, heads]).permute([2, 0, 1]);
        match &self.mask {
            None => bias.unsqueeze(0),
            Some(mask) => {
                let of_windows = bias.unsqueeze(0) + mask.unsqueeze(1);
                let images = count / of_windows.size()[0];
                of_windows.unsqueeze(0).expand([images, -1, -1, -1, -1], false).flatten(0, 1)
            }
        }
    }
}

/// Returns for each pair of patches of a window which of the (2 side - 1)² distances lies between them.
fn relative_positions(side: usize) -> Tensor {
    let places = || (0..side * side).map(|place| (place / side, place % side));
    let mut positions = Vec::with_capacity(side.pow(4));
    for (row, column) in places() {
        for (other_row, other_column) in places() {
            let (down, across) = (row + side - 1 - other_row, column + side - 1 - other_column);
            positions.push(to_i64(down * (2 * side - 1) + across));
        }
    }
    Tensor::from_slice(&positions)
}

/// Returns 0 for patches that are neighbours in the image too, and [`APART`] for others.
fn mask(windows: [usize; 2], side: usize, shift: [usize; 2], device: Device) -> Tensor {
    // A window at the far end holds two kinds of rows: those before the shift wraps around, and those behind.
    let wrapped = |axis: usize, place: usize| place >= windows[axis] * side - shift[axis];
    let mut values = Vec::new();
    for window in 0..windows[0] * windows[1] {
        let corner = [window / windows[1] * side, window % windows[1] * side];
        let kind = |place: usize| (wrapped(0, corner[0] + place / side), wrapped(1, corner[1] + place % side));
        for first in 0..side * side {
            values.extend((0..side * side).map(|second| if kind(first) == kind(second) { 0.0 } else { APART }));
        }
    }
    let size = [windows[0] * windows[1], side * side, side * side].map(to_i64);
    Tensor::from_slice(&values).reshape(size).to_device(device)
}
