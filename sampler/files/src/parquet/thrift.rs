//! Thrift's compact protocol, as much of it as the headers of a Parquet file need to be looked at before its library reads
//! them: sizes that a header states are what the library allocates.

use std::io::{self, Read};

/// Depth to which fields of no interest are passed over.
const SKIP_DEPTH_MAX: usize = 64;
/// Bytes of a 64-bit number as a varint.
const VARINT_BYTES_MAX: u32 = 10;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A boolean that is told by its type.
    Boolean,
    Byte,
    /// An integer of any width.
    Integer,
    Double,
    Binary,
    List,
    Map,
    Struct,
    Uuid,
}

impl Kind {
    fn of(code: u8) -> io::Result<Self> {
        Ok(match code {
            1 | 2 => Self::Boolean,
            3 => Self::Byte,
            4..=6 => Self::Integer,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            13 => Self::Uuid,
            code => return Err(invalid(&format!("type {code} of a field is none"))),
        })
    }
}

/// Reads values one after the other, and counts their bytes.
pub(super) struct Compact<R> {
    input: R,
    bytes: u64,
}

impl<R: Read> Compact<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, bytes: 0 }
    }

    /// Returns how many bytes were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Passes the number and type of each field of a struct to `each`, which reads its value.
    pub(super) fn fields(&mut self, mut each: impl FnMut(&mut Self, i64, Kind) -> io::Result<()>) -> io::Result<()> {
        let mut number = 0i64;
        loop {
            let head = self.byte()?;
            if head & 0x0f == 0 {
                return Ok(());
            }
            number = match head >> 4 {
                0 => self.integer()?,
                step => number.checked_add(i64::from(step)).ok_or_else(|| invalid("fields have no such numbers"))?,
            };
            each(self, number, Kind::of(head & 0x0f)?)?;
        }
    }

    /// Reads the head of a list: the type of its elements and how many there are.
    pub(super) fn list(&mut self) -> io::Result<(Kind, u64)> {
        let head = self.byte()?;
        let count = if head >> 4 == 0x0f { self.varint()? } else { u64::from(head >> 4) };
        Ok((Kind::of(head & 0x0f)?, count))
    }

    /// Reads an integer field.
    pub(super) fn integer_of(&mut self, kind: Kind) -> io::Result<i64> {
        if kind == Kind::Integer { self.integer() } else { Err(invalid("a number in a header is none")) }
    }

    /// Passes over a value of a field.
    pub(super) fn skip(&mut self, kind: Kind) -> io::Result<()> {
        self.skip_within(kind, SKIP_DEPTH_MAX)
    }

    fn skip_within(&mut self, kind: Kind, depth: usize) -> io::Result<()> {
        let Some(depth) = depth.checked_sub(1) else { return Err(invalid("fields are nested too deep")) };
        match kind {
            Kind::Boolean => Ok(()),
            Kind::Byte => self.byte().map(drop),
            Kind::Integer => self.varint().map(drop),
            Kind::Double => self.skip_bytes(8),
            Kind::Uuid => self.skip_bytes(16),
            Kind::Binary => {
                let length = self.varint()?;
                self.skip_bytes(length)
            }
            Kind::List => {
                let (kind, count) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(kind, depth))
            }
            Kind::Map => {
                let count = self.varint()?;
                if count == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                let (key, value) = (Kind::of(kinds >> 4)?, Kind::of(kinds & 0x0f)?);
                (0..count).try_for_each(|_| {
                    self.skip_element(key, depth)?;
                    self.skip_element(value, depth)
                })
            }
            Kind::Struct => self.fields(|this, _number, kind| this.skip_within(kind, depth)),
        }
    }

    /// Elements that are booleans have a byte, where fields have none.
    fn skip_element(&mut self, kind: Kind, depth: usize) -> io::Result<()> {
        if kind == Kind::Boolean { self.byte().map(drop) } else { self.skip_within(kind, depth) }
    }

    fn integer(&mut self) -> io::Result<i64> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0;
        for position in 0..VARINT_BYTES_MAX {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * position);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(invalid("a number in a header has no end"))
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        self.bytes += 1;
        Ok(byte[0])
    }

    fn skip_bytes(&mut self, count: u64) -> io::Result<()> {
        let passed = io::copy(&mut self.input.by_ref().take(count), &mut io::sink())?;
        self.bytes += passed;
        if passed == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields 1: i32 -3, 2: list of two booleans, 3: map of one string to a double, 5: struct of a string, 21: i64 300.
    const HEADER: [u8; 29] = [
        0x15, 5, 0x19, 0x21, 1, 2, 0x1b, 1, 0x87, 2, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 0, 0x2c, 0x18, 1, b'c', 0, 0x06,
        42, 0xd8, 0x04,
    ];

    #[test]
    fn fields_of_interest_are_read_and_others_are_passed_over() {
        let bytes = [&HEADER[..], &[0, 0xff]].concat();
        let mut input = Compact::new(&bytes[..]);
        let mut read = Vec::new();
        input
            .fields(|input, number, kind| {
                if kind == Kind::Integer {
                    read.push((number, input.integer_of(kind)?));
                    return Ok(());
                }
                input.skip(kind)
            })
            .unwrap();
        assert_eq!(read, [(1, -3), (21, 300)]);
        assert_eq!(input.bytes(), 30);
        for length in 0..30 {
            let cut = Compact::new(&bytes[..length]).fields(|input, _number, kind| input.skip(kind));
            assert!(cut.is_err(), "of {length} bytes");
        }
    }

    #[test]
    fn fields_that_are_nested_without_end_are_refused() {
        let structs = vec![0x1c; 1 << 20];
        let lists = [&[0x19][..], &[0x19; 1 << 20]].concat();
        for bytes in [structs, lists] {
            let error = Compact::new(&bytes[..]).fields(|input, _number, kind| input.skip(kind)).unwrap_err();
            assert_eq!(error.to_string(), "fields are nested too deep");
        }
    }
}
