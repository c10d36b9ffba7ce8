//! A small SMTP client that sends what it is told and says what was answered.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(70);

/// A session.
pub struct Client {
    stream: BufReader<TcpStream>,
    pipelining: bool,
}

impl Client {
    /// Connects, and says EHLO.
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream: BufReader::new(stream),
            pipelining: false,
        };
        let greeting = client.answer()?;
        if !greeting.starts_with("220 ") {
            return Err(io::Error::other(greeting));
        }
        client.stream.get_mut().write_all(b"EHLO client.test\r\n")?;
        let extensions = client.answer_lines()?;
        client.pipelining = extensions
            .iter()
            .any(|line| line.get(4..) == Some("PIPELINING"));
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
        let recipients = to.iter().map(|to| format!("RCPT TO:<{to}>\r\n"));
        let mut commands = vec![format!("MAIL FROM:<{from}>\r\n")];
        commands.extend(recipients);
        commands.push("DATA\r\n".into());
        if self.pipelining {
            let all = commands.concat();
            self.stream.get_mut().write_all(all.as_bytes())?;
        }
        let (mut refused, mut go) = (None, String::new());
        for command in &commands {
            if !self.pipelining {
                self.stream.get_mut().write_all(command.as_bytes())?;
            }
            go = self.answer()?;
            if refused.is_none() && go.starts_with(['4', '5']) {
                refused = Some(go.clone());
            }
        }
        if !go.starts_with("354") {
            // What was refused first says why; what follows from it says less.
            return Ok(refused.unwrap_or(go));
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

    /// The last line of the next answer.
    pub fn answer(&mut self) -> io::Result<String> {
        Ok(self.answer_lines()?.pop().unwrap_or_default())
    }

    /// All lines of an answer, at least one.
    fn answer_lines(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line.trim_end().to_owned());
            if last {
                return Ok(lines);
            }
        }
    }
}
