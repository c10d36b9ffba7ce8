//! A command's way to the daemon: the control socket.

use crate::config::Config;
use crate::ipc::control::{Answer, Request};
use crate::ipc::{self, Misbehaved};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long a command waits for an answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// A connection to the daemon.
pub struct Control {
    stream: UnixStream,
    input: Vec<u8>,
}

impl Control {
    /// Connects; the error tells nobody listening from not being permitted.
    pub fn connect(config: &Config) -> io::Result<Self> {
        let stream = UnixStream::connect(config.control_socket())?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        Ok(Self {
            stream,
            input: Vec::new(),
        })
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, request: &Request) -> io::Result<(Answer, Vec<u8>)> {
        let mut out = Vec::new();
        ipc::encode(request, &[], 0, &mut out).map_err(io::Error::other)?;
        self.stream.write_all(&out)?;
        loop {
            if let Some(frame) = ipc::decode::<Answer>(&self.input).map_err(io::Error::other)? {
                let (answer, tail, octets) = (frame.head, frame.tail.to_vec(), frame.octets);
                self.input.drain(..octets);
                return Ok((answer, tail));
            }
            let mut piece = [0; 16 * 1024];
            match self.stream.read(&mut piece)? {
                0 => {
                    return Err(io::Error::other(Misbehaved(
                        "the daemon closed the connection",
                    )));
                }
                count => self.input.extend_from_slice(&piece[..count]),
            }
        }
    }
}
