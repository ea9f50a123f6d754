//! Looks at the footer before the library does, which calls itself for every group within a group.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use super::thrift::{Compact, Kind};
use crate::limits::{COLUMNS_MAX, FOOTER_BYTES_MAX, SCHEMA_DEPTH_MAX};

/// Bytes at the end of a file: the footer's length and the format's mark.
const TAIL_BYTES: u64 = 8;
/// Field of the footer that has the schema.
const SCHEMA: i64 = 2;
/// Field of a schema's element that says how many elements are within it.
const CHILDREN: i64 = 5;
/// Elements of a schema: columns, and the groups around each.
const ELEMENTS_MAX: u64 = (COLUMNS_MAX * SCHEMA_DEPTH_MAX) as u64;

/// Checks that a footer is no longer, and its schema no deeper, than those of files of features.
pub(super) fn check(file: &File) -> io::Result<()> {
    let mut file = file;
    let length = file.metadata()?.len();
    let Some(tail) = length.checked_sub(TAIL_BYTES) else { return Err(invalid("it is too short".to_owned())) };
    file.seek(SeekFrom::Start(tail))?;
    let mut footer = [0; 4];
    file.read_exact(&mut footer)?;
    let footer = u64::from(u32::from_le_bytes(footer));
    if footer > FOOTER_BYTES_MAX {
        return Err(invalid(format!("its footer would have {footer} bytes, of at most {FOOTER_BYTES_MAX}")));
    }
    let Some(start) = tail.checked_sub(footer) else {
        return Err(invalid(format!("it has {length} bytes, of which {footer} would be the footer")));
    };
    file.seek(SeekFrom::Start(start))?;
    check_schema(BufReader::new(file.take(footer)))
}

fn check_schema(footer: impl Read) -> io::Result<()> {
    Compact::new(footer).fields(|input, number, kind| {
        if (number, kind) != (SCHEMA, Kind::List) {
            return input.skip(kind);
        }
        let (of, elements) = input.list()?;
        if of != Kind::Struct {
            return Err(invalid("its schema is none".to_owned()));
        }
        if elements > ELEMENTS_MAX {
            return Err(invalid(format!("its schema has {elements} elements, of at most {ELEMENTS_MAX}")));
        }
        // How many elements are still to come within each group around the present one.
        let mut groups = Vec::new();
        for _ in 0..elements {
            let mut children = 0;
            input.fields(|input, number, kind| {
                if number == CHILDREN {
                    children = input.integer_of(kind)?;
                    return Ok(());
                }
                input.skip(kind)
            })?;
            while groups.last() == Some(&0) {
                groups.pop();
            }
            if let Some(left) = groups.last_mut() {
                *left -= 1;
            }
            if children > 0 {
                groups.push(children);
            }
            if groups.len() > SCHEMA_DEPTH_MAX {
                return Err(invalid(format!("its schema is nested more than {SCHEMA_DEPTH_MAX} deep")));
            }
        }
        Ok(())
    })
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
