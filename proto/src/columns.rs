//! Packed columns: little-endian bytes on the wire, numbers in memory.

use bytes::Bytes;

/// A column whose byte length does not fit its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a column of {bytes} bytes does not divide into {width}-byte values")]
pub struct ColumnError {
    /// Length received, in bytes.
    pub bytes: usize,
    /// Width of one value, in bytes.
    pub width: usize,
}

/// Packs indices, 4 bytes each.
#[must_use]
pub fn pack_u32(values: &[u32]) -> Bytes {
    values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
}

/// Packs indices, 8 bytes each.
#[must_use]
pub fn pack_u64(values: &[u64]) -> Bytes {
    values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
}

/// Packs probabilities, 4 bytes each.
#[must_use]
pub fn pack_f32(values: &[f32]) -> Bytes {
    values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
}

/// Packs features, 8 bytes each.
#[must_use]
pub fn pack_f64(values: &[f64]) -> Bytes {
    values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
}

/// Unpacks a column of u32 into `values`, in place of what they were.
///
/// # Errors
/// [`ColumnError`] when the length is not a multiple of 4.
pub fn unpack_u32(column: &[u8], values: &mut Vec<u32>) -> Result<(), ColumnError> {
    unpack(column, values, u32::from_le_bytes)
}

/// Unpacks a column of u64 into `values`, in place of what they were.
///
/// # Errors
/// [`ColumnError`] when the length is not a multiple of 8.
pub fn unpack_u64(column: &[u8], values: &mut Vec<u64>) -> Result<(), ColumnError> {
    unpack(column, values, u64::from_le_bytes)
}

/// Unpacks a column of f32 into `values`, in place of what they were.
///
/// # Errors
/// [`ColumnError`] when the length is not a multiple of 4.
pub fn unpack_f32(column: &[u8], values: &mut Vec<f32>) -> Result<(), ColumnError> {
    unpack(column, values, f32::from_le_bytes)
}

/// Unpacks a column of f64 into `values`, in place of what they were.
///
/// # Errors
/// [`ColumnError`] when the length is not a multiple of 8.
pub fn unpack_f64(column: &[u8], values: &mut Vec<f64>) -> Result<(), ColumnError> {
    unpack(column, values, f64::from_le_bytes)
}

fn unpack<const WIDTH: usize, T>(
    column: &[u8],
    values: &mut Vec<T>,
    from_bytes: fn([u8; WIDTH]) -> T,
) -> Result<(), ColumnError> {
    let chunks = chunks::<WIDTH>(column)?;
    values.clear();
    values.extend(chunks.iter().map(|&bytes| from_bytes(bytes)));
    Ok(())
}

fn chunks<const WIDTH: usize>(column: &[u8]) -> Result<&[[u8; WIDTH]], ColumnError> {
    let (chunks, rest) = column.as_chunks::<WIDTH>();
    if rest.is_empty() { Ok(chunks) } else { Err(ColumnError { bytes: column.len(), width: WIDTH }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unpacked<T>(
        column: &[u8],
        unpack: fn(&[u8], &mut Vec<T>) -> Result<(), ColumnError>,
    ) -> Result<Vec<T>, ColumnError> {
        let mut values = Vec::new();
        unpack(column, &mut values).map(|()| values)
    }

    proptest! {
        #[test]
        fn columns_survive_the_wire(narrow: Vec<u32>, wide: Vec<u64>, probabilities: Vec<f32>, features: Vec<f64>) {
            prop_assert_eq!(unpacked(&pack_u32(&narrow), unpack_u32).unwrap(), narrow);
            prop_assert_eq!(unpacked(&pack_u64(&wide), unpack_u64).unwrap(), wide);
            let back = unpacked(&pack_f32(&probabilities), unpack_f32).unwrap();
            prop_assert_eq!(
                back.iter().map(|p| p.to_bits()).collect::<Vec<_>>(),
                probabilities.iter().map(|p| p.to_bits()).collect::<Vec<_>>()
            );
            let back = unpacked(&pack_f64(&features), unpack_f64).unwrap();
            prop_assert_eq!(
                back.iter().map(|value| value.to_bits()).collect::<Vec<_>>(),
                features.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn a_torn_column_is_refused() {
        assert_eq!(unpacked(&[0; 7], unpack_u32), Err(ColumnError { bytes: 7, width: 4 }));
        assert_eq!(unpacked(&[0; 12], unpack_u64), Err(ColumnError { bytes: 12, width: 8 }));
    }
}
