//! What the virtual peers share: lines over a stream, and patience.

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Octets that a connection holds between its ends.
pub const PIPE_OCTETS: usize = 64 * 1024;

/// A connection, read line by line.
pub struct Wire {
    stream: DuplexStream,
    input: Vec<u8>,
}

impl Wire {
    /// One end.
    pub fn new(stream: DuplexStream) -> Self {
        Self {
            stream,
            input: Vec::new(),
        }
    }

    /// The next line, with its end; `None`: the other end is gone, or was silent for `patience`.
    pub async fn line(&mut self, patience: Duration) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                return Some(self.input.drain(..end + 2).collect());
            }
            let reading = self.stream.read_buf(&mut self.input);
            match tokio::time::timeout(patience, reading).await {
                Ok(Ok(1..)) => {}
                _ => return None,
            }
        }
    }

    /// Sends octets; false when nobody takes them.
    pub async fn send(&mut self, octets: &[u8], patience: Duration) -> bool {
        let writing = self.stream.write_all(octets);
        matches!(tokio::time::timeout(patience, writing).await, Ok(Ok(())))
    }
}
