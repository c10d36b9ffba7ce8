//! Who has taken smtpd and submission over asks policy for seals: for others' domains, in the name of peers and logins that
//! it makes up, for very many recipients, in frames that are none, and without ever reading an answer. The test gave policy
//! its keys, and judges by a rule of its own what was sealed by one of them.

use super::random::Random;
use super::{Besieged, SOON, mailbox, run, words};
use crate::role::Place;
use mail::{ForwardPath, Mailbox, ReversePath};
use ringmail::drive::arrow::{self, Receiver, Sender};
use ringmail::ipc::judge::{Judged, Question, Verdict};
use ringmail::ipc::spawn::{Arrow, FromRole, Role, Share, Source, ToRole};
use ringmail::seal::{KEY_OCTETS, Key, Opener, Sealed};
use ringmail::ticket::{LoggedIn, Ticket, Tickets};
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;
use sys::socket::{Kind, pair};

/// Questions of the attacker.
const QUESTIONS: u64 = 1500;
/// Most recipients of a transaction, as the configuration has it by default.
const RECIPIENTS_MAX: usize = 1000;
/// Questions whose answers nobody reads: together larger than all that policy may have of memory.
const UNREAD: u64 = 400;
/// How long it must have done nothing to wait.
const IDLE: Duration = Duration::from_millis(300);
/// Less than half of what it may have.
const MEMORY_KIB: u64 = 100 * 1024;
/// Whom the alias `all` leads to.
const LISTED: usize = 200;
/// Details of one name in a question whose answer is as large as an answer can be.
const DETAILS: u64 = 36;

type Judges = (Sender<Question>, Receiver<Judged>);

fn configuration() -> String {
    let listed: Vec<String> = (0..LISTED).map(|n| format!("\"m{n}@list.test\"")).collect();
    format!(
        "hostname = \"mx.a.test\"\nspool = \"{{dir}}/spool\"\nruntime = \"{{dir}}/run\"\n\
         [listen]\nmx = \"127.0.0.1:2525\"\n\
         [relay]\nfrom = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n\
         [domain.\"a.test\"]\nusers = [\"ann\"]\ndeliver = \"maildir:{{dir}}/mail/{{user}}\"\n\
         aliases = {{ postmaster = \"ann\", away = \"x@far.test\", all = [{}] }}\n",
        listed.join(", ")
    )
}

pub fn look() -> Vec<String> {
    run(async |place: &Place| {
        let orders = place.orders_by(&configuration());
        let mut policy = Besieged::start_by(place, Role::Policy, &orders).map_err(words)?;
        let (key, tickets) = (Key::new([7; KEY_OCTETS]), Key::new([8; KEY_OCTETS]));
        for order in [
            ToRole::Key(Share::Transactions, key.clone()),
            ToRole::Key(Share::Tickets, tickets.clone()),
        ] {
            policy.birth.order(&order, None).map_err(words)?;
        }
        let mut honest: Judges = arrow::open(policy.arrow(Arrow::Judge)).map_err(words)?;
        policy.serves().await?;
        let mut judge = Judge::new(&key, &tickets);
        attack(&policy, &mut judge).await?;
        let unread = leave_unread(&policy).await?;
        hold_descriptors(&policy).await?;
        let question = honest_question();
        honest.0.say(&question, &[], None).map_err(words)?;
        let verdict = answer(&mut honest.1).await?.verdict;
        judge.look(Arrow::Judge, &question, verdict)?;
        drop(unread);
        judge.saw_all()?;
        if policy.lives() {
            Ok(())
        } else {
            Err("policy has ended".into())
        }
    })
}

async fn answer(from: &mut Receiver<Judged>) -> Result<Judged, String> {
    let heard = tokio::time::timeout(SOON, from.hear()).await;
    Ok(heard.map_err(words)?.ok_or("the arrow ended")?.head)
}

/// Says what may be sealed: not by policy's brain, but by what the configuration above means.
struct Judge {
    opener: Opener,
    tickets: Tickets,
    sealed: u64,
    submitted: u64,
    refused: u64,
}

impl Judge {
    fn new(key: &Key, tickets: &Key) -> Self {
        Self {
            opener: Opener::new(key),
            tickets: Tickets::new(tickets),
            sealed: 0,
            submitted: 0,
            refused: 0,
        }
    }

    fn look(&mut self, arrow: Arrow, question: &Question, verdict: Verdict) -> Result<(), String> {
        let Verdict::Sealed(recipients, seal) = verdict else {
            self.refused += 1;
            return Ok(());
        };
        let is_submitted = arrow == Arrow::JudgeSubmitted;
        self.sealed += 1;
        self.submitted += u64::from(is_submitted);
        let wrong = |why: &str| {
            let shown = format!("{question:?}");
            Err(format!("sealed {why}: {shown:.2000}"))
        };
        let paths = &question.forward_paths;
        let login = question.login.as_deref();
        if is_submitted != login.is_some() {
            return wrong("for who is logged in where nobody is, or is not where all are");
        }
        let is_his = |(login, ticket)| {
            let logged_in = LoggedIn {
                session: question.session,
                peer: question.peer,
                login,
            };
            let named = ReversePath::Mailbox(mailbox("joe@far.test"));
            self.tickets.knows(ticket, &logged_in) && question.reverse_path != named
        };
        if let Some((login, ticket)) = login
            && !is_his((login, ticket))
        {
            return wrong("for whom nobody vouched, or under the address of another");
        }
        if paths.is_empty() || paths.len() > RECIPIENTS_MAX || recipients.is_empty() {
            return wrong("for too many or for nobody");
        }
        let friend = is_submitted || is_friend(question.peer);
        if !friend && !paths.iter().all(is_ours) {
            return wrong("for a stranger to a domain that is not ours");
        }
        let named = |mailbox: &Mailbox| {
            let path = ForwardPath::Mailbox(mailbox.clone());
            friend && paths.contains(&path)
        };
        if !recipients
            .iter()
            .all(|to| is_of_ours(&to.mailbox) || named(&to.mailbox))
        {
            return wrong("to whom no alias leads");
        }
        let sealed = Sealed {
            peer: question.peer,
            login: login.map(|(login, _)| login),
            reverse_path: &question.reverse_path,
            recipients: &recipients,
        };
        match self.opener.open(&seal, &sealed) {
            Ok(()) => Ok(()),
            Err(broken) => wrong(&format!("what the seal does not fit ({broken})")),
        }
    }

    /// An attack of which everything is refused, or nothing, tells nothing.
    fn saw_all(&self) -> Result<(), String> {
        if self.sealed - self.submitted > 50 && self.submitted > 20 && self.refused > 50 {
            Ok(())
        } else {
            Err(format!(
                "{} sealed, {} of them for users, {} refused: the attack is none",
                self.sealed, self.submitted, self.refused
            ))
        }
    }
}

/// Whether `relay.from` lists it.
fn is_friend(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.octets()[0] == 10,
        IpAddr::V6(ip) => ip.segments()[..2] == [0x2001, 0x0db8],
    }
}

fn is_ours(path: &ForwardPath) -> bool {
    match path {
        ForwardPath::Postmaster => true,
        ForwardPath::Mailbox(mailbox) => {
            ["a.test", "mx.a.test"].contains(&&*mailbox.domain.to_string())
        }
    }
}

/// Whether it is a user of ours, or somebody whom an alias of ours leads to.
fn is_of_ours(mailbox: &Mailbox) -> bool {
    let text = mailbox.to_string();
    let listed = text.strip_prefix('m').and_then(|rest| {
        let number = rest.strip_suffix("@list.test")?;
        number.parse::<usize>().ok()
    });
    let name = mailbox.local_part.as_str().to_ascii_lowercase();
    let user = name.split('+').next() == Some("ann") && mailbox.domain.to_string() == "a.test";
    user || text == "x@far.test" || listed.is_some_and(|n| n < LISTED)
}

/// The two over which policy is asked.
const ARROWS: [Arrow; 2] = [Arrow::Judge, Arrow::JudgeSubmitted];

/// Questions of all kinds, and now and then a frame that is none.
async fn attack(policy: &Besieged, judge: &mut Judge) -> Result<(), String> {
    let mut random = Random::new(0x5ea1);
    let open = |arrow| arrow::open(policy.arrow(arrow)).map_err(words);
    let mut ends_of: [Judges; 2] = [open(ARROWS[0])?, open(ARROWS[1])?];
    for token in 0..QUESTIONS {
        let which = usize::from(random.below(3) == 0);
        if random.below(10) == 0 {
            // Rubbish ends the arrow and nothing else; the next life has another.
            let raw = policy.arrow(ARROWS[which]);
            let _ = sys::socket::send(&raw, &random.rubbish(), &[]);
            ends(raw).await?;
            ends_of[which] = open(ARROWS[which])?;
        }
        let mut question = forged(&mut random, token);
        question.login = login(&mut random, &judge.tickets, ARROWS[which], &question);
        let (ask, answers) = &mut ends_of[which];
        ask.say(&question, &random.octets(50), None)
            .map_err(words)?;
        let judged = answer(answers).await?;
        if judged.token != token {
            return Err("the answer to another question".into());
        }
        judge.look(ARROWS[which], &question, judged.verdict)?;
    }
    Ok(())
}

/// A login for a question, with the ticket that auth gave or with one of another session, client or login.
fn login(
    random: &mut Random,
    tickets: &Tickets,
    arrow: Arrow,
    question: &Question,
) -> Option<Box<(Mailbox, Ticket)>> {
    let (ann, bob) = (mailbox("ann@a.test"), mailbox("bob@a.test"));
    let right = LoggedIn {
        session: question.session,
        peer: question.peer,
        login: &ann,
    };
    let submitted = arrow == Arrow::JudgeSubmitted;
    let vouched = match random.below(if submitted { 8 } else { 20 }) {
        0 => return None,
        1 => LoggedIn {
            session: question.session + 1,
            ..right
        },
        2 => LoggedIn {
            peer: IpAddr::from([192, 0, 2, 99]),
            ..right
        },
        3 => LoggedIn {
            login: &bob,
            ..right
        },
        _ if submitted => right,
        4 => right,
        _ => return None,
    };
    let ticket = tickets.issue(&vouched);
    Some(Box::new((ann, ticket)))
}

/// Waits until the other end has closed it.
async fn ends(raw: OwnedFd) -> Result<(), String> {
    let socket = tokio::net::UnixStream::from_std(raw.into()).map_err(words)?;
    let end = async {
        let mut into = [0; 1000];
        loop {
            socket.readable().await?;
            match socket.try_read(&mut into) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    };
    match tokio::time::timeout(SOON, end).await {
        Ok(Ok(0) | Err(_)) => Ok(()),
        other => Err(format!("rubbish did not end its arrow: {other:?}")),
    }
}

fn forged(random: &mut Random, token: u64) -> Question {
    const PEERS: [&str; 7] = [
        "192.0.2.7",
        "10.1.2.3",
        "::ffff:10.9.9.9",
        "::ffff:192.0.2.7",
        "2001:db8::1",
        "2001:db9::1",
        "127.0.0.1",
    ];
    const PATHS: [&str; 16] = [
        "ann@a.test",
        "ANN+detail@A.TEST",
        "away@a.test",
        "postmaster",
        "postmaster@mx.a.test",
        "nobody@a.test",
        "victim@far.test",
        "x@far.test",
        "victim%far.test@a.test",
        "\"victim@far.test\"@a.test",
        "far.test!victim@a.test",
        "ann@b.a.test",
        "ann@a.test.far.test",
        "ann@[127.0.0.1]",
        "ann@[192.0.2.1]",
        "m1@list.test",
    ];
    // Mostly few and right, so that a wrong one among them shows.
    let count = match random.below(40) {
        0 => 0,
        1 => RECIPIENTS_MAX as u64 + random.below(2),
        _ => 1 + random.below(3),
    };
    let right = random.below(2) == 0;
    let mut forward_paths: Vec<ForwardPath> = (0..count)
        .map(|_| random.of(if right { &PATHS[..5] } else { &PATHS }))
        .map(|text| ForwardPath::parse(text).expect("it is one"))
        .collect();
    if right && random.below(3) == 0 && !forward_paths.is_empty() {
        // One that is not, at any place.
        let at = usize::try_from(random.below(forward_paths.len() as u64)).unwrap_or(0);
        let wrong: &&str = random.of(&PATHS);
        forward_paths[at] = ForwardPath::parse(wrong).expect("it is one");
    }
    let reverse_path = match random.below(3) {
        0 => ReversePath::Null,
        1 => ReversePath::Mailbox(mailbox("ann@a.test")),
        _ => ReversePath::Mailbox(mailbox("joe@far.test")),
    };
    Question {
        token,
        session: random.below(3),
        peer: random.of(&PEERS).parse().expect("an address"),
        login: None,
        reverse_path,
        forward_paths,
    }
}

fn honest_question() -> Question {
    Question {
        token: 1,
        session: 1,
        peer: IpAddr::from([192, 0, 2, 7]),
        login: None,
        reverse_path: ReversePath::Null,
        forward_paths: vec![ForwardPath::parse("ann@a.test").expect("it is one")],
    }
}

/// Asks for answers of the largest kind and takes none: policy may not run out of memory by that.
async fn leave_unread(policy: &Besieged) -> Result<Judges, String> {
    let smtpd: Judges = arrow::open(policy.arrow(Arrow::Judge)).map_err(words)?;
    let path = |n| ForwardPath::parse(&format!("all+{n}-{}@a.test", "d".repeat(200)));
    for token in 0..UNREAD {
        let question = Question {
            token,
            forward_paths: (0..DETAILS).flat_map(path).collect(),
            ..honest_question()
        };
        smtpd.0.say(&question, &[], None).map_err(words)?;
    }
    // It takes some and then waits for its reader, long before its memory is full.
    let (mut busy, pid) = (u64::MAX, policy.child.id());
    loop {
        tokio::time::sleep(IDLE).await;
        if smtpd.0.backlog() == 0 || memory_kib(pid) > MEMORY_KIB {
            return Err("policy keeps answers that nobody reads".into());
        }
        let now = processor_ticks(pid);
        if now == busy {
            return Ok(smtpd);
        }
        busy = now;
    }
}

/// How much memory a process has for its data.
fn memory_kib(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("VmData:"));
    let words = lines.next().unwrap_or_default().split_whitespace().next();
    words.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// How long a process has worked: one that waits works no more.
fn processor_ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // proc(5): utime and stime, counted behind the name, which may have anything in it.
    let behind = text.rsplit(") ").next().unwrap_or_default().split(' ');
    behind
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse::<u64>().ok())
        .sum()
}

/// Sends descriptors that no frame speaks of, as many as policy may have. It is handed another end of the log then, as
/// when admin was started anew.
async fn hold_descriptors(policy: &Besieged) -> Result<(), String> {
    let raw = policy.arrow(Arrow::Judge);
    let null = File::open("/dev/null").map_err(words)?;
    // The front of a frame that is right so far: nothing can be said against it.
    let _ = sys::socket::send(&raw, &[2, 200, 0, 0, 0, 0, 0, 0, 0, 1], &[]);
    for _ in 0..60 {
        let _ = sys::socket::send(&raw, &[0], &[null.as_fd()]);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (_ours, theirs) = pair(Kind::Stream).map_err(words)?;
    let log = ToRole::Log(Source::Role(Role::Policy));
    policy.birth.order(&log, Some(&theirs)).map_err(words)?;
    policy.birth.order(&ToRole::Begin, None).map_err(words)?;
    match tokio::time::timeout(SOON, policy.birth.report()).await {
        Ok(Ok(Some(FromRole::Ready))) => Ok(()),
        other => Err(format!("policy took no new end of the log: {other:?}")),
    }
}
