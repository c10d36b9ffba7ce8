//! The load tool: one thread, one epoll, as many SMTP sessions at once as asked for, every reply checked. It must
//! cost less than any server that it measures; the loopback row of the table says what it can do.

use crate::message::Template;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Recipients that a load is spread over: `user0` to `user9`.
pub const USERS: usize = 10;
/// A server that says nothing for this long is not coming back.
const STALL_WAIT: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};
/// Connections that wait for their greeting at once. OpenSMTPD listens with a backlog of 5, and a connection beyond
/// it is answered by a cookie, forgotten, and never greeted.
const UNGREETED_MAX: usize = 4;
/// Octets asked of a socket at once; replies are short.
const READ_OCTETS: usize = 4096;

/// What to send, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub to: SocketAddr,
    /// The recipients' domain.
    pub domain: String,
    /// Sessions at once.
    pub sessions: usize,
    /// Messages in all, at most.
    pub messages: usize,
    /// No new message is begun after this.
    pub time: Option<Duration>,
    /// Messages on one connection before QUIT and a new one.
    pub per_connection: usize,
    /// Send MAIL, RCPT and DATA together where PIPELINING is offered (RFC 2920).
    pub pipelining: bool,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Just before the first connection.
    pub began: Instant,
    /// Messages with their 250.
    pub accepted: usize,
    /// From the end of content to its 250, each message, in microseconds.
    pub answer_micros: Vec<u32>,
    /// Whether the server offered PIPELINING and it was used.
    pub pipelined: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    Hello,
    Mail,
    Recipient,
    Data,
    Content,
    Quit,
}

struct Session {
    stream: TcpStream,
    state: State,
    input: Vec<u8>,
    out: Vec<u8>,
    number: usize,
    /// Messages still to come on this connection.
    left: usize,
    pipelining: bool,
    content_ended: Instant,
}

/// What the sessions share.
struct Work<'a> {
    plan: &'a Plan,
    template: &'a mut Template,
    next: usize,
    until: Option<Instant>,
    sent: Sent,
}

/// Sends the plan's messages, numbered from 0 in the order they are begun; ends when each begun has its 250. Any
/// other reply is an error.
pub fn run(plan: &Plan, template: &mut Template) -> io::Result<Sent> {
    let began = Instant::now();
    let mut work = Work {
        plan,
        template,
        next: 0,
        until: plan.time.map(|time| began + time),
        sent: Sent {
            began,
            accepted: 0,
            answer_micros: Vec::with_capacity(plan.messages.min(1 << 20)),
            pipelined: false,
        },
    };
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut sessions: Vec<Option<Session>> = Vec::new();
    sessions.resize_with(plan.sessions.min(plan.messages), || None);
    let mut unconnected: VecDeque<usize> = (0..sessions.len()).collect();
    let mut ungreeted = 0;
    let mut open = sessions.len();
    let mut events = Vec::with_capacity(plan.sessions.max(1));
    while open > 0 {
        while ungreeted < UNGREETED_MAX
            && let Some(place) = unconnected.pop_front()
        {
            if work.has_more() {
                sessions[place] = Some(connect(plan, &epoll, place)?);
                ungreeted += 1;
            } else {
                open -= 1;
            }
        }
        if open == 0 {
            break;
        }
        if epoll::wait(&epoll, spare_capacity(&mut events), Some(&STALL_WAIT))? == 0 {
            let states: Vec<State> = sessions.iter().flatten().map(|s| s.state).collect();
            return Err(io::Error::other(format!(
                "no word from the server; its sessions are in {states:?}"
            )));
        }
        for event in events.drain(..) {
            let place = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let Some(Some(session)) = sessions.get_mut(place) else {
                continue;
            };
            let was_ungreeted = session.state == State::Greeting;
            let goes_on = session.turn(&mut work)?;
            if was_ungreeted && session.state != State::Greeting {
                ungreeted -= 1;
            }
            if !goes_on {
                // Dropped, the socket leaves the epoll by itself.
                sessions[place] = None;
                unconnected.push_back(place);
            }
        }
    }
    Ok(work.sent)
}

fn connect(plan: &Plan, epoll: &OwnedFd, place: usize) -> io::Result<Session> {
    let family = match plan.to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    // A full backlog must hold up this session and not the thread.
    match rustix::net::connect(&socket, &plan.to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
    epoll::add(
        epoll,
        &socket,
        epoll::EventData::new_u64(place as u64),
        interest,
    )?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(Session {
        stream,
        state: State::Greeting,
        input: Vec::with_capacity(READ_OCTETS),
        out: Vec::new(),
        number: 0,
        left: plan.per_connection,
        pipelining: false,
        content_ended: Instant::now(),
    })
}

impl Work<'_> {
    fn has_more(&self) -> bool {
        self.next < self.plan.messages && self.until.is_none_or(|until| Instant::now() < until)
    }
}

impl Session {
    /// Does what can be done now; false when the session has ended in order.
    fn turn(&mut self, work: &mut Work<'_>) -> io::Result<bool> {
        self.flush()?;
        loop {
            let had = self.input.len();
            let mut octets = [0; READ_OCTETS];
            let read = match self.stream.read(&mut octets) {
                Ok(0) => {
                    let cause = format!("connection closed in {:?}", self.state);
                    return Err(io::Error::other(cause));
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            self.input.extend_from_slice(&octets[..read]);
            let mut line_start = 0;
            let mut search = had;
            while let Some(end) = memchr::memchr(b'\n', &self.input[search..]) {
                let line_end = search + end + 1;
                let line = &self.input[line_start..line_end];
                (line_start, search) = (line_end, line_end);
                if line.len() < 5 || &line[..3] != self.state.code() {
                    return Err(io::Error::other(format!(
                        "{:?} was answered {}",
                        self.state,
                        String::from_utf8_lossy(line).trim_end()
                    )));
                }
                self.pipelining |=
                    self.state == State::Hello && line[4..].eq_ignore_ascii_case(b"PIPELINING\r\n");
                if line[3] != b'-' && !self.answered(work) {
                    return Ok(false);
                }
            }
            self.input.drain(..line_start);
            self.flush()?;
            if read < READ_OCTETS {
                return Ok(true);
            }
        }
    }

    /// A reply came and was the right one; false when that was the last.
    fn answered(&mut self, work: &mut Work<'_>) -> bool {
        match self.state {
            State::Greeting => {
                self.out.extend_from_slice(b"EHLO load.sender.test\r\n");
                self.state = State::Hello;
            }
            State::Hello => {
                self.pipelining &= work.plan.pipelining;
                work.sent.pipelined |= self.pipelining;
                self.next(work);
            }
            State::Mail => {
                if !self.pipelining {
                    self.say_recipient(work);
                }
                self.state = State::Recipient;
            }
            State::Recipient => {
                if !self.pipelining {
                    self.out.extend_from_slice(b"DATA\r\n");
                }
                self.state = State::Data;
            }
            State::Data => {
                self.out.extend_from_slice(work.template.write(self.number));
                self.content_ended = Instant::now();
                self.state = State::Content;
            }
            State::Content => {
                let micros = self.content_ended.elapsed().as_micros();
                work.sent
                    .answer_micros
                    .push(micros.try_into().unwrap_or(u32::MAX));
                work.sent.accepted += 1;
                self.next(work);
            }
            State::Quit => return false,
        }
        true
    }

    /// Begins the next message, or takes leave.
    fn next(&mut self, work: &mut Work<'_>) {
        if self.left == 0 || !work.has_more() {
            self.out.extend_from_slice(b"QUIT\r\n");
            self.state = State::Quit;
            return;
        }
        self.left -= 1;
        self.number = work.next;
        work.next += 1;
        self.out
            .extend_from_slice(b"MAIL FROM:<load@sender.test>\r\n");
        if self.pipelining {
            self.say_recipient(work);
            self.out.extend_from_slice(b"DATA\r\n");
        }
        self.state = State::Mail;
    }

    fn say_recipient(&mut self, work: &Work<'_>) {
        let user = self.number % USERS;
        let command = format!("RCPT TO:<user{user}@{}>\r\n", work.plan.domain);
        self.out.extend_from_slice(command.as_bytes());
    }

    /// Sends what waits, as far as the socket takes it.
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

impl State {
    /// The only reply code that is right here.
    const fn code(self) -> &'static [u8] {
        match self {
            State::Greeting => b"220",
            State::Hello | State::Mail | State::Recipient | State::Content => b"250",
            State::Data => b"354",
            State::Quit => b"221",
        }
    }
}
