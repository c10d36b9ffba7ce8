//! A smtpd that was taken over, with the descriptors of a real one and words of its own: it cannot make queue keep what
//! policy has not sealed, nor use a seal twice or for something else, nor get a seal for what may not be.

use mail::{
    DsnRequest, Envelope, ForwardPath, Mailbox, Notify, OriginalRecipient, Received, Recipient,
    RecipientRequest, ReversePath, Time,
};
use queue::Body;
use ringmail::drive::arrow::{self, Receiver, Sender};
use ringmail::drive::birth::Birth;
use ringmail::drive::clock::Clock;
use ringmail::drive::edge::SpoolFolder;
use ringmail::ipc::accept::{FromQueue, Incoming, ToQueue};
use ringmail::ipc::judge::{Judged, Question, Verdict};
use ringmail::ipc::spawn::{Arrow, FromRole, Share, Situation, ToRole};
use ringmail::role;
use ringmail::seal::{KEY_OCTETS, Key, Seal, Sealed, Sealer};
use std::fs::File;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use sys::socket::{Kind, pair};

const STRANGER: [u8; 4] = [192, 0, 2, 7];
const FRIEND: [u8; 4] = [10, 1, 2, 3];

fn orders(spool: &str) -> ToRole {
    ToRole::Orders {
        configuration: format!(
            "hostname = \"mx.home.test\"\nspool = \"{spool}\"\n[listen]\nmx = \"127.0.0.1:25\"\n\
             [aliases]\npostmaster = \"u@home.test\"\nroot = \"postmaster\"\n\
             [relay]\nfrom = [\"10.0.0.0/8\"]\n\
             [domain.\"home.test\"]\nusers = [\"u\"]\naliases = {{ away = \"x@far.test\" }}\ndeliver = \"maildir:/m/{{domain}}/{{user}}\"\n"
        ),
        path: "/ringmail.toml".into(),
        situation: Situation::Run,
        walls: Vec::new(),
    }
}

/// The roles policy and queue, and all that a smtpd has: its ends of two arrows.
struct Smtpd {
    ask_policy: Sender<Question>,
    policy: Receiver<Judged>,
    ask_queue: Sender<ToQueue>,
    queue: Receiver<FromQueue>,
    births: [Birth; 2],
    tokens: u64,
}

fn end(birth: &Birth, arrow: Arrow) -> OwnedFd {
    let (ours, theirs) = pair(Kind::Stream).unwrap();
    birth.order(&ToRole::Arrow(arrow), Some(&theirs)).unwrap();
    ours
}

fn key(birth: &Birth, octet: u8) {
    let key = Key::new([octet; KEY_OCTETS]);
    birth
        .order(&ToRole::Key(Share::Transactions, key), None)
        .unwrap();
}

impl Smtpd {
    async fn start(spool: &str) -> Self {
        let born = || pair(Kind::SeqPacket).unwrap();
        let ((policy, theirs), (queue, its)) = (born(), born());
        let births = [Birth::new(policy).unwrap(), Birth::new(queue).unwrap()];
        let (theirs, its) = (Birth::new(theirs).unwrap(), Birth::new(its).unwrap());
        tokio::task::spawn_local(role::policy::run(theirs));
        let folder = SpoolFolder::start().unwrap();
        tokio::task::spawn_local(
            async move { role::queue::run(its, Clock::start(), &folder).await },
        );
        for birth in &births {
            birth.order(&orders(spool), None).unwrap();
            key(birth, 7);
        }
        let (to_policy, to_queue) = (
            end(&births[0], Arrow::Judge),
            end(&births[1], Arrow::Accept),
        );
        for birth in &births {
            birth.order(&ToRole::Begin, None).unwrap();
            assert!(matches!(birth.report().await, Ok(Some(FromRole::Ready))));
        }
        let (ask_policy, policy) = arrow::open(to_policy).unwrap();
        let (ask_queue, queue) = arrow::open(to_queue).unwrap();
        Self {
            ask_policy,
            policy,
            ask_queue,
            queue,
            births,
            tokens: 0,
        }
    }

    /// Asks policy for a seal.
    async fn seal(&mut self, peer: [u8; 4], to: &[&str]) -> Option<(Vec<Recipient>, Seal)> {
        self.tokens += 1;
        let question = Question {
            token: self.tokens,
            peer: IpAddr::from(peer),
            session: 1,
            login: None,
            reverse_path: ReversePath::Null,
            forward_paths: to
                .iter()
                .map(|to| ForwardPath::parse(to).unwrap())
                .collect(),
        };
        self.ask_policy.say(&question, &[], None).unwrap();
        let judged = self.policy.hear().await.unwrap().head;
        assert_eq!(judged.token, self.tokens);
        match judged.verdict {
            Verdict::Sealed(recipients, seal) => Some((recipients, seal)),
            Verdict::Refused | Verdict::UnknownTicket => None,
        }
    }

    /// Asks queue to keep a message: whether it did, or misses a seal.
    async fn keep(&mut self, peer: [u8; 4], recipients: &[Recipient], seal: Seal) -> &'static str {
        self.keep_with(peer, recipients, seal, None).await
    }

    /// A file of queue's for a large body, open for writing.
    async fn body(&mut self) -> (u64, File) {
        self.tokens += 1;
        let token = self.tokens;
        let question = ToQueue::NewBody { token };
        self.ask_queue.say(&question, &[], None).unwrap();
        loop {
            let heard = self.queue.hear().await.unwrap();
            if let FromQueue::Body { number, .. } = heard.head {
                return (number, heard.fd.expect("it comes with the answer").into());
            }
        }
    }

    async fn keep_with(
        &mut self,
        peer: [u8; 4],
        recipients: &[Recipient],
        seal: Seal,
        body: Option<Body>,
    ) -> &'static str {
        let envelope = Envelope {
            reverse_path: ReversePath::Null,
            recipients: recipients.to_vec(),
            arrival: Time::from_micros(1),
            eight_bit: false,
            smtputf8: false,
            dsn: None,
        };
        self.keep_as(peer, envelope, seal, body).await
    }

    async fn keep_as(
        &mut self,
        peer: [u8; 4],
        envelope: Envelope,
        seal: Seal,
        body: Option<Body>,
    ) -> &'static str {
        self.tokens += 1;
        let message = Incoming {
            envelope,
            received: Received {
                hello: "me".into(),
                peer: IpAddr::from(peer),
                by: "mx.home.test".into(),
                extended: true,
                secure: false,
                suite: "".into(),
                smtputf8: false,
                login: None,
            },
            seal,
            body,
        };
        let tail: &[u8] = if body.is_some() {
            b""
        } else {
            b"Subject: x\r\n\r\nx\r\n"
        };
        let question = ToQueue::Accept {
            token: self.tokens,
            message: Box::new(message),
        };
        self.ask_queue.say(&question, tail, None).unwrap();
        loop {
            match self.queue.hear().await.unwrap().head {
                FromQueue::Room(_) | FromQueue::Body { .. } => {}
                FromQueue::Accepted { .. } => return "kept",
                FromQueue::Refused { .. } => return "refused",
                FromQueue::Unsealed { .. } => return "unsealed",
            }
        }
    }
}

fn with_smtpd(work: impl AsyncFnOnce(Smtpd)) {
    with_smtpd_and_spool(async |smtpd, _| work(smtpd).await);
}

fn with_smtpd_and_spool(work: impl AsyncFnOnce(Smtpd, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    std::fs::create_dir(&spool).unwrap();
    role::in_event_loop(async {
        work(Smtpd::start(spool.to_str().unwrap()).await, &spool).await;
        io::Result::Ok(())
    })
    .unwrap();
}

/// Whether these octets stand in a file of the folder, or of one below.
fn stands_in(folder: &Path, octets: &str) -> bool {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.into_iter().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return stands_in(&path, octets);
        }
        let found = std::fs::read(&path).unwrap_or_default();
        found.windows(octets.len()).any(|w| w == octets.as_bytes())
    })
}

#[test]
fn what_is_asked_of_reports_is_kept_of_whom_it_is_offered_to_and_of_nobody_else() {
    with_smtpd_and_spool(async |mut smtpd, spool| {
        for (peer, marker, kept) in [
            (FRIEND, "rfc822;marked", true),
            (STRANGER, "rfc822;hidden", false),
        ] {
            let (recipients, seal) = smtpd.seal(peer, &["u@home.test"]).await.expect("a seal");
            let request = RecipientRequest {
                notify: Notify::parse("SUCCESS"),
                original: OriginalRecipient::parse(marker),
            };
            let dsn = DsnRequest {
                recipients: vec![(recipients[0].mailbox.clone(), request)],
                ..DsnRequest::default()
            };
            let envelope = Envelope {
                reverse_path: ReversePath::Null,
                recipients,
                arrival: Time::from_micros(1),
                eight_bit: false,
                smtputf8: false,
                dsn: Some(Box::new(dsn)),
            };
            let answer = if kept { "kept" } else { "refused" };
            assert_eq!(smtpd.keep_as(peer, envelope, seal, None).await, answer);
            assert_eq!(stands_in(spool, marker), kept, "{marker}");
        }
    });
}

fn direct(name: &str) -> Vec<Recipient> {
    vec![Recipient::direct(Mailbox::parse(name).unwrap())]
}

#[test]
fn what_may_be_is_sealed_and_kept_once() {
    with_smtpd(async |mut smtpd: Smtpd| {
        let (recipients, seal) = smtpd.seal(STRANGER, &["away@home.test"]).await.unwrap();
        assert_eq!(recipients[0].mailbox.to_string(), "x@far.test");
        assert_eq!(smtpd.keep(STRANGER, &recipients, seal).await, "kept");
        assert_eq!(smtpd.keep(STRANGER, &recipients, seal).await, "unsealed");
    });
}

#[test]
fn a_seal_is_good_for_nothing_else() {
    with_smtpd(async |mut smtpd: Smtpd| {
        let (recipients, seal) = smtpd.seal(STRANGER, &["u@home.test"]).await.unwrap();
        let others = direct("victim@far.test");
        assert_eq!(smtpd.keep(STRANGER, &others, seal).await, "unsealed");
        let both = [recipients.clone(), others].concat();
        assert_eq!(smtpd.keep(STRANGER, &both, seal).await, "unsealed");
        assert_eq!(smtpd.keep(FRIEND, &recipients, seal).await, "unsealed");
        let own = Sealer::new(&Key::new([8; KEY_OCTETS])).seal(&Sealed {
            peer: IpAddr::from(STRANGER),
            login: None,
            reverse_path: &ReversePath::Null,
            recipients: &recipients,
        });
        assert_eq!(smtpd.keep(STRANGER, &recipients, own).await, "unsealed");
        assert_eq!(smtpd.keep(STRANGER, &recipients, seal).await, "kept");
    });
}

#[test]
fn what_may_not_be_gets_no_seal() {
    with_smtpd(async |mut smtpd: Smtpd| {
        for to in [
            &["victim@far.test"][..],
            &["u@home.test", "victim@far.test"],
            &["nobody@home.test"],
            &["victim%far.test@home.test"],
            &[],
        ] {
            assert!(smtpd.seal(STRANGER, to).await.is_none(), "{to:?}");
        }
        let many: Vec<&str> = std::iter::repeat_n("u@home.test", 1001).collect();
        assert!(smtpd.seal(STRANGER, &many).await.is_none());
        assert!(smtpd.seal(STRANGER, &many[1..]).await.is_some());
        assert!(smtpd.seal(FRIEND, &["victim@far.test"]).await.is_some());
    });
}

#[test]
fn an_older_key_is_worth_nothing() {
    with_smtpd(async |mut smtpd: Smtpd| {
        let (recipients, old) = smtpd.seal(STRANGER, &["u@home.test"]).await.unwrap();
        let [policy, queue] = &smtpd.births;
        for birth in [queue, policy] {
            key(birth, 9);
            // The word that answers this was said after the key, so the key was taken.
            birth.order(&ToRole::Begin, None).unwrap();
            assert!(matches!(birth.report().await, Ok(Some(FromRole::Ready))));
        }
        assert_eq!(smtpd.keep(STRANGER, &recipients, old).await, "unsealed");
        let (recipients, new) = smtpd.seal(STRANGER, &["u@home.test"]).await.unwrap();
        assert_eq!(smtpd.keep(STRANGER, &recipients, new).await, "kept");
    });
}

/// Whoever can still write to a body could change what was acknowledged.
#[test]
fn a_body_that_can_still_be_written_to_is_not_kept() {
    with_smtpd(async |mut smtpd: Smtpd| {
        let content = b"Subject: large\r\n\r\nx\r\n";
        for closed in [false, true] {
            let (recipients, seal) = smtpd.seal(STRANGER, &["u@home.test"]).await.unwrap();
            let (number, mut file) = smtpd.body().await;
            file.write_all(content).unwrap();
            let open = (!closed).then_some(file);
            let body = Body {
                number,
                octets: content.len() as u64,
                checksum: crc32c::crc32c(content),
            };
            let kept = smtpd.keep_with(STRANGER, &recipients, seal, Some(body));
            assert_eq!(kept.await, if closed { "kept" } else { "refused" });
            drop(open);
        }
    });
}
