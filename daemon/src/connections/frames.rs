//! How many frames a client sends that ask for work without bringing anything.

/// What HTTP/2 connections begin with, in bytes.
const PREFACE_BYTES: usize = 24;
/// The header of a frame, in bytes.
const HEADER_BYTES: usize = 9;
/// The type of frames that bring data.
const DATA: u8 = 0;
/// Frames of data with fewer bytes count as well: they are hardly less work than none.
const SMALL_DATA_BYTES: usize = 128;

/// Follows the frames in what is received, of which only the headers are looked at.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes until the next header.
    skip: usize,
    header: [u8; HEADER_BYTES],
    /// How much of the header is there.
    have: usize,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self { skip: PREFACE_BYTES, header: [0; HEADER_BYTES], have: 0 }
    }

    /// Takes what was received next, and returns how many frames began in it that bring next to nothing.
    pub(super) fn count(&mut self, mut received: &[u8]) -> u64 {
        let mut idle = 0;
        loop {
            let skipped = self.skip.min(received.len());
            self.skip -= skipped;
            received = &received[skipped..];
            if received.is_empty() {
                return idle;
            }
            let taken = (HEADER_BYTES - self.have).min(received.len());
            self.header[self.have..self.have + taken].copy_from_slice(&received[..taken]);
            self.have += taken;
            received = &received[taken..];
            if self.have == HEADER_BYTES {
                self.have = 0;
                let [high, middle, low, kind, ..] = self.header;
                self.skip = u32::from_be_bytes([0, high, middle, low]) as usize;
                idle += u64::from(kind != DATA || self.skip < SMALL_DATA_BYTES);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let [_, high, middle, low] = u32::try_from(length).unwrap().to_be_bytes();
        [&[high, middle, low, kind, 0, 0, 0, 0, 1][..], &vec![kind; length]].concat()
    }

    proptest! {
        #[test]
        fn frames_are_counted_however_they_are_cut(
            frames in prop::collection::vec((0u8..12, 0usize..300), 0..20),
            cuts in prop::collection::vec(1usize..40, 1..50),
        ) {
            let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            frames.iter().for_each(|(kind, length)| sent.extend(frame(*kind, *length)));
            let (mut meter, mut counted, mut rest, mut cut) = (Frames::new(), 0, &sent[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cut.next().unwrap()).min(rest.len()));
                counted += meter.count(now);
                rest = later;
            }
            let idle = frames.iter().filter(|(kind, length)| *kind != 0 || *length < 128).count();
            prop_assert_eq!(counted, idle as u64);
        }
    }
}
