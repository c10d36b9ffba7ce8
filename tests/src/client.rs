//! A small SMTP client that sends what it is told and says what was answered.

use crate::{Authority, leaks};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(70);

/// A connection, in clear or under TLS.
trait Wire: Read + Write + Send {
    /// Says that nothing more comes: under TLS by its own word, and then puts these octets behind it in clear.
    fn end(&mut self, behind: &[u8]) -> io::Result<()>;
}

impl Wire for TcpStream {
    fn end(&mut self, behind: &[u8]) -> io::Result<()> {
        self.write_all(behind)?;
        self.shutdown(Shutdown::Write)
    }
}

impl Wire for StreamOwned<ClientConnection, TcpStream> {
    fn end(&mut self, behind: &[u8]) -> io::Result<()> {
        self.conn.send_close_notify();
        self.flush()?;
        self.sock.write_all(behind)
    }
}

fn shake(stream: &mut TcpStream, name: &str, by: &Authority) -> io::Result<ClientConnection> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(by.trusted(), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(stream)?;
    }
    Ok(connection)
}

/// Commands with their chunks that are put on the wire before an answer is read.
const CHUNKS_AT_ONCE: usize = 50;

/// A session.
pub struct Client {
    stream: BufReader<Box<dyn Wire>>,
    pipelining: bool,
    /// It is a server of ours: what it says is searched for what it must not tell.
    is_ours: bool,
}

impl Client {
    /// Connects, and says EHLO.
    pub fn connect(port: u16) -> io::Result<Self> {
        Self::connect_to(port, true)
    }

    /// The same, to a server that is none of ours.
    pub fn connect_to_peer(port: u16) -> io::Result<Self> {
        Self::connect_to(port, false)
    }

    fn connect_to(port: u16, is_ours: bool) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.set_nodelay(true)?;
        let mut client = Self::over(Box::new(stream));
        client.is_ours = is_ours;
        let greeting = client.answer()?;
        if !greeting.starts_with("220 ") {
            return Err(io::Error::other(greeting));
        }
        client.hello()?;
        Ok(client)
    }

    fn over(stream: Box<dyn Wire>) -> Self {
        Self {
            stream: BufReader::new(stream),
            pipelining: false,
            is_ours: true,
        }
    }

    /// Says EHLO; gives what was offered.
    pub fn hello(&mut self) -> io::Result<Vec<String>> {
        self.stream.get_mut().write_all(b"EHLO client.test\r\n")?;
        let extensions = self.answer_lines()?;
        let pipelining = |line: &String| line.get(4..) == Some("PIPELINING");
        self.pipelining = extensions.iter().any(pipelining);
        Ok(extensions)
    }

    /// Connects, and goes on under TLS once the server has shown a certificate of this name that the authority made.
    /// Gives the certificate too, in DER.
    pub fn connect_tls(port: u16, name: &str, by: &Authority) -> io::Result<(Self, Vec<u8>)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.set_nodelay(true)?;
        let mut clear = Self::over(Box::new(stream.try_clone()?));
        for command in ["", "EHLO client.test\r\n", "STARTTLS\r\n"] {
            stream.write_all(command.as_bytes())?;
            let answer = clear.answer()?;
            if !answer.starts_with('2') {
                return Err(io::Error::other(answer));
            }
        }
        let connection = shake(&mut stream, name, by)?;
        let shown = connection.peer_certificates().and_then(<[_]>::first);
        let shown = shown.map(|der| der.to_vec()).unwrap_or_default();
        let client = Self::secure(connection, stream, false)?;
        Ok((client, shown))
    }

    /// Connects where TLS is spoken at once (RFC 8314 §3.3).
    pub fn connect_tls_at_once(port: u16, name: &str, by: &Authority) -> io::Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(ANSWER_WAIT))?;
        stream.set_nodelay(true)?;
        let connection = shake(&mut stream, name, by)?;
        Self::secure(connection, stream, true)
    }

    fn secure(
        connection: ClientConnection,
        stream: TcpStream,
        is_greeted: bool,
    ) -> io::Result<Self> {
        let mut client = Self::over(Box::new(StreamOwned::new(connection, stream)));
        if is_greeted {
            let greeting = client.answer()?;
            if !greeting.starts_with("220 ") {
                return Err(io::Error::other(greeting));
            }
        }
        let offered = client.hello()?;
        if offered.iter().any(|line| line.contains("STARTTLS")) {
            return Err(io::Error::other("TLS is offered within TLS"));
        }
        Ok(client)
    }

    /// Logs in by PLAIN (RFC 4616); gives the answer.
    pub fn log_in(&mut self, user: &str, password: &str) -> io::Result<String> {
        let said = format!("\0{user}\0{password}");
        let said = data_encoding::BASE64.encode(said.as_bytes());
        self.say(&format!("AUTH PLAIN {said}"))
    }

    /// Sends a line and gives the last line of the answer.
    pub fn say(&mut self, line: &str) -> io::Result<String> {
        self.stream
            .get_mut()
            .write_all(format!("{line}\r\n").as_bytes())?;
        self.answer()
    }

    /// Puts octets on the wire and waits for nothing.
    pub fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(octets)
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

    /// Sends a message in chunks of these sizes, again and again until there is no more of it. Where the server has
    /// PIPELINING nothing is waited for. Gives all answers, that to the last chunk at the end.
    pub fn send_chunks(
        &mut self,
        from: &str,
        to: &[String],
        content: &[u8],
        sizes: &[usize],
    ) -> io::Result<Vec<String>> {
        let mut parts = vec![format!("MAIL FROM:<{from}>\r\n").into_bytes()];
        parts.extend(
            to.iter()
                .map(|to| format!("RCPT TO:<{to}>\r\n").into_bytes()),
        );
        let mut rest = content;
        for size in sizes.iter().cycle() {
            let (chunk, next) = rest.split_at((*size).min(rest.len()));
            let last = if next.is_empty() { " LAST" } else { "" };
            let command = format!("BDAT {}{last}\r\n", chunk.len());
            parts.push([command.as_bytes(), chunk].concat());
            rest = next;
            if rest.is_empty() {
                break;
            }
        }
        let mut answers = Vec::new();
        if self.pipelining {
            // As many as the way to the server and back has room for.
            for parts in parts.chunks(CHUNKS_AT_ONCE) {
                self.put(&parts.concat())?;
                for _ in parts {
                    answers.push(self.answer()?);
                }
            }
        } else {
            for part in &parts {
                self.put(part)?;
                answers.push(self.answer()?);
            }
        }
        Ok(answers)
    }

    /// Says that nothing more comes: under TLS by its own word, and then puts these octets behind it in clear.
    pub fn end(&mut self, behind: &[u8]) -> io::Result<()> {
        self.stream.get_mut().end(behind)
    }

    /// All that the server still says, until it closes.
    pub fn rest(&mut self) -> String {
        let mut said = Vec::new();
        // Where the server ends with octets of ours unread the kernel says so, behind what was said.
        let _ = self.stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said).into_owned();
        if self.is_ours {
            leaks::look(&said);
        }
        said
    }

    /// The same session, but nothing is said before the answer to what was said.
    pub fn without_pipelining(mut self) -> Self {
        self.pipelining = false;
        self
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
            if self.is_ours {
                leaks::look(&line);
            }
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line.trim_end().to_owned());
            if last {
                return Ok(lines);
            }
        }
    }
}
