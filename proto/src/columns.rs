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

/// Packs probabilities, 4 bytes each.
#[must_use]
pub fn pack_f32(values: &[f32]) -> Bytes {
    values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
}

/// Unpacks a column of u32.
///
/// # Errors
/// [`ColumnError`] when the length is not a multiple of 4.
pub fn unpack_u32(column: &[u8]) -> Result<Vec<u32>, ColumnError> {
    Ok(chunks::<4>(column)?.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect())
}

/// Unpacks a column of u64.
///
/// # Errors
/// [`ColumnError`] when the length is not a multiple of 8.
pub fn unpack_u64(column: &[u8]) -> Result<Vec<u64>, ColumnError> {
    Ok(chunks::<8>(column)?.iter().map(|&bytes| u64::from_le_bytes(bytes)).collect())
}

/// Unpacks a column of f32.
///
/// # Errors
/// [`ColumnError`] when the length is not a multiple of 4.
pub fn unpack_f32(column: &[u8]) -> Result<Vec<f32>, ColumnError> {
    Ok(chunks::<4>(column)?.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}

fn chunks<const WIDTH: usize>(column: &[u8]) -> Result<&[[u8; WIDTH]], ColumnError> {
    let (chunks, rest) = column.as_chunks::<WIDTH>();
    if rest.is_empty() { Ok(chunks) } else { Err(ColumnError { bytes: column.len(), width: WIDTH }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn columns_survive_the_wire(indices: Vec<u32>, probabilities: Vec<f32>) {
            prop_assert_eq!(unpack_u32(&pack_u32(&indices)).unwrap(), indices);
            let back = unpack_f32(&pack_f32(&probabilities)).unwrap();
            prop_assert_eq!(
                back.iter().map(|p| p.to_bits()).collect::<Vec<_>>(),
                probabilities.iter().map(|p| p.to_bits()).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn a_torn_column_is_refused() {
        assert_eq!(unpack_u32(&[0; 7]), Err(ColumnError { bytes: 7, width: 4 }));
        assert_eq!(unpack_u64(&[0; 12]), Err(ColumnError { bytes: 12, width: 8 }));
    }
}
