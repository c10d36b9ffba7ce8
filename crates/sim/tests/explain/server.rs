//! smtpd and policy as `run` starts them, and a queue that keeps what is sealed: whoever comes in is virtual.

use mail::{Envelope, QueueId};
use ringmail::drive::arrow;
use ringmail::drive::birth::Birth;
use ringmail::drive::clock::Clock;
use ringmail::drive::edge::{Door, Doors, Pending, Stream};
use ringmail::ipc::accept::{FromQueue, ToQueue};
use ringmail::ipc::spawn::{self, Arrow, Role, Share, Situation, ToRole};
use ringmail::seal::{KEY_OCTETS, Key, Opener, Sealed};
use sim::wishes::{Comes, Try};
use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use sys::socket::Kind;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Octets that a virtual connection holds between its ends.
const PIPE_OCTETS: usize = 16 * 1024;
/// What queue was told to keep.
pub type Kept = Rc<RefCell<Vec<Envelope>>>;

/// Clients that come in: a connection and an address.
type Coming = (Box<dyn Stream>, IpAddr);

/// The doors that are opened, the last first.
struct VirtualDoors(RefCell<Vec<UnboundedReceiver<Coming>>>);
struct VirtualDoor(tokio::sync::Mutex<UnboundedReceiver<Coming>>);

impl Doors for VirtualDoors {
    fn open(&self, _: OwnedFd) -> io::Result<Box<dyn Door>> {
        let coming = self.0.borrow_mut().pop().expect("two listeners");
        Ok(Box::new(VirtualDoor(tokio::sync::Mutex::new(coming))))
    }
}

impl Door for VirtualDoor {
    fn accept(&self) -> Pending<'_, io::Result<Coming>> {
        Box::pin(async move {
            match self.0.lock().await.recv().await {
                Some((stream, ip)) => Ok((stream, ip.to_canonical())),
                None => std::future::pending().await,
            }
        })
    }
}

/// A running smtpd, submission and policy, and a queue that keeps what is sealed.
pub struct Server {
    births: Vec<Birth>,
    mx: UnboundedSender<Coming>,
    submission: UnboundedSender<Coming>,
    pub kept: Kept,
}

impl Server {
    /// Started as the supervisor would.
    pub fn start(text: &str) -> io::Result<Self> {
        let (ours, theirs) = sys::socket::pair(Kind::SeqPacket)?;
        let (policy, role) = (Birth::new(ours)?, Birth::new(theirs)?);
        tokio::task::spawn_local(ringmail::role::policy::run(role));
        let orders = ToRole::Orders {
            configuration: text.into(),
            path: "ringmail.toml".into(),
            situation: Situation::Run,
            walls: Vec::new(),
        };
        policy.order(&orders, None)?;
        let key = Key::new([7; KEY_OCTETS]);
        policy.order(&ToRole::Key(Share::Transactions, key.clone()), None)?;
        let (kept, opener) = (Kept::default(), Opener::new(&key));
        let opener = Rc::new(RefCell::new(opener));
        let (mx, servers) = unbounded_channel();
        let (submission, users) = unbounded_channel();
        let mut births = Vec::new();
        for (role, door, clients, judge, accept) in [
            (
                Role::Smtpd,
                spawn::Listener::Mx,
                servers,
                Arrow::Judge,
                Arrow::Accept,
            ),
            (
                Role::Submission,
                spawn::Listener::Submission,
                users,
                Arrow::JudgeSubmitted,
                Arrow::AcceptSubmitted,
            ),
        ] {
            let (ours, theirs) = sys::socket::pair(Kind::SeqPacket)?;
            let (birth, born) = (Birth::new(ours)?, Birth::new(theirs)?);
            tokio::task::spawn_local(async move {
                let doors = VirtualDoors(RefCell::new(vec![clients]));
                ringmail::role::smtpd::run(role, born, Clock::start(), &doors).await
            });
            birth.order(&orders, None)?;
            let (asks, answers) = sys::socket::pair(Kind::Stream)?;
            birth.order(&ToRole::Arrow(judge), Some(&asks))?;
            policy.order(&ToRole::Arrow(judge), Some(&answers))?;
            let (asks, queue) = sys::socket::pair(Kind::Stream)?;
            birth.order(&ToRole::Arrow(accept), Some(&asks))?;
            tokio::task::spawn_local(keep(queue, Rc::clone(&opener), Rc::clone(&kept)));
            let (listener, _) = sys::socket::pair(Kind::Stream)?;
            birth.order(&ToRole::Listener(door), Some(&listener))?;
            birth.order(&ToRole::Begin, None)?;
            births.push(birth);
        }
        births.push(policy);
        Ok(Self {
            births,
            mx,
            submission,
            kept,
        })
    }

    /// A client's session, without a login: EHLO, MAIL, RCPT and, where that was accepted, a message. Gives the reply to each of the
    /// three.
    pub async fn session(&self, ask: &Try) -> Vec<String> {
        let (ours, theirs) = tokio::io::duplex(PIPE_OCTETS);
        let door = match ask.comes {
            Comes::AsServer => &self.mx,
            Comes::AsNobody | Comes::As(_) => &self.submission,
        };
        door.send((Box::new(theirs), ask.ip)).expect("a door");
        let mut wire = Wire {
            stream: ours,
            input: Vec::new(),
        };
        assert!(wire.reply().await.starts_with("220 "));
        let commands = [
            format!("EHLO {}", ask.helo),
            format!("MAIL FROM:<{}>", ask.reverse_path),
            format!("RCPT TO:<{}>", ask.forward_path),
        ];
        let mut replies = Vec::new();
        for command in &commands {
            let reply = wire.say(command).await;
            let go_on = reply.starts_with('2');
            replies.push(reply);
            if !go_on {
                return replies;
            }
        }
        assert!(wire.say("DATA").await.starts_with("354"));
        assert!(wire.say("Subject: x\r\n\r\n.").await.starts_with("250"));
        assert!(wire.say("QUIT").await.starts_with("221"));
        replies
    }

    pub fn stop(self) {
        for birth in &self.births {
            // It may have ended already.
            let _ = birth.order(&ToRole::Stop, None);
        }
    }
}

async fn keep(fd: OwnedFd, opener: Rc<RefCell<Opener>>, kept: Kept) -> io::Result<()> {
    let (sender, mut receiver) = arrow::open::<FromQueue, ToQueue>(fd)?;
    while let Some(heard) = receiver.hear().await {
        if let ToQueue::Accept { token, message } = heard.head {
            let sealed = Sealed {
                peer: message.received.peer,
                login: message.received.login.as_deref(),
                reverse_path: &message.envelope.reverse_path,
                recipients: &message.envelope.recipients,
            };
            opener
                .borrow_mut()
                .open(&message.seal, &sealed)
                .map_err(|broken| io::Error::other(broken.to_string()))?;
            kept.borrow_mut().push(message.envelope);
            let queue_id = QueueId::from_u64(token);
            // The arrow takes what is so small.
            sender
                .say(&FromQueue::Accepted { token, queue_id }, &[], None)
                .map_err(io::Error::other)?;
        }
    }
    Ok(())
}

struct Wire {
    stream: DuplexStream,
    input: Vec<u8>,
}

impl Wire {
    async fn say(&mut self, line: &str) -> String {
        self.stream
            .write_all(format!("{line}\r\n").as_bytes())
            .await
            .expect("a peer");
        self.reply().await
    }

    /// The last line of a reply, without the session's token.
    async fn reply(&mut self) -> String {
        loop {
            while let Some(end) = self.input.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                if line.get(3) != Some(&b'-') {
                    let line = String::from_utf8(line).expect("ASCII");
                    let line = line.trim_end();
                    return line
                        .split_once(" [")
                        .map_or(line, |(said, _)| said)
                        .to_owned();
                }
            }
            let read = self.stream.read_buf(&mut self.input).await.expect("a peer");
            assert!(read > 0, "the server went without an answer");
        }
    }
}
