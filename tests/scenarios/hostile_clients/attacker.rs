//! A client without manners.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpSocket;

use super::frames::HANDSHAKE;

/// Pause when neither direction of a socket moves.
const PAUSE: Duration = Duration::from_millis(1);

/// One of several threads that attack a daemon until they are told to stop.
pub(crate) struct Attacker<'a> {
    pub(crate) address: &'a str,
    pub(crate) number: u8,
    pub(crate) stop: &'a AtomicBool,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Attacker<'a> {
    pub(crate) fn new(address: &'a str, number: u8, stop: &'a AtomicBool) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        Self { address, number, stop, runtime }
    }

    pub(crate) fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Connects from an address of the attackers' own; none where the daemon does not take it.
    pub(crate) fn tcp(&self) -> Option<TcpStream> {
        let connected = self.runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(([127, 0, 0, 2], 0).into())?;
            socket.connect(self.address.parse().unwrap()).await?.into_std()
        });
        connected.ok()
    }

    /// Connects and begins to speak HTTP/2.
    pub(crate) fn http2(&self) -> Option<TcpStream> {
        let mut socket = self.tcp()?;
        send(&mut socket, HANDSHAKE, self.stop).then_some(socket)
    }

    /// Sends the same bytes again and again, on a new connection whenever the daemon has had enough of one.
    pub(crate) fn flood(&self, first: &[u8], again: &[u8]) {
        let again = again.repeat((64 << 10) / again.len() + 1);
        while self.goes_on() {
            let Some(mut socket) = self.http2() else { continue };
            if send(&mut socket, first, self.stop) {
                while send(&mut socket, &again, self.stop) {}
            }
        }
    }

    /// Keeps what it has until it is told to stop.
    pub(crate) fn wait(&self) {
        while self.goes_on() {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Sends all bytes and throws away what comes meanwhile; `false` when the daemon hangs up, or the attack is over.
pub(crate) fn send(socket: &mut TcpStream, mut bytes: &[u8], stop: &AtomicBool) -> bool {
    while !bytes.is_empty() {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let sent = match socket.write(bytes) {
            Ok(0) => return false,
            Ok(sent) => sent,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_hung_up) => return false,
        };
        bytes = &bytes[sent..];
        if !drain(socket) {
            return false;
        }
        if sent == 0 {
            std::thread::sleep(PAUSE);
        }
    }
    true
}

/// Throws away what has come; `false` when the daemon has hung up.
pub(crate) fn drain(socket: &mut TcpStream) -> bool {
    loop {
        match socket.read(&mut [0; 16 << 10]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}
