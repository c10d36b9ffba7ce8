//! Next hops: SMTP and LMTP servers that do what servers do on bad days, and know what they took.

use super::chart::Place;
use super::ledger::Ledger;
use super::wire::Wire;
use crate::rng::Rng;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::DuplexStream;

/// Transactions at once that a site may see: the schedule's largest window.
const TRANSACTIONS_MAX: u32 = 20;
/// Recipients of one transaction that the schedule sends.
const RECIPIENTS_MAX: usize = 100;
/// How long a next hop waits for a command.
const PATIENCE: Duration = Duration::from_mins(5);
/// Longer than any client waits.
const FOREVER: Duration = Duration::from_hours(1);

/// Which protocol a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// RFC 5321.
    Smtp,
    /// RFC 2033.
    Lmtp,
}

/// One connection to a next hop, not begun yet.
pub struct Hop {
    /// Its end of the connection.
    pub stream: DuplexStream,
    /// What it speaks.
    pub manner: Manner,
    /// Its chance.
    pub rng: Rng,
}

/// What all next hops share.
#[derive(Clone)]
pub struct Hops {
    /// Where they say what they took.
    pub ledger: Ledger,
    /// Whether everything works.
    pub quiet: Rc<Cell<bool>>,
    /// Transactions under way, by the domain that they are for.
    pub open: Rc<RefCell<BTreeMap<String, u32>>>,
}

/// A transaction as a next hop sees it.
#[derive(Default)]
struct Transaction {
    reverse_path: String,
    recipients: Vec<String>,
}

/// One session of a next hop.
struct Session {
    hops: Hops,
    wire: Wire,
    manner: Manner,
    rng: Rng,
    /// It offered 8BITMIME.
    takes_eight_bit: bool,
}

/// Serves one connection to its end; `None` is an end before QUIT.
pub async fn serve(hops: Hops, hop: Hop) -> Option<()> {
    let mut session = Session {
        hops,
        wire: Wire::new(hop.stream),
        manner: hop.manner,
        rng: hop.rng,
        takes_eight_bit: false,
    };
    session.greet().await?;
    session.listen().await
}

impl Session {
    /// Once in so many times something goes wrong, as long as the world is not quiet.
    fn trouble(&mut self, one_in: u64) -> bool {
        !self.hops.quiet.get() && self.rng.one_in(one_in)
    }

    async fn say(&mut self, reply: &str) -> Option<()> {
        let pause = self.rng.below(100);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let octets = format!("{reply}\r\n");
        self.wire
            .send(octets.as_bytes(), PATIENCE)
            .await
            .then_some(())
    }

    async fn greet(&mut self) -> Option<()> {
        if self.trouble(25) {
            let reply =
                *self
                    .rng
                    .pick(&["421 too busy", "554 no", "\u{1}\u{2}rubbish", "220", "2"]);
            self.say(reply).await?;
            return (reply == "220").then_some(());
        }
        if self.trouble(60) {
            tokio::time::sleep(FOREVER).await;
            return None;
        }
        self.say("220-next hop\r\n220 ready").await
    }

    async fn hello(&mut self) -> Option<()> {
        if self.trouble(30) {
            self.takes_eight_bit = false;
            return self.say("502 5.5.1 not known").await;
        }
        let mut offers = vec!["250-hop"];
        self.takes_eight_bit = false;
        for offer in ["250-PIPELINING", "250-8BITMIME", "250-SIZE 10000000"] {
            if self.rng.below(5) > 0 {
                offers.push(offer);
                self.takes_eight_bit |= offer == "250-8BITMIME";
            }
        }
        if self.manner == Manner::Smtp && self.rng.one_in(3) {
            offers.push("250-STARTTLS");
        }
        offers.push("250 ENHANCEDSTATUSCODES");
        self.say(&offers.join("\r\n")).await
    }

    async fn listen(&mut self) -> Option<()> {
        let mut transaction: Option<Transaction> = None;
        loop {
            let line = self.wire.line(PATIENCE).await?;
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if self.trouble(80) {
                self.misbehave().await?;
            }
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" | "LHLO" => self.hello().await?,
                "HELO" => {
                    self.takes_eight_bit = false;
                    self.say("250 hop").await?;
                }
                "MAIL" if self.trouble(30) => self.say("451 4.3.0 not now").await?,
                "MAIL" => {
                    transaction = Some(Transaction {
                        reverse_path: path_of(&line),
                        recipients: Vec::new(),
                    });
                    self.say("250 2.1.0 ok").await?;
                }
                "RCPT" => self.recipient(&line, transaction.as_mut()).await?,
                "DATA" => self.data(transaction.take().unwrap_or_default()).await?,
                "RSET" => {
                    transaction = None;
                    self.say("250 2.0.0 ok").await?;
                }
                "NOOP" => self.say("250 2.0.0 ok").await?,
                "STARTTLS" => self.start_tls().await?,
                "QUIT" => return self.say("221 2.0.0 bye").await,
                _ => self.say("500 5.5.2 what").await?,
            }
        }
    }

    /// Has TLS as servers have it that nobody looks after: not now, or in ways that no handshake comes of. Real TLS, whose
    /// numbers are no seed's, is spoken elsewhere.
    async fn start_tls(&mut self) -> Option<()> {
        if self.hops.quiet.get() || self.rng.coin() {
            return self.say("454 4.7.0 not now").await;
        }
        self.say("220 2.0.0 go ahead").await?;
        match self.rng.below(4) {
            0 => {}
            1 => tokio::time::sleep(FOREVER).await,
            // A fatal alert: no version of TLS that both have (RFC 8446 §6).
            2 => _ = self.wire.send(&[21, 3, 1, 0, 2, 2, 70], PATIENCE).await,
            _ => self.say("250 what").await?,
        }
        None
    }

    /// Cuts the connection, falls silent, or says 421.
    async fn misbehave(&mut self) -> Option<()> {
        match self.rng.below(3) {
            0 => {}
            1 => tokio::time::sleep(FOREVER).await,
            _ => self.say("421 4.3.2 going down").await?,
        }
        None
    }

    async fn recipient(&mut self, line: &str, transaction: Option<&mut Transaction>) -> Option<()> {
        let address = path_of(line);
        let user = address.split('@').next().unwrap_or_default().to_owned();
        let Some(transaction) = transaction else {
            return self.say("503 5.5.1 MAIL first").await;
        };
        if user.starts_with("bad") {
            return self.say("550 5.1.1 no such mailbox at inner.lan").await;
        }
        if user.starts_with("full") {
            return self.say("552 5.2.2 mailbox full").await;
        }
        if self.trouble(20) {
            return self.say("450 4.2.0 greylisted").await;
        }
        transaction.recipients.push(address);
        self.say("250 2.1.5 ok").await
    }

    async fn data(&mut self, transaction: Transaction) -> Option<()> {
        if transaction.recipients.is_empty() && self.rng.coin() {
            return self.say("503 5.5.1 no recipients").await;
        }
        if self.trouble(30) {
            return self.say("451 4.3.0 not now").await;
        }
        if transaction.recipients.len() > RECIPIENTS_MAX {
            let count = transaction.recipients.len();
            self.hops
                .ledger
                .wrong(format!("{count} recipients in one transaction"));
        }
        let site = transaction
            .recipients
            .first()
            .and_then(|address| Some(address.split_once('@')?.1.to_owned()))
            .unwrap_or_default();
        let open = Rc::clone(&self.hops.open);
        let count = |by: i32| {
            let mut open = open.borrow_mut();
            let count = open.entry(site.clone()).or_default();
            *count = count.saturating_add_signed(by);
            *count
        };
        if count(1) > TRANSACTIONS_MAX {
            let ledger = &self.hops.ledger;
            ledger.wrong(format!(
                "more transactions at once for {site:?} than a window takes"
            ));
        }
        let content = self.content().await;
        count(-1);
        let content = content?;
        if self.takes_eight_bit {
            return self.take(&transaction, &content).await;
        }
        if !content.is_ascii() {
            let ledger = &self.hops.ledger;
            ledger.wrong("content of eight bits where nobody offered to take it".into());
        }
        self.take(&transaction, &of_eight_bits(content)).await
    }

    async fn content(&mut self) -> Option<Vec<u8>> {
        self.say("354 go on").await?;
        let cut_after = if self.trouble(25) {
            self.rng.below(20)
        } else {
            u64::MAX
        };
        let mut content = Vec::new();
        for count in 0.. {
            let line = self.wire.line(PATIENCE).await?;
            if line == b".\r\n" {
                return Some(content);
            }
            if count >= cut_after {
                return None;
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        None
    }

    /// Decides on a whole content, for all recipients (SMTP) or each (LMTP).
    async fn take(&mut self, transaction: &Transaction, content: &[u8]) -> Option<()> {
        let each: Vec<&[String]> = match self.manner {
            Manner::Smtp => vec![&transaction.recipients[..]],
            Manner::Lmtp => transaction.recipients.chunks(1).collect(),
        };
        for recipients in each {
            if recipients.is_empty() {
                self.say("554 5.5.1 no recipients").await?;
                continue;
            }
            match if self.trouble(10) {
                self.rng.below(2)
            } else {
                2
            } {
                0 => {
                    let replies = ["451 4.2.0 not now", "452 4.3.1 no room", "421 4.3.2 bye"];
                    let reply = *self.rng.pick(&replies);
                    self.say(reply).await?;
                    if reply.starts_with("421") {
                        return None;
                    }
                }
                1 => {
                    self.take_and_vanish(transaction, recipients, content).await;
                    return None;
                }
                _ => {
                    // The copy exists from here on; its 250 is under way.
                    self.arrived(transaction, recipients, content, true);
                    self.say("250 2.0.0 taken").await?;
                }
            }
        }
        Some(())
    }

    /// It is taken or not, and nobody will hear which.
    async fn take_and_vanish(
        &mut self,
        transaction: &Transaction,
        recipients: &[String],
        content: &[u8],
    ) {
        if self.rng.coin() {
            self.arrived(transaction, recipients, content, false);
        }
        if self.rng.coin() {
            // Outcomes go back when the whole transaction is over: until then what the others were
            // answered is known to nobody who would survive a kill.
            for address in &transaction.recipients {
                self.hops.ledger.doubt(&self.place(address), content);
            }
            tokio::time::sleep(FOREVER).await;
        }
    }

    fn place(&self, address: &str) -> Place {
        match self.manner {
            Manner::Smtp => Place::Hop(address.to_owned()),
            Manner::Lmtp => Place::Lmtp(address.to_owned()),
        }
    }

    fn arrived(
        &self,
        transaction: &Transaction,
        recipients: &[String],
        content: &[u8],
        confirmed: bool,
    ) {
        for address in recipients {
            let place = self.place(address);
            let (ledger, reverse_path) = (&self.hops.ledger, &transaction.reverse_path);
            ledger.arrived(place, reverse_path, content, confirmed);
        }
    }
}

/// The content that this was, if it is one of a client's that was written in seven bits: those say nothing of themselves.
fn of_eight_bits(content: Vec<u8>) -> Vec<u8> {
    let said = b"Content-Transfer-Encoding: quoted-printable\r\n\
        Content-Type: text/plain; charset=unknown-8bit\r\nMIME-Version: 1.0\r\n\r\n";
    let Some(at) = content.windows(said.len()).position(|at| at == said) else {
        return content;
    };
    let mut before = content[..at].to_vec();
    before.extend_from_slice(b"\r\n");
    let mut encoded = content[at + said.len()..].iter();
    while let Some(octet) = encoded.next() {
        if *octet != b'=' {
            before.push(*octet);
            continue;
        }
        let pair: Vec<u8> = encoded.by_ref().take(2).copied().collect();
        let hex = std::str::from_utf8(&pair).unwrap_or_default();
        // A soft line break is none.
        before.extend(u8::from_str_radix(hex, 16));
    }
    before
}

/// What stands between the angle brackets.
fn path_of(line: &str) -> String {
    let inner = line
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inner.map(|(path, _)| path.to_owned()).unwrap_or_default()
}
