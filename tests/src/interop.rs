//! Mail between us and other servers: two hundred varied messages each way, compared octet for octet.

mod compare;
mod corpus;
pub mod differences;
mod messages;

pub use compare::{Arrived, BOTH_WAYS, Difference, compare};
pub use messages::{COUNT, Message, Way, messages};

use crate::debian::MALFORMED_MAIL;
use crate::peer::{OURS, Peer, THEIRS};
use crate::{Client, Program, cell, debian, find_files, free_port, left_out};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Starts a peer that relays to a port and has these mailboxes.
pub type Start = fn(next_hop: u16, mailboxes: &[String]) -> Result<Peer, String>;

/// How long all messages of one way may take, on a loaded machine.
const LONGEST: Duration = Duration::from_mins(3);
/// How long nothing more may come after the last: an unwanted second copy shows within it.
const QUIET: Duration = Duration::from_millis(500);

/// They send to us: every message goes into the peer by SMTP, and comes out of our Maildirs.
pub fn they_send(test: &str, start: Start, differences: &[Difference]) {
    let Some(messages) = ready(test, Way::Here) else {
        return;
    };
    let port = free_port();
    let ours = Program::start(&configuration(port, &names(&messages), ""));
    let peer = match start(port, &[]) {
        Ok(peer) => peer,
        Err(why) => return left_out(test, &why),
    };
    inject(peer.port, &messages, OURS);
    let arrived = wait(&messages, || maildirs(&ours.folder().join("mail")));
    judge(&messages, &arrived, differences, Way::Here, &peer);
}

/// We send to them: every message goes into us by SMTP, and comes out of the peer's mailboxes.
pub fn we_send(test: &str, start: Start, differences: &[Difference]) {
    let Some(messages) = ready(test, Way::There) else {
        return;
    };
    let port = free_port();
    let peer = match start(port, &names(&messages)) {
        Ok(peer) => peer,
        Err(why) => return left_out(test, &why),
    };
    let relay = format!(
        "[relay]\nto = \"smtp://127.0.0.1:{}\"\nfrom = \"127.0.0.1\"\n",
        peer.port
    );
    let ours = Program::start(&configuration(port, &[], &relay));
    inject(port, &messages, THEIRS);
    let arrived = wait(&messages, || maildirs(&peer.mail()));
    judge(&messages, &arrived, differences, Way::There, &peer);
    let reports = maildirs(&ours.folder().join("mail"));
    assert!(reports.is_empty(), "reports came: {:?}", reports.keys());
    assert_eq!(ours.queued(), Some(0));
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
         [queue]\nretry_delay_min = \"1s\"\nretry_delay_max = \"2s\"\n",
        users = [users, &["reports".to_owned()]].concat()
    )
}

/// Sends all messages in one session, as a relay would.
fn inject(port: u16, messages: &[Message], domain: &str) {
    let mut client = Client::connect(port).expect("the server listens");
    for message in messages {
        let to = message
            .recipients
            .iter()
            .map(|name| format!("{name}@{domain}"));
        let to: Vec<String> = to.collect();
        let answer = client.send(&message.reverse_path, &to, &message.content);
        match answer {
            Ok(answer) if answer.starts_with("250") => {}
            other => panic!("{}: {other:?}", message.name),
        }
    }
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

/// What lies in the Maildirs below a folder, its lines ended as on the wire.
fn maildirs(folder: &Path) -> Arrived {
    let mut arrived = Arrived::new();
    for path in find_files(folder) {
        let new = path.parent().filter(|parent| parent.ends_with("new"));
        let name = new.and_then(|new| new.parent()?.file_name());
        if let (Some(name), Ok(file)) = (name, fs::read(&path)) {
            let lines = file.split_inclusive(|octet| *octet == b'\n');
            let content = lines.flat_map(|line| match line.strip_suffix(b"\n") {
                Some(line) => [line, b"\r\n"].concat(),
                None => line.to_vec(),
            });
            let of_name = arrived.entry(name.to_string_lossy().into_owned());
            of_name.or_default().push(content.collect());
        }
    }
    arrived
}

fn judge(sent: &[Message], arrived: &Arrived, differences: &[Difference], way: Way, peer: &Peer) {
    let of_way: Vec<&Difference> = differences
        .iter()
        .filter(|d| d.ways.contains(&way))
        .collect();
    if let Err(why) = compare(sent, arrived, &of_way) {
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
