//! A thousand contents with odd ends of lines around dots, and the commands of another message behind them, go through us
//! to other servers: what we take arrives as one message each, and what two servers could read in two ways we do not take.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tests::interop::Start;
use tests::interop::differences::has_line_without_colon;
use tests::peer::{OURS, Peer, THEIRS, exim, opensmtpd, postfix, sendmail};
use tests::{Client, Program, cell, find_files, free_port, left_out, wait_until};

/// How many contents there are.
const COUNT: usize = 1000;
/// How many of them have no octet that content may not have.
const SOUND: usize = COUNT / 2;
/// Most pieces between the first line and what is behind it.
const PIECES_MAX: u64 = 6;
/// How long all of it may take on a loaded machine.
const LONGEST: Duration = Duration::from_mins(3);
/// How long nothing more may come after the last: a second message shows within it.
const QUIET: Duration = Duration::from_secs(1);

/// Ends of lines and dots as they may stand.
const SOUND_PIECES: [&str; 9] = [
    "\r\n",
    ".",
    "\r\n.",
    "\r\n.\r\n",
    "\r\n..\r\n",
    "\r\n\r\n",
    "x",
    " ",
    "\t",
];
/// And as one server or another takes them for more.
const ODD_PIECES: [&str; 17] = [
    "\r",
    "\n",
    "\0",
    "\n.\n",
    "\n.\r\n",
    "\r\n.\n",
    "\r.\r",
    "\r.\r\n",
    "\r\n.\r",
    "\n.\r",
    "\r\n\0.\r\n",
    "\r\n.\0\r\n",
    "\r\r\n.\r\n",
    "\r\n.\r\r\n",
    "\n\n.\n\n",
    "\n\r.\n\r",
    "\r\n\n.\r\n",
];

/// Numbers in no order, the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound).expect("a small number")
    }

    fn one_of(&mut self, pieces: &[&'static str]) -> &'static str {
        pieces[self.below(pieces.len() as u64)]
    }
}

/// A content; each second one has something that no content may have.
fn content(number: usize, numbers: &mut Numbers) -> String {
    let mut between = String::new();
    for _ in 0..=numbers.below(PIECES_MAX) {
        between += numbers.one_of(&SOUND_PIECES);
    }
    if number % 2 == 1 {
        between += numbers.one_of(&ODD_PIECES);
        between += numbers.one_of(&SOUND_PIECES);
    }
    // In the body, or among the fields.
    let body = if numbers.below(4) > 0 { "\r\n" } else { "" };
    format!(
        "Subject: number {number};\r\n{body}line1{between}\r\nMAIL FROM:<eve@{OURS}>\r\nRCPT TO:<victim@{THEIRS}>\r\n\
         DATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\nend {number};\r\n"
    )
}

/// Whether it has nothing but whole ends of lines.
fn is_sound(content: &str) -> bool {
    !content.replace("\r\n", "").contains(['\r', '\n', '\0'])
}

/// Sends everything to us in one session; gives those that were taken, by their numbers.
fn send(port: u16) -> BTreeMap<usize, String> {
    let mut client = Client::connect(port).expect("we listen");
    let (mut numbers, mut taken) = (Numbers(0x2545_F491_4F6C_DD1D), BTreeMap::new());
    for number in 0..COUNT {
        let content = content(number, &mut numbers);
        let commands = format!("MAIL FROM:<joe@{OURS}>\r\nRCPT TO:<box@{THEIRS}>\r\nDATA\r\n");
        client.put(commands.as_bytes()).expect("written");
        for reply in ["250 2.1.0 ", "250 2.1.5 ", "354 "] {
            let said = client.answer().expect("an answer");
            assert!(said.starts_with(reply), "{number}: {said}");
        }
        let stuffed = content.replace("\r\n.", "\r\n..");
        client
            .put(format!("{stuffed}.\r\n").as_bytes())
            .expect("written");
        let said = client.answer().expect("an answer");
        let reply = if is_sound(&content) {
            "250 2.0.0 accepted "
        } else {
            "550 5.6.0 content has a bare CR, a bare LF or a NUL"
        };
        assert!(
            said.starts_with(reply),
            "{}: {said}",
            content.escape_debug()
        );
        // In step: nothing that stood in the content is answered.
        let said = client.say("NOOP").expect("an answer");
        assert!(said.starts_with("250 2.0.0 ok"), "{number}: {said}");
        if is_sound(&content) {
            taken.insert(number, content);
        }
    }
    taken
}

/// Everything goes through us to this peer, which refuses some for another reason.
fn hand_over(test: &str, start: Start, objects: fn(&[u8]) -> bool) {
    if let Some(why) = cell::lacks() {
        return left_out(test, why);
    }
    let port = free_port();
    let peer = match start(port, &["box".to_owned(), "victim".to_owned()]) {
        Ok(peer) => peer,
        Err(why) => return left_out(test, &why),
    };
    let ours = Program::start(&format!(
        "hostname = \"mx.{OURS}\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n[listen]\nmx = \"127.0.0.1:{port}\"\n\
         [domain.\"{OURS}\"]\nusers = [\"joe\"]\naliases = {{ postmaster = \"joe\" }}\ndeliver = \"maildir:{{dir}}/mail/{{user}}\"\n\
         [relay]\nto = \"smtp://127.0.0.1:{}\"\nfrom = \"127.0.0.1\"\n[queue]\nretry_delay_min = \"1s\"\nretry_delay_max = \"2s\"\n",
        peer.port
    ));
    let taken = send(port);
    assert_eq!(taken.len(), SOUND);
    let (refused, sent): (Vec<_>, Vec<_>) = taken
        .into_iter()
        .partition(|(_, content)| objects(content.as_bytes()));
    let arrived = wait(&peer, sent.len());
    wait_until("nothing is left", LONGEST, || ours.queued() == Some(0));
    assert_eq!(
        arrived.keys().collect::<Vec<_>>(),
        ["box"],
        "{}",
        peer.log()
    );
    let mut seen = BTreeMap::<usize, usize>::new();
    for content in &arrived["box"] {
        let said = String::from_utf8_lossy(content);
        let number = between(&said, "Subject: number ").expect("it says which it is");
        // All of it is there, to its end.
        assert_eq!(
            between(&said, "end "),
            Some(number),
            "{}: {said}",
            peer.name
        );
        *seen.entry(number).or_default() += 1;
    }
    assert!(
        seen.values().all(|count| *count == 1),
        "{}: {seen:?}",
        peer.name
    );
    assert!(
        seen.keys().eq(sent.iter().map(|(number, _)| number)),
        "{}: others came",
        peer.name
    );
    // Each that was refused is reported to who sent it, and nothing else is.
    let reports = find_files(&ours.folder().join("mail/joe/new"));
    assert_eq!(reports.len(), refused.len(), "{}", ours.log());
    println!(
        "{}: {COUNT} contents, {} sent, {} refused there, {} arrived",
        peer.name,
        sent.len(),
        refused.len(),
        seen.len()
    );
}

/// The number behind these words.
fn between(text: &str, words: &str) -> Option<usize> {
    let (_, rest) = text.split_once(words)?;
    rest.split(';').next()?.parse().ok()
}

/// What has arrived when as many are there as were sent, and a while later.
fn wait(peer: &Peer, wanted: usize) -> BTreeMap<String, Vec<Vec<u8>>> {
    let began = Instant::now();
    loop {
        let arrived = peer.arrived();
        let count = arrived.values().map(Vec::len).sum::<usize>();
        if count >= wanted || began.elapsed() > LONGEST {
            std::thread::sleep(QUIET);
            return peer.arrived();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn postfix_gets_one_message_for_each_content() {
    hand_over("postfix_gets_one_message_for_each_content", postfix, |_| {
        false
    });
}

#[test]
fn exim_gets_one_message_for_each_content() {
    hand_over("exim_gets_one_message_for_each_content", exim, |_| false);
}

#[test]
fn opensmtpd_gets_one_message_for_each_content() {
    // A header section with a line that can be no field.
    let objects = |content: &[u8]| has_line_without_colon(content);
    hand_over(
        "opensmtpd_gets_one_message_for_each_content",
        opensmtpd,
        objects,
    );
}

#[test]
fn sendmail_gets_one_message_for_each_content() {
    hand_over(
        "sendmail_gets_one_message_for_each_content",
        sendmail,
        |_| false,
    );
}
