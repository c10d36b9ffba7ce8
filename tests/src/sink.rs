//! An SMTP server that takes everything and remembers it, so that a test sees what was handed over, octet for octet.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// A message that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Without angle brackets.
    pub reverse_path: String,
    /// Without angle brackets.
    pub forward_paths: Vec<String>,
    /// As it was before dot-stuffing, with CRLF lines.
    pub content: Vec<u8>,
}

/// A sink; it listens until the test ends.
pub struct Sink {
    port: u16,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl Sink {
    /// Listens on a free loopback port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let sink = Self {
            port: listener.local_addr()?.port(),
            taken: Arc::default(),
        };
        let taken = Arc::clone(&sink.taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let taken = Arc::clone(&taken);
                // A client that goes away ends its session and nothing else.
                std::thread::spawn(move || session(stream, &taken));
            }
        });
        Ok(sink)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it took so far.
    pub fn taken(&self) -> Vec<Taken> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.clone()
    }
}

fn session(mut stream: TcpStream, taken: &Mutex<Vec<Taken>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    stream.write_all(b"220 sink.test\r\n")?;
    let (mut reverse_path, mut forward_paths) = (String::new(), Vec::new());
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer: &[u8] = match verb.as_str() {
            "EHLO" => b"250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE\r\n",
            "MAIL" => {
                reverse_path = path(&line);
                forward_paths.clear();
                b"250 2.1.0 good\r\n"
            }
            "RCPT" => {
                forward_paths.push(path(&line));
                b"250 2.1.5 good\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                let content = content(&mut reader)?;
                let message = Taken {
                    reverse_path: std::mem::take(&mut reverse_path),
                    forward_paths: std::mem::take(&mut forward_paths),
                    content,
                };
                let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
                taken.push(message);
                b"250 2.0.0 taken\r\n"
            }
            "QUIT" => {
                stream.write_all(b"221 2.0.0 bye\r\n")?;
                return Ok(());
            }
            _ => b"250 2.0.0 good\r\n",
        };
        stream.write_all(answer)?;
    }
}

/// What stands between the first angle bracket and the last.
fn path(line: &str) -> String {
    let open = line.find('<').map_or(line.len(), |at| at + 1);
    let close = line.rfind('>').unwrap_or(line.len());
    line.get(open..close).unwrap_or_default().to_owned()
}

fn content(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let mut line = Vec::new();
        // Only CRLF ends a line: an LF alone is content.
        while !line.ends_with(b"\r\n") {
            if reader.read_until(b'\n', &mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if line == b".\r\n" {
            return Ok(content);
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Client;

    #[test]
    fn what_is_sent_is_remembered_as_it_was() {
        let sink = Sink::start().unwrap();
        let mut client = Client::connect(sink.port()).unwrap();
        let to = ["b@c.test".to_owned(), "d@c.test".to_owned()];
        for content in [&b".\r\n..x\r\n\xFF\r\n"[..], b""] {
            let answer = client.send("a@b.test", &to, content).unwrap();
            assert!(answer.starts_with("250"), "{answer}");
        }
        let taken = sink.taken();
        assert_eq!(taken[0].content, b".\r\n..x\r\n\xFF\r\n");
        assert_eq!(taken[1].content, b"");
        assert_eq!(taken[1].reverse_path, "a@b.test");
        assert_eq!(taken[1].forward_paths, to);
    }
}
