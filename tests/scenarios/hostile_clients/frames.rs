//! HTTP/2 by hand, as no well-behaved client would send it.

/// What a client sends first: the preface, and SETTINGS without any.
pub(crate) const HANDSHAKE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// A frame of any kind, valid or not.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[high, middle, low, kind, flags][..], &stream.to_be_bytes(), payload].concat()
}

/// SETTINGS with a window of so many bytes for each stream.
pub(crate) fn window(bytes: u32) -> Vec<u8> {
    let mut payload = vec![0, 4];
    payload.extend(bytes.to_be_bytes());
    frame(SETTINGS, 0, 0, &payload)
}

/// The headers of a call, in HPACK without tables or Huffman's code.
pub(crate) fn call(stream: u32, path: &str, flags: u8) -> Vec<u8> {
    // POST and http of the static table; path, authority and content-type by the table's names.
    let mut block = vec![0x83, 0x86];
    let mut text = |name: &[u8], value: &str| {
        block.extend(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    };
    text(&[0x04], path);
    text(&[0x01], "h");
    text(&[0x0f, 0x10], "application/grpc");
    text(&[0x00, 2, b't', b'e'], "trailers");
    frame(HEADERS, flags | END_HEADERS, stream, &block)
}

/// A message as gRPC frames it, in one frame of data that ends the request.
pub(crate) fn message(stream: u32, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let payload = [&[0][..], &length, message].concat();
    let mut frames = Vec::new();
    let mut chunks = payload.chunks(16 << 10).peekable();
    while let Some(chunk) = chunks.next() {
        let flags = if chunks.peek().is_none() { END_STREAM } else { 0 };
        frames.extend(frame(DATA, flags, stream, chunk));
    }
    frames
}
