//! The values of examples: bytes of pixels, or floats of measurements.

/// Values one example after another, each channel by channel, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Pixels, as image formats hold them: one byte each, also in memory.
    Bytes(Vec<u8>),
    /// Anything else; finite.
    Floats(Vec<f32>),
}

impl Values {
    /// Returns the number of values.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Bytes(values) => values.len(),
            Self::Floats(values) => values.len(),
        }
    }

    /// Tells whether there are no values.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many bytes the values take.
    #[must_use]
    pub const fn size_of(&self) -> usize {
        match self {
            Self::Bytes(values) => values.len(),
            Self::Floats(values) => size_of::<f32>() * values.len(),
        }
    }

    /// Returns the bytes, if these are bytes.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(values) => Some(values),
            Self::Floats(_) => None,
        }
    }

    /// Puts the rows of `size` values that were at `order` to 0, 1, 2, …, in place: no second copy is made.
    pub(super) fn rearrange(&mut self, order: &[usize], size: usize) {
        match self {
            Self::Bytes(values) => rearrange(values, order, size),
            Self::Floats(values) => rearrange(values, order, size),
        }
    }

    /// Returns the rows of `size` values at `positions`.
    pub(super) fn select(&self, positions: &[usize], size: usize) -> Self {
        match self {
            Self::Bytes(values) => Self::Bytes(select(values, positions, size)),
            Self::Floats(values) => Self::Floats(select(values, positions, size)),
        }
    }

    /// Puts other values of the same kind behind these; of another kind, both become floats.
    pub(super) fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Bytes(values), Self::Bytes(other)) => values.extend(other),
            (Self::Floats(values), Self::Floats(other)) => values.extend(other),
            (Self::Bytes(values), Self::Floats(other)) => {
                let floats = values.iter().map(|&value| f32::from(value)).chain(other).collect();
                *self = Self::Floats(floats);
            }
            (Self::Floats(values), Self::Bytes(other)) => values.extend(other.into_iter().map(f32::from)),
        }
    }

    /// Cuts the values from `at` on off and returns them.
    pub(super) fn split_off(&mut self, at: usize) -> Self {
        match self {
            Self::Bytes(values) => Self::Bytes(cut(values, at)),
            Self::Floats(values) => Self::Floats(cut(values, at)),
        }
    }
}

/// Puts rows in the given order by following the permutation's cycles; `order` holds each row's number once.
pub(super) fn rearrange<T: Copy>(values: &mut [T], order: &[usize], size: usize) {
    let mut placed = vec![false; order.len()];
    let mut first = Vec::with_capacity(size);
    for start in 0..order.len() {
        if placed[start] {
            continue;
        }
        first.clear();
        first.extend_from_slice(&values[start * size..(start + 1) * size]);
        let mut position = start;
        loop {
            placed[position] = true;
            let from = order[position];
            if from == start {
                values[position * size..(position + 1) * size].copy_from_slice(&first);
                break;
            }
            values.copy_within(from * size..(from + 1) * size, position * size);
            position = from;
        }
    }
}

fn select<T: Copy>(values: &[T], positions: &[usize], size: usize) -> Vec<T> {
    positions.iter().flat_map(|&position| values[position * size..][..size].iter().copied()).collect()
}

fn cut<T>(values: &mut Vec<T>, at: usize) -> Vec<T> {
    let rest = values.split_off(at);
    values.shrink_to_fit();
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rows_are_where_the_order_puts_them(order in (1..40usize).prop_flat_map(|n| {
            Just((0..n).collect::<Vec<usize>>()).prop_shuffle()
        })) {
            let rows: Vec<u8> = (0..u8::try_from(order.len()).unwrap()).flat_map(|row| [row, 100 + row]).collect();
            let mut values = Values::Bytes(rows.clone());
            values.rearrange(&order, 2);
            let expected: Vec<u8> = order.iter().flat_map(|&from| [rows[2 * from], rows[2 * from + 1]]).collect();
            prop_assert_eq!(&values, &Values::Bytes(expected.clone()));
            let rest = values.split_off(2);
            prop_assert_eq!(rest.bytes().unwrap(), &expected[2..]);
            prop_assert_eq!(values.len(), 2);
        }
    }
}
