//! The sink: an SMTP server that takes everything as fast as one thread can, keeps nothing, and tells [`Arrivals`] of
//! each message. It stands for the next hop of a relay, and behind the load tool it is the loopback's ceiling.

use crate::arrivals::Arrivals;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Octets asked of a socket at once.
const READ_OCTETS: usize = 64 * 1024;
/// Largest message; one that is larger ends its session.
const MESSAGE_OCTETS: usize = 128 * 1024 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// Names the listener among the epoll's events; connections are named by their place.
const LISTENER: u64 = u64::MAX;

/// A sink that runs until the process ends.
pub struct Sink {
    address: SocketAddr,
    arrivals: Arc<Mutex<Arrivals>>,
}

impl Sink {
    /// Opens the sink on a free port of loopback, or on the one given, and starts its thread.
    pub fn start(port: u16, arrivals: Arrivals) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        rustix::net::listen(&listener, BACKLOG)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let arrivals = Arc::new(Mutex::new(arrivals));
        let told = Arc::clone(&arrivals);
        std::thread::Builder::new()
            .name("sink".into())
            .spawn(move || {
                let error = serve(&listener, &told).expect_err("the sink runs until it fails");
                eprintln!("bench: the sink failed: {error}");
                std::process::exit(1);
            })?;
        Ok(Self { address, arrivals })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on messages are of this load.
    pub fn expect(&self, arrivals: Arrivals) {
        *self.arrivals.lock().unwrap_or_else(PoisonError::into_inner) = arrivals;
    }
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    out: Vec<u8>,
    /// Within content; where the search for its end goes on.
    content: Option<usize>,
}

fn serve(listener: &TcpListener, arrivals: &Mutex<Arrivals>) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let listening = epoll::EventData::new_u64(LISTENER);
    epoll::add(&epoll, listener, listening, epoll::EventFlags::IN)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Vec::with_capacity(256);
    let mut buffer = vec![0; READ_OCTETS];
    loop {
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result?,
        };
        let current = arrivals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for event in events.drain(..) {
            if event.data.u64() == LISTENER {
                accept(listener, &epoll, &mut connections)?;
                continue;
            }
            let place = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let Some(Some(connection)) = connections.get_mut(place) else {
                continue;
            };
            // A client that went away took its unfinished message with it; it will send it again.
            if !connection.turn(&mut buffer, &current).unwrap_or(false) {
                connections[place] = None;
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    epoll: &OwnedFd,
    connections: &mut Vec<Option<Connection>>,
) -> io::Result<()> {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let place = connections.iter().position(Option::is_none);
        let place = place.unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        let data = epoll::EventData::new_u64(place as u64);
        epoll::add(epoll, &stream, data, interest)?;
        connections[place] = Some(Connection {
            stream,
            input: Vec::new(),
            out: b"220 sink.test ESMTP\r\n".to_vec(),
            content: None,
        });
    }
}

impl Connection {
    /// Does what can be done now; false when the session is over.
    fn turn(&mut self, buffer: &mut [u8], arrivals: &Arrivals) -> io::Result<bool> {
        self.flush()?;
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            self.input.extend_from_slice(&buffer[..read]);
            let go_on = self.take(arrivals);
            if self.out.is_empty() {
                // A client that sends a content in small pieces may wait for each to be acknowledged (Nagle's
                // algorithm); without a reply to ride on that takes 40 ms, and would be all that is measured.
                rustix::net::sockopt::set_tcp_quickack(&self.stream, true)?;
            }
            self.flush()?;
            if !go_on || self.input.len() > MESSAGE_OCTETS {
                return Ok(false);
            }
            if read < buffer.len() {
                return Ok(true);
            }
        }
    }

    /// Takes commands and contents that came whole; false after QUIT.
    fn take(&mut self, arrivals: &Arrivals) -> bool {
        let mut used = 0;
        loop {
            let rest = &self.input[used..];
            if let Some(from) = self.content {
                let Some(end) = content_end(rest, from) else {
                    // The end may be cut anywhere in its five octets.
                    self.content = Some(rest.len().saturating_sub(4));
                    break;
                };
                arrivals.take_wire(&rest[..end]);
                used += end + b".\r\n".len();
                self.content = None;
                self.out.extend_from_slice(b"250 2.0.0 taken\r\n");
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', rest) else {
                break;
            };
            let verb = rest.get(..4).unwrap_or_default().to_ascii_uppercase();
            used += end + 1;
            let reply: &[u8] = match &verb[..] {
                b"EHLO" => b"250-sink.test\r\n250-PIPELINING\r\n250-SIZE\r\n250 8BITMIME\r\n",
                b"DATA" => {
                    self.content = Some(0);
                    b"354 go\r\n"
                }
                b"QUIT" => b"221 2.0.0 bye\r\n",
                b"HELO" | b"MAIL" | b"RCPT" | b"RSET" | b"NOOP" => b"250 2.0.0 ok\r\n",
                _ => b"500 5.5.2 what\r\n",
            };
            self.out.extend_from_slice(reply);
            if verb == b"QUIT" {
                return false;
            }
        }
        self.input.drain(..used);
        true
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.out.len() {
            match self.stream.write(&self.out[sent..]) {
                Ok(taken) => sent += taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.out.drain(..sent);
        Ok(())
    }
}

/// Where the line of a dot begins that ends the content; looked for from `from` on.
fn content_end(rest: &[u8], from: usize) -> Option<usize> {
    if from == 0 && rest.starts_with(b".\r\n") {
        return Some(0);
    }
    memchr::memmem::find(&rest[from..], b"\r\n.\r\n").map(|at| from + at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{self, Plan};
    use crate::message::Template;
    use std::time::Duration;

    #[test]
    fn the_end_of_content_is_found_wherever_the_input_is_cut() {
        let whole = b"a\r\n..\r\n.b\r\n.\r\nNOOP\r\n";
        for cut in 0..whole.len() {
            let mut from = 0;
            let mut found = content_end(&whole[..cut], from);
            if found.is_none() {
                from = cut.saturating_sub(4);
                found = content_end(whole, from);
            }
            assert_eq!(found, Some(11), "cut at {cut}");
        }
    }

    #[test]
    fn what_the_load_tool_sends_arrives_once_and_whole() {
        let arrivals = Arrivals::new(77);
        let sink = Sink::start(0, arrivals.clone()).unwrap();
        for pipelining in [true, false] {
            let arrivals = Arrivals::new(77);
            sink.expect(arrivals.clone());
            let plan = Plan {
                to: sink.address(),
                domain: "bench.test".into(),
                sessions: 7,
                messages: 500,
                time: None,
                per_connection: 3,
                pipelining,
            };
            let sent = load::run(&plan, &mut Template::new(77, 200_000)).unwrap();
            assert_eq!((sent.accepted, sent.pipelined), (500, pipelining));
            assert!(crate::arrivals::wait(
                || arrivals.came(),
                500,
                Duration::from_secs(20)
            ));
            assert!(arrivals.faults(500).none());
        }
    }
}
