//! Mail between us and other servers: two hundred varied messages and more each way, compared octet for octet.

pub mod beyond_ascii;
mod compare;
mod corpus;
pub mod differences;
mod manners;
mod messages;
pub mod reports;

pub use compare::{Arrived, compare};
pub use manners::{ANYTHING, Aside, BOTH_WAYS, Difference, Manners, Refusal, Way};
pub use messages::{COUNT, Message, messages};

use crate::debian::MALFORMED_MAIL;
use crate::peer::{OURS, Peer, THEIRS};
use crate::{Authority, Client, Program, cell, debian, free_port, left_out, maildir, wait_until};
use std::time::{Duration, Instant};

/// Starts a peer that relays to a port and has these mailboxes.
pub type Start = fn(next_hop: u16, mailboxes: &[String]) -> Result<Peer, String>;

/// How long all messages of one way may take, on a loaded machine.
const LONGEST: Duration = Duration::from_mins(3);
/// How many messages each server must take each way.
const TAKEN_MIN: usize = 200;
/// How long nothing more may come after the last: an unwanted second copy shows within it.
const QUIET: Duration = Duration::from_millis(500);

/// They send to us: every message goes into the peer by SMTP, and comes out of our Maildirs.
pub fn they_send(test: &str, start: Start, manners: &Manners) {
    let Some(messages) = ready(test, Way::Here) else {
        return;
    };
    let port = free_port();
    // Who is offered TLS takes it: the certificate is one that nobody knows.
    let config = configuration(port, &names(&messages), "");
    let ours = Program::start_with(&format!("cert = \"{{dir}}/tls\"\n{config}"), |folder| {
        Authority::new().certify(&[&format!("mx.{OURS}")], &folder.join("tls"));
    });
    let peer = match start(port, &[]) {
        Ok(peer) => peer,
        Err(why) => return left_out(test, &why),
    };
    let can_send = |message: &Message| manners.cannot_send.is_none_or(|cannot| !cannot(message));
    let messages = messages.into_iter().filter(can_send).collect();
    let (refused, taken) = parted(messages, manners, Way::Here);
    for (message, answer) in inject(peer.port, refused, OURS) {
        let refusal = manners
            .refusal(&message, Way::Here)
            .expect("parted by that");
        let is_said = answer.starts_with(refusal.reply) && answer.contains(refusal.words);
        assert!(is_said, "{}: {answer}", message.name);
    }
    let taken = taken_all(inject(peer.port, taken, OURS));
    let arrived = wait(&taken, || maildir::contents(&ours.folder().join("mail")));
    judge(&taken, &arrived, manners, Way::Here, &peer);
    wait_until("sessions are logged", LONGEST, || {
        ours.log().contains("event=session.closed")
    });
    let clear = clear_sessions(&ours.log());
    assert_eq!(clear, 0, "in clear, from {}", peer.name);
    if let Some(in_chunks) = manners.sent_in_chunks {
        wait_until("they log what went out in chunks", LONGEST, || {
            let log = peer.log();
            log.lines().filter(|line| in_chunks(line)).count() >= taken.len()
        });
    }
}

/// We send to them: every message goes into us by SMTP, and comes out of the peer's mailboxes. What the peer refuses
/// is reported to whom sent it.
pub fn we_send(test: &str, start: Start, manners: &Manners) {
    let relay = |port, _: &[String]| {
        format!("[relay]\nto = \"smtp://127.0.0.1:{port}\"\nfrom = \"127.0.0.1\"\n")
    };
    hand_over(test, start, manners, relay);
}

/// As [`we_send`], but the peer's domain is ours and its mailboxes stand behind LMTP.
pub fn we_send_by_lmtp(test: &str, start: Start, manners: &Manners) {
    let domain = |port, users: &[String]| {
        format!(
            "[domain.\"{THEIRS}\"]\nusers = {users:?}\naliases = {{ postmaster = \"reports@{OURS}\" }}\n\
             deliver = \"lmtp:127.0.0.1:{port}\"\n"
        )
    };
    hand_over(test, start, manners, domain);
}

/// Hands everything over to the peer; `route` is what the configuration says of it.
fn hand_over(test: &str, start: Start, manners: &Manners, route: fn(u16, &[String]) -> String) {
    let Some(messages) = ready(test, Way::There) else {
        return;
    };
    let names = names(&messages);
    let port = free_port();
    let peer = match start(port, &names) {
        Ok(peer) => peer,
        Err(why) => return left_out(test, &why),
    };
    let ours = Program::start(&configuration(port, &[], &route(peer.port, &names)));
    let (refused, taken) = parted(messages, manners, Way::There);
    let refused = taken_all(inject(port, refused, THEIRS));
    let taken = taken_all(inject(port, taken, THEIRS));
    let arrived = wait(&taken, || peer.arrived());
    judge(&taken, &arrived, manners, Way::There, &peer);
    wait_until("nothing is left", LONGEST, || ours.queued() == Some(0));
    if peer.offers_tls {
        under_tls(&ours.log(), peer.name);
    }
    let mut reports = maildir::contents(&ours.folder().join("mail"));
    let reports = reports.remove("reports").unwrap_or_default();
    reported(&refused, &reports, manners);
}

/// The messages, if this machine can run the test.
fn ready(test: &str, way: Way) -> Option<Vec<Message>> {
    let why = match (cell::lacks(), debian::root(MALFORMED_MAIL)) {
        (Some(why), _) => why.to_owned(),
        (None, Err(why)) => why,
        (None, Ok(collection)) => return Some(messages(&collection, way, OURS)),
    };
    left_out(test, &why);
    None
}

/// All recipients.
fn names(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .flat_map(|message| message.recipients.clone())
        .collect()
}

/// Ours: it has these mailboxes and one more, where reports to whatever reverse-path come to light.
fn configuration(port: u16, users: &[String], relay: &str) -> String {
    format!(
        "hostname = \"mx.{OURS}\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n[listen]\nmx = \"127.0.0.1:{port}\"\n\
         [domain.\"{OURS}\"]\nusers = {users:?}\ncatch_all = \"reports\"\ndeliver = \"maildir:{{dir}}/mail/{{user}}\"\n{relay}\
         [aliases]\npostmaster = \"reports@{OURS}\"\n\
         [queue]\nretry_delay_min = \"1s\"\nretry_delay_max = \"2s\"\n",
        users = [users, &["reports".to_owned()]].concat()
    )
}

/// Those that the peer refuses, and the others.
fn parted(messages: Vec<Message>, manners: &Manners, way: Way) -> (Vec<Message>, Vec<Message>) {
    let parted: (Vec<_>, Vec<_>) = messages
        .into_iter()
        .partition(|message| manners.refusal(message, way).is_some());
    for refusal in manners.refusals.iter().filter(|r| r.ways.contains(&way)) {
        let is_met = parted.0.iter().any(|message| (refusal.refuses)(message));
        assert!(is_met, "no message meets this refusal: {}", refusal.what);
    }
    let taken = parted.1.len();
    assert!(taken >= TAKEN_MIN, "only {taken} messages are taken");
    parted
}

/// Sends all messages in one session, as a relay would; each with what was answered.
fn inject(port: u16, messages: Vec<Message>, domain: &str) -> Vec<(Message, String)> {
    let mut client = if domain == OURS {
        Client::connect_to_peer(port).expect("the server listens")
    } else {
        Client::connect(port).expect("the server listens")
    };
    let answered = messages.into_iter().map(|message| {
        let to = message
            .recipients
            .iter()
            .map(|name| format!("{name}@{domain}"));
        let to: Vec<String> = to.collect();
        let answer = client.send(&message.reverse_path, &to, &message.content);
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", message.name));
        if answer.starts_with(['4', '5']) {
            client.say("RSET").expect("the session goes on");
        }
        (message, answer)
    });
    answered.collect()
}

/// The messages, all of which were taken.
fn taken_all(answered: Vec<(Message, String)>) -> Vec<Message> {
    let messages = answered.into_iter().map(|(message, answer)| {
        assert!(answer.starts_with("250"), "{}: {answer}", message.name);
        message
    });
    messages.collect()
}

/// Each refused message is reported once, with the status that the peer gave and none of its words. What had the null
/// reverse-path is reported to postmaster, for no report may go to nobody (RFC 5321 §4.5.5).
fn reported(refused: &[Message], reports: &[Vec<u8>], manners: &Manners) {
    let reports: Vec<String> = reports
        .iter()
        .map(|r| String::from_utf8_lossy(r).into_owned())
        .collect();
    for message in refused {
        let refusal = manners
            .refusal(message, Way::There)
            .expect("parted by that");
        let status = refusal
            .reply
            .split(' ')
            .nth(1)
            .expect("an enhanced status code");
        let name = format!(
            "Final-Recipient: rfc822; {}@{THEIRS}\r\n",
            message.recipients[0]
        );
        let about: Vec<&String> = reports
            .iter()
            .filter(|report| report.contains(&name))
            .collect();
        let [report] = about[..] else {
            panic!("{}: {} reports", message.name, about.len());
        };
        assert!(
            report.contains(&format!("Status: {status}\r\n")),
            "{report}"
        );
        for leak in [refusal.words, "Remote-MTA", "Diagnostic-Code", "127.0.0.1"] {
            assert!(!report.contains(leak), "{leak:?} is told: {report}");
        }
    }
    assert_eq!(
        reports.len(),
        refused.len(),
        "other reports came: {reports:#?}"
    );
}

/// Waits until as many have arrived as were sent; what is there at last.
fn wait(sent: &[Message], arrived: impl Fn() -> Arrived) -> Arrived {
    let wanted: usize = sent.iter().map(|message| message.recipients.len()).sum();
    let began = Instant::now();
    loop {
        let found = arrived();
        if began.elapsed() > LONGEST {
            return found;
        }
        if found.values().map(Vec::len).sum::<usize>() >= wanted {
            std::thread::sleep(QUIET);
            return arrived();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn judge(sent: &[Message], arrived: &Arrived, manners: &Manners, way: Way, peer: &Peer) {
    if let Err(why) = compare(way, sent, arrived, manners) {
        panic!("{} and we, {way:?}: {why}", peer.name);
    }
    let octets: usize = sent
        .iter()
        .map(|m| m.content.len() * m.recipients.len())
        .sum();
    println!(
        "{}, {way:?}: {} messages, {} mailboxes, {octets} octets",
        peer.name,
        sent.len(),
        arrived.len()
    );
}

/// What went to a next hop by SMTP went under TLS, each of them.
fn under_tls(log: &str, peer: &str) {
    let delivered = log
        .lines()
        .filter(|line| line.contains("event=recipient.delivered"));
    let by_smtp = delivered.filter(|line| line.contains(" next_hop=smtp://"));
    let (tls, clear): (Vec<&str>, Vec<&str>) =
        by_smtp.partition(|line| line.contains(" tls=TLSv1_3:"));
    assert_eq!(clear.len(), 0, "to {peer}: {clear:?}");
    assert!(!tls.is_empty(), "nothing went to {peer}");
    let word = tls[0].split(' ').find(|word| word.starts_with("tls="));
    println!("{peer}: {} under {}", tls.len(), word.unwrap_or_default());
}

/// Sessions that took mail without TLS. Who has very many at once is told to come later, in clear.
fn clear_sessions(log: &str) -> usize {
    let closed = log
        .lines()
        .filter(|line| line.contains("event=session.closed"));
    closed
        .filter(|line| line.contains(" tls=none ") && !line.contains(" accepted=0 "))
        .count()
}
