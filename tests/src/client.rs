//! A small SMTP client that sends what it is told and says what was answered.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(70);

/// A session.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects, and says EHLO.
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream: BufReader::new(stream),
        };
        let greeting = client.answer()?;
        if !greeting.starts_with("220 ") {
            return Err(io::Error::other(greeting));
        }
        client.say("EHLO client.test")?;
        Ok(client)
    }

    /// Sends a line and gives the last line of the answer.
    pub fn say(&mut self, line: &str) -> io::Result<String> {
        self.stream
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())?;
        self.answer()
    }

    /// Sends a message; content has CRLF lines and is dot-stuffed here. Gives the answer to its end.
    pub fn send(&mut self, from: &str, to: &[String], content: &[u8]) -> io::Result<String> {
        let recipients: Vec<String> = to.iter().map(|to| format!("RCPT TO:<{to}>\r\n")).collect();
        let commands = format!("MAIL FROM:<{from}>\r\n{}DATA\r\n", recipients.concat());
        self.stream.get_mut().write_all(commands.as_bytes())?;
        for _ in 0..=to.len() {
            self.answer()?;
        }
        let go = self.answer()?;
        if !go.starts_with("354") {
            return Ok(go);
        }
        let mut wire = Vec::with_capacity(content.len() + 5);
        for line in content.split_inclusive(|b| *b == b'\n') {
            if line.starts_with(b".") {
                wire.push(b'.');
            }
            wire.extend_from_slice(line);
        }
        wire.extend_from_slice(b".\r\n");
        self.stream.get_mut().write_all(&wire)?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<String> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line.trim_end().to_owned());
            }
        }
    }
}
