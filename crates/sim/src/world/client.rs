//! Clients: they send mail in every way that clients do, cut connections, stall, try what is not allowed, and
//! know what they were answered.

use super::chart::{self, BACK, DEAD, FAR, GONE, NULL_MX, RECIPIENTS_MAX, SESSIONS_MAX};
use super::ledger::{Ended, Ledger, Sent};
use super::net::Entrance;
use super::wire::Wire;
use crate::rng::Rng;
use mail::QueueId;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// How long a client waits for a reply.
const PATIENCE: Duration = Duration::from_secs(400);

/// What all clients share.
#[derive(Clone)]
pub struct Clients {
    /// Where they say what they were answered.
    pub ledger: Ledger,
    /// The machine.
    pub entrance: Entrance,
    /// Whether everything works.
    pub quiet: Rc<Cell<bool>>,
}

/// What a client means to send.
struct Letter {
    id: String,
    friend: bool,
    reverse_path: String,
    recipients: Vec<String>,
    content: Vec<u8>,
    /// It has what no content may have.
    flawed: bool,
}

impl Letter {
    fn write(id: String, rng: &mut Rng) -> Self {
        let friend = rng.one_in(3);
        let reverse_path = match rng.below(6) {
            0 => String::new(),
            1 => "u1@home.test".into(),
            2 if rng.one_in(4) => format!("s@{DEAD}"),
            2 if rng.one_in(3) => "bad-sender@far1.test".into(),
            _ => format!("s{}@{}", rng.below(3), rng.pick(&FAR)),
        };
        let count = match rng.below(8) {
            0 => 1 + rng.below(20),
            _ => 1 + rng.below(3),
        };
        let mut recipients: Vec<String> = (0..count).map(|_| address(friend, rng)).collect();
        recipients.dedup();
        if rng.one_in(40) {
            // More than one transaction takes.
            let some = 0..RECIPIENTS_MAX + 5;
            recipients = some
                .map(|number| format!("u3+{number}@home.test"))
                .collect();
        }
        let flawed = rng.one_in(25);
        let content = content(&id, flawed, rng);
        Self {
            id,
            friend,
            reverse_path,
            recipients,
            content,
            flawed,
        }
    }
}

fn address(friend: bool, rng: &mut Rng) -> String {
    let local = [
        "u0@home.test",
        "u1@home.test",
        "u2@home.test",
        "u3+tag@home.test",
        "team@home.test",
        "away@home.test",
        "bounce@home.test",
        "postmaster@home.test",
        "l0@lists.test",
        "l1@lists.test",
        "bad@lists.test",
        "full@lists.test",
    ];
    match rng.below(10) {
        0 => (*rng.pick(&["nobody@home.test", "nobody@lists.test"])).into(),
        1 if !friend => "x@far1.test".into(),
        1..=3 if friend => {
            let domain = match rng.below(13) {
                0 => DEAD,
                1 => GONE,
                2 => NULL_MX,
                3 => BACK,
                _ => rng.pick(&FAR),
            };
            let user = *rng.pick(&["good", "bad", "full", "other", "x"]);
            format!("{user}@{domain}")
        }
        _ => (*rng.pick(&local)).into(),
    }
}

fn content(id: &str, flawed: bool, rng: &mut Rng) -> Vec<u8> {
    let mut content = format!("Message-ID: <{id}>\r\nSubject: {id}\r\n\r\n").into_bytes();
    let octets = match rng.below(40) {
        0 => 300_000 + rng.below(200_000),
        1..=4 => rng.below(60_000),
        _ => rng.below(2000),
    };
    let end = content.len() as u64 + octets;
    while (content.len() as u64) < end {
        match rng.below(13) {
            0 => content.extend_from_slice(b".\r\n"),
            1 => content.extend_from_slice(b"..x\r\n"),
            2 => content.extend_from_slice(b"\xc3\xa9\xff\r\n"),
            3 => content.extend_from_slice(b"\r\n"),
            // Never what names a message: only the header has that.
            _ => {
                let count = usize::try_from(rng.below(990)).unwrap_or(0);
                content.extend(std::iter::repeat_n(b'a', count));
                content.extend_from_slice(b"\r\n");
            }
        }
    }
    if flawed {
        let flaws: [&[u8]; 4] = [
            b"x\n.\nMAIL FROM:<smuggled@x.test>\r\n",
            b"x\r.\r\n",
            b"nul\0\r\n",
            b"x\n.\r\n",
        ];
        let flaw: &[u8] = rng.pick::<&[u8]>(&flaws);
        content.extend_from_slice(flaw);
    }
    content
}

/// One client: from connection to QUIT, or to whatever end chance has for it. Several messages, maybe.
pub async fn visit(clients: Clients, number: u64, mut rng: Rng) {
    let from = |letter: &Letter| {
        if letter.friend {
            chart::friend()
        } else {
            chart::stranger()
        }
    };
    let mut letter = Letter::write(format!("{number}.0@sim"), &mut rng);
    let Some(visit) = clients.entrance.connect(from(&letter)) else {
        return;
    };
    let mut session = Session {
        wire: Wire::new(visit.stream),
        clients,
        rng,
    };
    let Some(greeting) = session.reply().await else {
        return;
    };
    if !greeting.starts_with("220") {
        return;
    }
    if let Some(greeted) = visit.greeted.upgrade() {
        greeted.set(true);
    }
    let open = session.clients.entrance.greeted();
    if open > SESSIONS_MAX {
        let ledger = &session.clients.ledger;
        ledger.wrong(format!("{open} sessions at once"));
    }
    for again in 1..=1 + session.rng.below(3) {
        if session.transact(&letter).await.is_none() {
            break;
        }
        let friend = letter.friend;
        letter = Letter::write(format!("{number}.{again}@sim"), &mut session.rng);
        if letter.friend != friend {
            // Another network would be another connection.
            break;
        }
    }
    session.leave().await;
}

struct Session {
    clients: Clients,
    wire: Wire,
    rng: Rng,
}

impl Session {
    fn trouble(&mut self, one_in: u64) -> bool {
        !self.clients.quiet.get() && self.rng.one_in(one_in)
    }

    /// The last line of the next reply.
    async fn reply(&mut self) -> Option<String> {
        loop {
            let line = self.wire.line(PATIENCE).await?;
            if line.get(3) != Some(&b'-') {
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        }
    }

    /// Sends octets in pieces, with pauses; may cut or stall in the middle of them.
    async fn send(&mut self, octets: &[u8]) -> Option<()> {
        let mut rest = octets;
        while !rest.is_empty() {
            let most = rest.len().min(40_000);
            let count = if self.rng.coin() {
                most
            } else {
                1 + usize::try_from(self.rng.below(most as u64)).unwrap_or(0)
            };
            let (piece, after) = rest.split_at(count.min(rest.len()));
            if self.trouble(100) {
                if self.rng.coin() {
                    tokio::time::sleep(Duration::from_secs(700)).await;
                }
                return None;
            }
            if !self.wire.send(piece, PATIENCE).await {
                return None;
            }
            if self.rng.one_in(4) {
                let pause = self.rng.below(300);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            rest = after;
        }
        Some(())
    }

    async fn say(&mut self, line: &str) -> Option<String> {
        self.send(format!("{line}\r\n").as_bytes()).await?;
        self.reply().await
    }

    async fn leave(&mut self) {
        if self.rng.coin() {
            let _ = self.say("QUIT").await;
        }
    }

    /// One transaction; `None`: the session is over.
    async fn transact(&mut self, letter: &Letter) -> Option<()> {
        let mut sent = Sent {
            reverse_path: letter.reverse_path.clone(),
            recipients: Vec::new(),
            friend: letter.friend,
            content: letter.content.clone(),
            ended: Ended::Void,
            queue_id: None,
        };
        self.clients.ledger.sent(&letter.id, sent.clone());
        let went = self.talk(letter, &mut sent).await;
        if sent.recipients.len() > RECIPIENTS_MAX {
            let count = sent.recipients.len();
            self.clients
                .ledger
                .wrong(format!("{}: {count} recipients accepted", letter.id));
        }
        if letter.flawed && sent.ended == Ended::Acknowledged {
            let id = &letter.id;
            self.clients
                .ledger
                .wrong(format!("{id}: content with a flaw was accepted"));
        }
        self.clients.ledger.sent(&letter.id, sent);
        went
    }

    async fn talk(&mut self, letter: &Letter, sent: &mut Sent) -> Option<()> {
        let hello = *self.rng.pick(&["EHLO c.sim.test", "HELO c.sim.test"]);
        if !self.say(hello).await?.starts_with("250") {
            return None;
        }
        let mail = format!("MAIL FROM:<{}>", letter.reverse_path);
        let recipient = |address: &String| format!("RCPT TO:<{address}>");
        let mut go = None;
        if self.rng.coin() {
            let mut commands = vec![mail];
            commands.extend(letter.recipients.iter().map(recipient));
            commands.push("DATA\r\n".into());
            self.send(commands.join("\r\n").as_bytes()).await?;
            let begun = self.reply().await?.starts_with("250");
            for address in &letter.recipients {
                if self.reply().await?.starts_with("250") && begun {
                    sent.recipients.push(address.clone());
                }
            }
            go = Some(self.reply().await?);
        } else {
            if !self.say(&mail).await?.starts_with("250") {
                return self.reset().await;
            }
            for address in &letter.recipients {
                if self.say(&recipient(address)).await?.starts_with("250") {
                    sent.recipients.push(address.clone());
                }
            }
        }
        let go = match go {
            Some(go) => go,
            // In chunks a bare LF is no flaw; what is flawed is left to DATA.
            None if !letter.flawed && self.rng.coin() => return self.chunks(letter, sent).await,
            None => self.say("DATA").await?,
        };
        if !go.starts_with("354") {
            return self.reset().await;
        }
        self.send(&stuffed(&letter.content)).await?;
        self.send(b".\r").await?;
        self.end(letter, sent, b"\n").await
    }

    /// Content by BDAT, RFC 3030.
    async fn chunks(&mut self, letter: &Letter, sent: &mut Sent) -> Option<()> {
        let mut rest = &letter.content[..];
        loop {
            let size = self.rng.below(rest.len() as u64 + 1);
            // The rest at once where the choice is its second half: there are not many chunks.
            let at = usize::try_from(size).unwrap_or(rest.len());
            let at = if at * 2 > rest.len() { rest.len() } else { at };
            let (chunk, after) = rest.split_at(at);
            let last = if after.is_empty() { " LAST" } else { "" };
            let mut wire = format!("BDAT {}{last}\r\n", chunk.len()).into_bytes();
            wire.extend_from_slice(chunk);
            if let (true, Some((octet, before))) = (after.is_empty(), wire.split_last()) {
                self.send(before).await?;
                return self.end(letter, sent, &[*octet]).await;
            }
            self.send(&wire).await?;
            if !self.reply().await?.starts_with("250") {
                return self.reset().await;
            }
            rest = after;
        }
    }

    /// Sends the last octet of a content, and hears what became of it.
    async fn end(&mut self, letter: &Letter, sent: &mut Sent, last: &[u8]) -> Option<()> {
        // With the last octet it may become the machine's.
        sent.ended = Ended::Unsure;
        self.clients.ledger.sent(&letter.id, sent.clone());
        if !self.wire.send(last, PATIENCE).await {
            return None;
        }
        if self.trouble(40) {
            return None;
        }
        let reply = self.reply().await?;
        if reply.starts_with("250") {
            sent.ended = Ended::Acknowledged;
            sent.queue_id = token(&reply);
        } else if reply.starts_with('5') {
            sent.ended = Ended::Refused;
        }
        (!reply.starts_with("421")).then_some(())
    }

    async fn reset(&mut self) -> Option<()> {
        self.say("RSET").await?.starts_with("250").then_some(())
    }
}

/// The token at the end of a reply: `250 2.0.0 accepted [token]`.
fn token(reply: &str) -> Option<QueueId> {
    let (_, token) = reply.split_once('[')?;
    token.trim_end_matches(']').parse().ok()
}

fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + 100);
    // Only what follows CRLF is a line to us; a dot after a bare LF is left to the machine.
    let mut after_crlf = true;
    for (place, octet) in content.iter().enumerate() {
        if after_crlf && *octet == b'.' {
            wire.push(b'.');
        }
        wire.push(*octet);
        after_crlf = *octet == b'\n' && place > 0 && content[place - 1] == b'\r';
    }
    wire
}
