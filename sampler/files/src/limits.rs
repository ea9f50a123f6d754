//! What a file may ask of its reader. Files of features are far below these; a damaged or hostile one may state anything.

/// Columns of one file, those that hold no numbers among them.
pub(crate) const COLUMNS_MAX: usize = 4096;
/// Length of a column's name, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 1024;
/// Length of one record of a CSV file with its line break, in bytes; the header is one.
pub(crate) const RECORD_BYTES_MAX: u64 = 4 << 20;
/// Values of a CSV file that are held at once, over all columns.
pub(crate) const RECORDS_VALUES_MAX: usize = 4 << 20;
/// Length of the header of a safetensors file, in bytes.
pub(crate) const SAFETENSORS_HEADER_BYTES_MAX: u64 = 16 << 20;
/// Length of the header of an array in npz, in bytes.
pub(crate) const ARRAY_HEADER_BYTES_MAX: usize = 64 << 10;
/// Depth of brackets within the header of an array in npz.
pub(crate) const ARRAY_HEADER_DEPTH_MAX: usize = 32;
/// Length of the footer of a Parquet file, in bytes.
pub(crate) const FOOTER_BYTES_MAX: u64 = 64 << 20;
/// Depth of groups within the schema of a Parquet file.
pub(crate) const SCHEMA_DEPTH_MAX: usize = 64;
/// Length of the header of a page of a Parquet file, in bytes.
pub(crate) const PAGE_HEADER_BYTES_MAX: u64 = 1 << 20;
/// Size of one page of a Parquet file, in bytes uncompressed.
pub(crate) const PAGE_BYTES_MAX: u64 = 128 << 20;
/// Bytes of a file's text that a message quotes.
pub(crate) const QUOTED_BYTES_MAX: usize = 64;

/// Returns the start of a file's text, as much of it as a message quotes.
pub(crate) fn quoted(text: &str) -> String {
    if text.len() <= QUOTED_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=QUOTED_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_ends_between_characters() {
        assert_eq!(quoted("short"), "short");
        assert_eq!(quoted(&"a".repeat(64)), "a".repeat(64));
        assert_eq!(quoted(&"a".repeat(65)), format!("{}…", "a".repeat(64)));
        assert_eq!(quoted(&format!("a{}", "ü".repeat(64))), format!("a{}…", "ü".repeat(31)));
    }
}
