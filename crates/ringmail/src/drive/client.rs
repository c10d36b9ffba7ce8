//! One connection to a next hop, over TCP or a Unix socket: feeds the client brain and does what it puts
//! out. Used by relay for SMTP and by local for LMTP.

use super::clock::Clock;
use super::edge::Stream;
use super::login::Logins;
use super::tls::Agreed;
use super::tls::client::Dialer;
use super::ungreeted::Turn;
use mail::seven_bit::{Conversion, Survey};
use mail::{Cause, Class, Detail, Ending, Host, Outcome, Status, Time};
use smtp::client::{Answer, Message, Output, Parameters, Session};
use smtp::content::Stuffing;
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Content is put on the wire in pieces of this size.
const PIECE_OCTETS: usize = 64 * 1024;
/// Octets asked of the socket at once.
const READ_OCTETS: usize = 8 * 1024;

/// The content of one message, with the trace field before it.
pub struct Source {
    /// Stands before the content.
    pub trace: Box<str>,
    /// The content itself.
    pub content: SourceContent,
}

/// Where content is read from.
pub enum SourceContent {
    /// Memory.
    Memory(Vec<u8>),
    /// A file open for reading, and its length.
    File(File, u64),
}

impl Source {
    /// Octets of trace field and content.
    pub fn octets(&self) -> u64 {
        let content = match &self.content {
            SourceContent::Memory(octets) => octets.len() as u64,
            SourceContent::File(_, octets) => *octets,
        };
        self.trace.len() as u64 + content
    }

    /// Reads the piece at `offset`, counted from the trace field's first octet; empty at the end.
    pub fn piece(&self, offset: u64) -> io::Result<Cow<'_, [u8]>> {
        let trace = self.trace.as_bytes();
        let past = match usize::try_from(offset) {
            Ok(offset) if offset < trace.len() => return Ok(Cow::Borrowed(&trace[offset..])),
            _ => offset - trace.len() as u64,
        };
        match &self.content {
            SourceContent::Memory(octets) => {
                let start = usize::try_from(past)
                    .unwrap_or(usize::MAX)
                    .min(octets.len());
                let end = start.saturating_add(PIECE_OCTETS).min(octets.len());
                Ok(Cow::Borrowed(&octets[start..end]))
            }
            SourceContent::File(file, octets) => {
                let left = usize::try_from(octets.saturating_sub(past)).unwrap_or(usize::MAX);
                let mut piece = vec![0; left.min(PIECE_OCTETS)];
                file.read_exact_at(&mut piece, past)?;
                Ok(Cow::Owned(piece))
            }
        }
    }
}

/// How long a next hop may take to take our QUIT.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);

/// A session with a next hop and its connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    session: Session,
    input: Vec<u8>,
    clock: Clock,
    host: Host,
    /// The host is one of a private network.
    inner: bool,
    /// Begins TLS when the session wants it.
    dialer: Option<Dialer>,
    /// Why that failed.
    unshaken: Option<io::Error>,
    /// Asked for what the login needs said.
    logins: Option<Rc<Logins>>,
    /// Held until the greeting comes.
    turn: Option<Turn>,
    converted: Option<Converted>,
}

/// Content with octets above 127 was written in seven bits.
#[derive(Clone, Copy, Debug)]
pub struct Converted {
    /// How many parts were encoded anew; where none was, header fields were.
    pub parts: u32,
    /// Whether a signature stands in it that does not hold any more.
    pub signed: bool,
}

/// How one message went.
pub enum Went {
    /// An outcome for each recipient.
    Outcomes(Vec<Ending>),
    /// The session was of no use before anything was decided; another host may be.
    Unusable(Cause),
    /// No TLS came to be, and nothing was decided. The connection is of no use; another may be.
    Unshaken(io::Error),
}

impl Connection {
    /// A connection to this host that was just made.
    pub fn new(stream: Box<dyn Stream>, host: Host, parameters: Parameters, clock: Clock) -> Self {
        let session = Session::new(parameters, Time::from_micros(clock.now_micros()));
        Self {
            stream,
            session,
            input: Vec::new(),
            clock,
            host,
            inner: false,
            dialer: None,
            unshaken: None,
            logins: None,
            turn: None,
            converted: None,
        }
    }

    /// The same, under TLS when the session begins it.
    pub fn with_tls(mut self, dialer: Dialer) -> Self {
        self.dialer = Some(dialer);
        self
    }

    /// The same, which is under TLS already.
    pub fn under_tls(mut self, agreed: &Agreed) -> Self {
        self.host.tls = Detail::new(&agreed.to_string());
        self
    }

    /// The same, which asks for what its login needs said.
    pub fn with_login(mut self, logins: Rc<Logins>) -> Self {
        self.logins = Some(logins);
        self
    }

    /// The same, which holds this until it is greeted or ends.
    pub fn ungreeted(mut self, turn: Turn) -> Self {
        self.turn = Some(turn);
        self
    }

    /// The same, to a host of a private network: what it says is marked as not to be told.
    pub fn to_inner_host(mut self) -> Self {
        self.inner = true;
        self
    }

    /// Whom it is to.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What was done to the last message's content, where the host takes seven bits only.
    pub fn converted(&self) -> Option<Converted> {
        self.converted
    }

    /// Whether it ended because the login was refused for good.
    pub fn is_login_refused(&self) -> bool {
        self.session.is_login_refused()
    }

    /// Whether it can take another message.
    pub fn is_usable(&self) -> bool {
        !self.session.is_closed()
    }

    /// Sends one message.
    pub async fn deliver(&mut self, message: Message, source: &Source) -> Went {
        let went = self.talk(message, source).await;
        if !self.inner {
            return went;
        }
        match went {
            Went::Outcomes(mut outcomes) => {
                for ending in &mut outcomes {
                    ending.outcome.mark_inner();
                }
                Went::Outcomes(outcomes)
            }
            Went::Unusable(mut cause) => {
                if let Cause::Reply(reply) = &mut cause {
                    reply.inner = true;
                }
                Went::Unusable(cause)
            }
            unshaken @ Went::Unshaken(_) => unshaken,
        }
    }

    async fn talk(&mut self, message: Message, source: &Source) -> Went {
        let recipients = message.forward_paths.len();
        self.converted = None;
        let mut message = Some(message);
        if self.session.is_idle()
            && let Some(message) = message.take()
        {
            self.session.send(message, self.now());
        }
        let mut went = None;
        loop {
            while let Some(output) = self.session.poll() {
                match output {
                    Output::Content => {
                        if let Err(cause) = self.send_content(source).await {
                            self.broken(cause);
                        }
                    }
                    Output::SevenBitContent => {
                        if let Err(cause) = self.send_converted(source).await {
                            self.broken(cause);
                        }
                    }
                    Output::EmptyContent => {
                        let mut wire = std::mem::take(self.session.wire());
                        Stuffing::default().end(&mut wire);
                        if let Err(cause) = self.finish_content(wire).await {
                            self.broken(cause);
                        }
                    }
                    Output::Outcomes(outcomes) => went = Some(Went::Outcomes(outcomes)),
                    // A server that says one reply too many has ended the session by now.
                    Output::Idle if self.session.is_idle() => {
                        if let Some(message) = message.take() {
                            self.session.send(message, self.now());
                        }
                    }
                    Output::StartTls => self.begin_tls().await,
                    Output::Login(answer) => self.say_login(answer).await,
                    Output::Unusable(cause) => {
                        went = Some(match self.unshaken.take() {
                            Some(error) => Went::Unshaken(error),
                            None => Went::Unusable(cause),
                        });
                    }
                    Output::Idle | Output::Close => {}
                }
            }
            // A session that ends in any way says how it went before it does.
            if let Some(went) = went.take() {
                if self.session.is_closed() {
                    self.say_last_words().await;
                }
                return went;
            }
            if self.session.is_closed() {
                let cause = Cause::Ours(
                    Status::new(Class::Transient, 4, 2),
                    Cow::Borrowed("the connection to the next hop was lost"),
                );
                return match message {
                    Some(_) => Went::Unusable(cause),
                    None => Went::Outcomes(vec![Outcome::Deferred(cause).into(); recipients]),
                };
            }
            self.turn().await;
        }
    }

    async fn say_login(&mut self, answer: Answer) {
        let octets = match &self.logins {
            Some(logins) => logins.ask(answer).await,
            None => None,
        };
        let now = self.now();
        self.session
            .answer(octets.as_ref().map(|octets| &octets[..]), now);
    }

    async fn begin_tls(&mut self) {
        let stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let shaken = match &self.dialer {
            Some(dialer) => dialer.shake(stream).await,
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        match shaken {
            Ok((stream, agreed)) => {
                self.stream = stream;
                self.host.tls = Detail::new(&agreed.to_string());
                self.session.secured(self.now());
            }
            Err(error) => {
                self.unshaken = Some(error);
                self.session.lost();
            }
        }
    }

    /// Ends the session in order; what the other says to that does not matter.
    pub async fn quit(mut self) {
        self.session.quit(self.now());
        let end = async {
            while !self.session.is_closed() {
                while self.session.poll().is_some() {}
                self.turn().await;
            }
        };
        // Not worth waiting for.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), end).await;
        self.close().await;
    }

    /// Sends what is left on the wire of a session that is over: a QUIT. It is not waited for.
    async fn say_last_words(&mut self) {
        let wire = std::mem::take(self.session.wire());
        // A few octets: the socket takes them at once, or they do not matter.
        let _ = tokio::time::timeout(LAST_WORDS, self.stream.write_all(&wire)).await;
        self.close().await;
    }

    /// Says that nothing more comes, as TLS wants it said (RFC 8446 §6.1).
    async fn close(&mut self) {
        let _ = tokio::time::timeout(LAST_WORDS, self.stream.shutdown()).await;
    }

    fn now(&self) -> Time {
        Time::from_micros(self.clock.now_micros())
    }

    /// Our own content could not be read, or the connection broke while it was sent.
    fn broken(&mut self, _cause: io::Error) {
        self.session.lost();
    }

    /// Sends what is on the wire, then waits for octets, for the end, or for the session's time.
    async fn turn(&mut self) {
        let deadline = self.clock.instant_at(self.session.wake_at().as_micros());
        let wire = std::mem::take(self.session.wire());
        let work = async {
            self.stream.write_all(&wire).await?;
            // Under TLS octets may have been taken that there was no room for.
            self.stream.flush().await?;
            self.input.reserve(READ_OCTETS);
            self.stream.read_buf(&mut self.input).await
        };
        match tokio::time::timeout_at(deadline, work).await {
            Ok(Ok(1..)) => self.take_input(),
            Ok(_) => self.session.lost(),
            Err(_) => {
                let now = self.now();
                self.session.wake(now);
            }
        }
    }

    fn take_input(&mut self) {
        let now = self.now();
        let used = self.session.receive(&self.input, now);
        self.input.drain(..used);
        if self.session.is_greeted() {
            self.turn = None;
        }
    }

    /// Sends content as it is, and listens meanwhile: a server that has had enough says so early.
    async fn send_content(&mut self, source: &Source) -> io::Result<()> {
        let mut stuffing = Stuffing::default();
        let mut wire = std::mem::take(self.session.wire());
        let mut offset = 0;
        loop {
            let piece = source.piece(offset)?;
            if piece.is_empty() {
                break;
            }
            offset += piece.len() as u64;
            stuffing.write(&piece, &mut wire);
            self.send_large(&mut wire).await?;
            if self.session.is_closed() {
                return Ok(());
            }
        }
        stuffing.end(&mut wire);
        self.finish_content(wire).await
    }

    /// The same in seven bits: content is read once to know how, and once more to write it.
    async fn send_converted(&mut self, source: &Source) -> io::Result<()> {
        let mut survey = Survey::default();
        let mut offset = 0;
        loop {
            let piece = source.piece(offset)?;
            if piece.is_empty() {
                break;
            }
            offset += piece.len() as u64;
            survey.read(&piece);
            // Others have their turn.
            tokio::task::yield_now().await;
        }
        let plan = survey.end();
        self.converted = Some(Converted {
            parts: plan.parts(),
            signed: plan.breaks_signature(),
        });
        let mut conversion = Conversion::new(plan);
        let mut stuffing = Stuffing::default();
        let mut wire = std::mem::take(self.session.wire());
        let mut written = Vec::new();
        offset = 0;
        loop {
            let piece = source.piece(offset)?;
            if piece.is_empty() {
                break;
            }
            offset += piece.len() as u64;
            conversion.write(&piece, &mut written);
            stuffing.write(&written, &mut wire);
            written.clear();
            self.send_large(&mut wire).await?;
            if self.session.is_closed() {
                return Ok(());
            }
        }
        conversion.end(&mut written);
        stuffing.write(&written, &mut wire);
        stuffing.end(&mut wire);
        self.finish_content(wire).await
    }

    /// Sends what is there of content, if it is worth it.
    async fn send_large(&mut self, wire: &mut Vec<u8>) -> io::Result<()> {
        if wire.len() >= PIECE_OCTETS {
            self.send_listening(wire).await?;
            wire.clear();
        }
        Ok(())
    }

    /// Sends the last of content.
    async fn finish_content(&mut self, wire: Vec<u8>) -> io::Result<()> {
        self.send_listening(&wire).await?;
        if !self.session.is_closed() {
            self.session.content_sent(self.now());
        }
        Ok(())
    }

    /// Sends all of this, as far as the kernel has it, and listens meanwhile.
    async fn send_listening(&mut self, mut wire: &[u8]) -> io::Result<()> {
        let mut flushed = false;
        while !flushed && !self.session.is_closed() {
            let deadline = self.clock.instant_at(self.session.wake_at().as_micros());
            let (mut reading, mut writing) = tokio::io::split(&mut self.stream);
            self.input.reserve(READ_OCTETS);
            let sending = async {
                if wire.is_empty() {
                    writing.flush().await.map(|()| None)
                } else {
                    writing.write(wire).await.map(Some)
                }
            };
            tokio::select! {
                biased;
                sent = sending => {
                    match sent? {
                        Some(octets) => wire = &wire[octets..],
                        None => flushed = true,
                    }
                    let now = Time::from_micros(self.clock.now_micros());
                    self.session.content_moves(now);
                }
                read = reading.read_buf(&mut self.input) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::ConnectionReset.into());
                    }
                    self.take_input();
                }
                () = tokio::time::sleep_until(deadline) => {
                    let now = Time::from_micros(self.clock.now_micros());
                    self.session.wake(now);
                }
            }
        }
        Ok(())
    }
}
